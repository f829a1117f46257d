"""Masks: which weights are pruned, how many, and when."""
