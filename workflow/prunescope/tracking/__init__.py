"""Step records, and their synchronisation with MLflow (which only this package imports)."""

import os

# Read by MLflow when it is imported. Its own defaults retry a dead server for 247 s and report usage.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# With a server it prints the address of every run, and with it the password that the address may hold.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
