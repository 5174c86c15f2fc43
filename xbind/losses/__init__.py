"""The losses of the paper, one file per equation."""
