"""The MLflow pages: the link to the runs table, and a local server for the project's store."""

import os
import socket
import sys

from prunescope.errors import ConfigError, did_you_mean
from prunescope.tracking import store, view
from prunescope.tracking.connection import connected

HOST = "127.0.0.1"
PORT = 5000


def experiment_link(uri: str, port: int = PORT, model: str | None = None) -> tuple[str, list[str]]:
    """Return the link to the runs table of a model, and the names of the others.

    Args:
        model: None: the one that was tracked last; without any, the link is to the list.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
        ConfigError: nothing was tracked of this model.
    """
    uri = store.tracking_uri(uri)
    server = store.redact(uri).rstrip("/") if store.is_server(uri) else f"http://{HOST}:{port}"
    with connected(uri) as client:
        found = client.search_experiments(order_by=["last_update_time DESC"])
    # The first one is MLflow's own; shared steps and comparisons have experiments beside the model's.
    models = {e.name: e.experiment_id for e in found if e.experiment_id != "0" and "/_" not in e.name}
    shown = model or next(iter(models), None)
    if model and model not in models:
        raise ConfigError(f"no experiment of '{model}' is in MLflow; {did_you_mean(model, models)}")
    page = view.runs_page(models[shown]) if shown else "/#/experiments"
    return server + page, [name for name in models if name != shown]


def serve(uri: str, port: int = PORT, model: str | None = None) -> None:
    """Print the link to a model's runs table, and serve the project's store on this machine until interrupted.

    For an address that is a server already, the link is all there is to do. A port in use is replaced
    by a free one.
    """
    uri = store.tracking_uri(uri)
    if store.is_server(uri):
        _say_links(*experiment_link(uri, model=model))
        return
    port = free_port(port)
    _say_links(*experiment_link(uri, port, model))
    print("Stop with Ctrl-C.", flush=True)
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


def _say_links(link: str, others: list[str]) -> None:
    print(f"MLflow: {link}", flush=True)
    if others:
        print(f"Other models: {', '.join(others)}; prunescope ui MODEL opens theirs", flush=True)


def free_port(wanted: int) -> int:
    """Return `wanted` when nothing listens there, else a port that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
        return probe.getsockname()[1]
