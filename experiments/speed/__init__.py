"""How fast GigMate is, beside its peers and beside itself: what experiments/004_speed is made with."""
