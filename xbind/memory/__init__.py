"""Memory of a run, planned without running it."""
