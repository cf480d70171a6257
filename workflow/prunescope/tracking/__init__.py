"""Step records, and their synchronisation with MLflow (which only this package imports)."""
