"""The names of the files in a run's folder."""

LOCK = ".lit-unlearn.lock"
"""Held by the run that writes into the folder; in no checksums, and without effect once that run has ended."""
