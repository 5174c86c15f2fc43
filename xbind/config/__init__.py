"""User options and all numbers of a run. Imports no torch."""
