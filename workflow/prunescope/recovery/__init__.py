"""Training of a pruned model, by transformers' Trainer: adapters, output projections, or factors of groups."""
