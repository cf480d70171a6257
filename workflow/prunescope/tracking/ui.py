"""The MLflow pages: the link to the runs table, and a local server for the project's store."""

import os
import socket
import sys

from prunescope.tracking import store, view
from prunescope.tracking.connection import connected

HOST = "127.0.0.1"
PORT = 5000


def experiment_link(uri: str, port: int = PORT) -> str:
    """Return the link to the runs table of the model that was tracked last; without any, to the list.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
    """
    uri = store.tracking_uri(uri)
    server = store.redact(uri).rstrip("/") if store.is_server(uri) else f"http://{HOST}:{port}"
    with connected(uri) as client:
        found = client.search_experiments(order_by=["last_update_time DESC"])
    # The first one is MLflow's own; shared steps and comparisons have experiments beside the model's.
    models = [e for e in found if e.experiment_id != "0" and "/_" not in e.name]
    return server + (view.runs_page(models[0].experiment_id) if models else "/#/experiments")


def serve(uri: str, port: int = PORT) -> None:
    """Print the link and serve the project's store on this machine until interrupted.

    For an address that is a server already, the link is all there is to do. A port in use is replaced
    by a free one.
    """
    uri = store.tracking_uri(uri)
    if store.is_server(uri):
        print(experiment_link(uri), flush=True)
        return
    port = free_port(port)
    print(f"MLflow: {experiment_link(uri, port=port)}  (stop with Ctrl-C)", flush=True)
    # One worker: each takes 250 MB, and one person is looking.
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # Not arguments: a database address may hold a password, and `ps` shows arguments.
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": store.absolute(uri),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Eight more processes, which outlive a server that is terminated; they evaluate language-model traces.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if root := store.artifact_root(uri):
        environment["MLFLOW_ARTIFACTS_DESTINATION"] = root
    # Relative locations in the store are relative to its folder.
    os.chdir(store.folder(uri))
    # Replaces this process, so that every signal reaches the server.
    os.execve(sys.executable, command, environment)


def free_port(wanted: int) -> int:
    """Return `wanted` when nothing listens there, else a port that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
        return probe.getsockname()[1]
