"""The procedural world that the mini bundle was trained on; for training and evaluation only."""
