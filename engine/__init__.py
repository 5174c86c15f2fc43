"""Run-time of compiled guidance steps. Empty so far: every step runs in eager torch."""
