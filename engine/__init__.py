"""Run-time of compiled guidance steps: backends, the store, and the call the optimiser sees."""
