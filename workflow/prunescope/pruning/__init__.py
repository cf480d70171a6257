"""Pruning: the plan of what goes, the surgery, the checkpoint."""
