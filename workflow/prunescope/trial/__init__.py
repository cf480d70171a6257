"""Interventions: the loss of a model when some of its groups are silent."""
