"""Exports as targets: asked for by name, and in the experiment's row afterwards."""

import json
import sqlite3

from test_dag import change_configuration

EXPERIMENT = "results/tiny/taylor_T1_tau0_20_words"


def test_exports_are_made_when_they_are_asked_for(finished):
    assert finished.jobs(EXPERIMENT) == {}
    assert finished.jobs(f"{EXPERIMENT}/export/uniform") == {"uniform": 1}
    assert finished.jobs(f"{EXPERIMENT}/export/gguf/q4_0.gguf") == {"gguf": 1}
    assert finished.jobs(f"{EXPERIMENT}/export/gguf") == {"gguf": 2}  # export.gguf.types
    assert finished.jobs(f"{EXPERIMENT}/export/gguf/") == {"gguf": 2}


def test_an_unknown_export_gets_the_nearest_name(finished):
    done = finished.run("--dry-run", f"{EXPERIMENT}/export/gguf/q4_1.gguf", check=False)
    assert done.returncode != 0
    assert "will hold no 'export/gguf/q4_1.gguf'; did you mean 'export/gguf/q4_0.gguf'" in done.stderr + done.stdout


def test_a_uniform_export_is_recorded_and_shown_on_the_page_and_in_mlflow(copy):
    copy.run(f"{EXPERIMENT}/export/uniform")
    folder = copy.folder / EXPERIMENT
    assert "| `export/uniform` |" in (folder / "README.md").read_text()
    assert json.loads((folder / "export/uniform/config.json").read_text())["model_type"] == "llama"
    assert copy.jobs(EXPERIMENT, f"{EXPERIMENT}/export/uniform") == {}
    with sqlite3.connect(copy.folder / "mlflow.db") as database:
        found = dict(database.execute("SELECT key, value FROM latest_metrics WHERE key LIKE 'export/%'").fetchall())
    recorded = json.loads((folder / "records/uniform.json").read_text())["metrics"]
    assert found == recorded
    assert found["export/uniform_parameters"] > found["export/uniform_parameters_needed"]


def test_an_export_is_on_the_page_without_tracking_too(copy):
    change_configuration(copy, tracking={"enabled": False})
    (copy.folder / EXPERIMENT / "mlflow.json").unlink()
    copy.run(f"{EXPERIMENT}/export/uniform")
    assert "| `export/uniform` |" in (copy.folder / EXPERIMENT / "README.md").read_text()
    assert not (copy.folder / EXPERIMENT / "mlflow.json").exists()


def test_uniform_widths_make_a_stock_checkpoint(copy):
    uniform = f"{EXPERIMENT}_uniform"
    copy.run(uniform)
    content = json.loads((copy.folder / uniform / "model/config.json").read_text())
    assert (content["model_type"], content["architectures"]) == ("llama", ["LlamaForCausalLM"])
    assert not list((copy.folder / uniform / "model").glob("*.py"))
    assert "trust_remote_code" not in (copy.folder / uniform / "README.md").read_text()


def test_a_gguf_export_without_llama_cpp_says_what_to_install(copy):
    # An empty module would be found; a path that hides an installed one does not exist. So: only where it is missing.
    import importlib.util

    import pytest

    if importlib.util.find_spec("llama_cpp"):
        pytest.skip("llama-cpp-python is installed")
    done = copy.run(f"{EXPERIMENT}/export/gguf/f16.gguf", check=False)
    assert done.returncode != 0
    assert "pip install -c requirements.lock -e '.[gguf]'" in done.stderr + done.stdout
    assert "tiny / taylor_T1_tau0_20_words: gguf f16: " in done.stderr
    assert not (copy.folder / EXPERIMENT / "export").exists()
