"""The steps of the pipeline: one table, their keys, the files they need and leave."""
