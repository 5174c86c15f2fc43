"""Many objects: jobs, a queue on disk, and executors that run the jobs in worker processes."""
