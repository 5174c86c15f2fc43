"""Ray marching that skips empty cells."""
