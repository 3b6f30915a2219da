"""Files that are whole or not there, and weights that are read without trusting them."""
