"""xbind: a prompt of any modality to a textured 3D mesh."""

__version__ = "0.1.0"
