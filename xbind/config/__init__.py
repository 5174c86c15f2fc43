"""What a user chooses, and every number of a run. Imports no torch."""
