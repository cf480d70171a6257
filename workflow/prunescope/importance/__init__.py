"""Importance: saliency from gradients, the removal prior, the table of groups, and what goes.

Never imports Snakemake, MLflow or the command line.
"""
