"""Runs: configuration, training, checkpoints, sampling and the folder a run leaves behind."""
