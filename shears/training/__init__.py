"""Training: recipes, the compiled step, epochs, checkpoints and soft targets."""
