"""Keras weights files: ours, written and read, and anybody's, read."""
