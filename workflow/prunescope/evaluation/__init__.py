"""Evaluation: perplexity of the unpruned and the pruned model on the same windows."""
