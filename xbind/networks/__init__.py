"""Frozen networks and the engines that are built from them."""
