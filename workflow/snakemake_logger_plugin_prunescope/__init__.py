"""What makes `logger: prunescope` of a profile known to Snakemake, which finds its plugins by this name."""

from prunescope.runs.terminal import LogHandler

__all__ = ["LogHandler"]
