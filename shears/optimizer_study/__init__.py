"""Part A: optimizers from scratch, measured on linear regression."""
