"""Diagnosis of a pruning decision before any weight is cut: findings, remedies and plots."""
