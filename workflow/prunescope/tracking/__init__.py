"""Step records and their synchronisation with MLflow (`mlflow_sync` is the only module that imports MLflow)."""
