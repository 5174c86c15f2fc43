"""Code shared by the operators."""
