"""Build-time: guidance steps to compiled engines. Empty so far."""
