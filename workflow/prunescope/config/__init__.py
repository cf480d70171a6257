"""The configuration: its sections, the grammar of experiment names, and resolved experiments. It imports no torch."""
