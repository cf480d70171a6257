"""Surgery: a plan, the model's or a person's, becomes a checkpoint."""
