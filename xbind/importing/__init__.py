"""Bundles from public checkpoints."""
