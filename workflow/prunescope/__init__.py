"""Prunescope: structured pruning of language models that explains what it did."""

__version__ = "0.1.0"
