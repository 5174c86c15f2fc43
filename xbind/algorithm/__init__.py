"""Algorithm 1 of the paper: reference view, supervision, three phases."""
