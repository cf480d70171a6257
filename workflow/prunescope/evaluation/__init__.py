"""Evaluation of the unpruned and the pruned model: perplexity, zero-shot tasks, efficiency, the protocol card."""
