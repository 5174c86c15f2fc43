"""Benchmarks of operators, engines and whole phases."""
