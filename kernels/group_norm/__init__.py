"""Group normalisation with SiLU, channels last."""
