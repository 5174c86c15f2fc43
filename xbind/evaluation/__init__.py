"""Evaluation of finished runs, by judges that are used for nothing else."""
