"""Inference: the pruned network, smaller and faster."""
