"""The commands that a report or a message prints for the reader to copy."""

START = "snakemake --cores all"
"""How a run is started, up to the target, where nothing else is known."""
