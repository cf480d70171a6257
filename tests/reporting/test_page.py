"""Sections of the page: what was measured, and the exports that were made on request."""

import json
from pathlib import Path

import pytest

from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError
from prunescope.reporting.page import refresh_page
from prunescope.reporting.page.evaluation import efficiency_table
from prunescope.reporting.page.exports import exports_section


def measured(size, speed, flops=None):
    summary = dict.fromkeys(("latency_p50_seconds", "latency_p95_seconds"), 1 / speed)
    summary |= {"prefill_tokens_per_second": 10 * speed, "decode_tokens_per_second": speed, "peak_memory_bytes": None}
    shape = {"checkpoint_bytes": size, "kv_cache_bytes_per_token": 2000.0}
    flops = dict.fromkeys(("prefill_flops_per_token", "decode_flops_per_token"), flops)
    return shape | flops | {"batches": {"b1": summary}}


def test_every_form_is_compared_with_the_baseline_of_the_same_form():
    hardware = {"device_name": "a CPU", "threads": 2}
    settings = {"prompt": 8, "generate": 4, "repeats": 3, "dtype": "float32", "attention": "sdpa", "hardware": hardware}
    settings["llama_cpp"] = {"llama_cpp_python": "0.3", "device": "cpu", "threads": 2, "kv_cache": "float16"}
    table = efficiency_table(
        {
            "baseline": measured(4e6, 20.0, 2e6),
            "pruned": measured(3e6, 25.0, 1e6),
            "baseline_q8_0": measured(1e6, 50.0),
            "pruned_q8_0": measured(8e5, 60.0),
            "settings": settings,
        }
    )
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in table.split("\n")[2:-2]
    }
    assert rows[""] == ["baseline", "pruned", "baseline, q8_0", "pruned, q8_0"]
    assert rows["checkpoint, MB"] == ["4.0", "3.0 (0.750)", "1.0", "0.8 (0.800)"]
    assert rows["decode, tokens/s, batch 1"] == ["20.0", "25.0 (1.250)", "50.0", "60.0 (1.200)"]
    assert rows["MFLOP per decoded token"] == ["2.0", "1.0 (0.500)", "", ""]
    assert not any("peak memory" in row for row in rows)
    assert "llama-cpp-python 0.3 on the CPU, 2 thread(s)" in table


@pytest.fixture
def exported(tmp_path):
    for step, started in (("pruning", 100.0), ("export_gguf_q8_0", 50.0), ("export_uniform", 200.0)):
        metrics = {f"{step.replace('_', '/', 1)}_{what}": 0.5 for what in ("bytes", "agreement", "kl_nats")}
        StepRecord(step=step, key="e", metrics=metrics, started=started, finished=started + 1).write(
            tmp_path / f"records/{step}.json"
        )
    (tmp_path / "export/gguf").mkdir(parents=True)
    return tmp_path


def test_only_exports_that_are_there_are_listed(exported):
    assert exports_section(exported) is None
    (exported / "export/uniform").mkdir()
    section = exports_section(exported)
    assert "| `export/uniform` | 0.0 | 50.0% | 0.5 |  |" in section
    assert "AutoModelForCausalLM" in section and "q8_0" not in section and "llama_cpp" not in section


def test_an_export_of_an_earlier_checkpoint_is_told(exported):
    (exported / "export/gguf/q8_0.gguf").touch()
    (exported / "export/uniform").mkdir()
    rows = {line.split("`")[1]: line for line in exports_section(exported).splitlines() if line.startswith("| `")}
    assert "of an earlier checkpoint" in rows["export/gguf/q8_0.gguf"]
    assert "of an earlier checkpoint" not in rows["export/uniform"]


def test_a_page_that_was_never_written_cannot_be_refreshed(tmp_path):
    with pytest.raises(DataError, match=r"experiment\.json is not there"):
        refresh_page(tmp_path)
    Path(tmp_path, "experiment.json").write_text(json.dumps({"key": "of an older version"}))
    with pytest.raises(DataError, match="is of another version; run snakemake"):
        refresh_page(tmp_path)
