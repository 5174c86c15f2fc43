"""The NeRF of Phase I."""
