"""The radiance field of Phase I: what it is, where it is empty, how it is seen."""
