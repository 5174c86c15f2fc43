"""Multiresolution hash encoding."""
