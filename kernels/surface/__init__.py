"""Rasterisation, interpolation and antialiasing of meshes."""
