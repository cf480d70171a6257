"""Experiments side by side: their numbers, figures, and the setting that the numbers recommend."""
