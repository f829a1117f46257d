"""Jupyter notebooks: reading, running and writing them."""
