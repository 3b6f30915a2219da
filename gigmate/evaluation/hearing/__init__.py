"""Listening scores: how much harder the stem becomes to predict when what the model hears is falsified."""
