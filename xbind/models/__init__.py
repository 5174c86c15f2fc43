"""Frozen networks that are ours, and the bundles that hold all of them."""
