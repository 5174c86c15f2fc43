"""The files of a run: folder, checkpoints, events, outputs, report."""
