"""Keras weights files: writing and reading our own, and reading anyone's."""
