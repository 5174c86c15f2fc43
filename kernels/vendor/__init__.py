"""Operators of other packages, where they are installed."""
