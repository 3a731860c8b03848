"""The folder of a run: its files, whole or not at all, its checkpoints, its signals."""
