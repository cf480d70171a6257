"""Sections of the page: what was measured, and the exports that were made on request."""

from types import SimpleNamespace

import pytest
from folders import report, write_identity

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.measured import Measured
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Recovery
from prunescope.errors import DataError
from prunescope.reporting.page import refresh_page
from prunescope.reporting.page.exports import exports_section
from prunescope.reporting.page.measured import efficiency_table, measured_table, zeroshot_table
from prunescope.reporting.rendering import render
from prunescope.steps.reporting import PageSpec


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
    models = {
        "baseline": measured(4e6, 20.0, 2e6),
        "pruned": measured(3e6, 25.0, 1e6),
        "baseline_q8_0": measured(1e6, 50.0),
        "pruned_q8_0": measured(8e5, 60.0),
    }
    table = efficiency_table(Measured(models=models, settings=settings))
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in table.split("\n")[:-2]
    }
    assert rows[""] == ["baseline", "pruned", "baseline, q8_0", "pruned, q8_0"]
    assert rows["checkpoint, MB"] == ["4.0", "3.0 (0.750)", "1.0", "0.8 (0.800)"]
    assert rows["decode, tokens/s, batch 1"] == ["20.0", "25.0 (1.250)", "50.0", "60.0 (1.200)"]
    assert rows["MFLOP per decoded token"] == ["2.0", "1.0 (0.500)", "", ""]
    assert not any("peak memory" in row for row in rows)
    assert "llama-cpp-python 0.3 on the CPU, 2 thread(s)" in table


def test_what_a_new_optional_step_measures_needs_no_table_of_its_own():
    models = {"baseline": {"score": {"easy": 0.75, "hard": 3}}, "pruned": {"score": {"easy": 0.5}}}
    assert measured_table(Measured(models=models, settings={})).splitlines() == [
        "|  | baseline | pruned |",
        "|---|---:|---:|",
        "| score.easy | 0.75 | 0.5 |",
        "| score.hard | 3 |  |",
    ]


def test_zero_shot_scores_are_those_of_the_final_model():
    models = {
        name: {"boolq": {"acc": {"value": v, "stderr": e}}}
        for name, v, e in (("baseline", 0.8, 0.01), ("recovered", 0.6, None))
    }
    settings = {"lm_eval": "0.4", "samples": {"boolq": {"effective": 40}}}
    table = zeroshot_table(Measured(models=models, settings=settings))
    assert "| boolq | acc | 0.8000 ± 0.0100 | 0.6000 | 40 |" in table
    assert "lm-evaluation-harness 0.4" in table


@pytest.mark.parametrize("exports", [None, "EXPORTS\n"])
@pytest.mark.parametrize("measured", [{}, {"Zero-shot": "ZEROSHOT", "Other": "OTHER"}])
@pytest.mark.parametrize("recovery", [None, "RECOVERY"])
@pytest.mark.parametrize(
    "tried", [{}, {"trials": "TRIALS", "run": "RUN", "words": "WORDS", "repair": "REPAIR", "search": "SEARCH"}]
)
def test_sections_are_a_blank_line_apart(recovery, measured, exports, tried):
    said = report().model_copy(update={"headline": "HEADLINE"} if tried else {})
    parts = {name: name.upper() for name in ("settings", "perplexity", "protocol")} | {"report": said}
    parts |= dict.fromkeys(("trials", "run", "words", "repair", "search")) | tried
    told = {"spec": PageSpec.model_construct(model="M", experiment="E"), "path": "PATH", "figures": {"a.png": "A"}}
    told |= {"stock": recovery is None}
    page = render("page.md.j2", **parts, **told, recovery=recovery, measured=measured, exports=exports)
    wanted = [
        *(("# M / E\n\n**HEADLINE**\n\n    RUN\n\nSETTINGS",) if tried else ("# M / E\n\nSETTINGS",)),
        "PERPLEXITY",
        *(("REPAIR",) if tried else ()),
    ]
    wanted += [
        recovery,
        *(("WORDS",) if tried else ()),
        *measured.values(),
        *(["SEARCH\n\n## Other settings", "TRIALS\n\n## Diagnosis"] if tried else []),
    ]
    wanted += ["## Diagnosis\n\n- **critical: said.** said\n  said\n"]
    wanted += ["![A](a.png)", "PROTOCOL", exports]
    places = [page.index(part) for part in wanted if part]
    assert places == sorted(places)
    assert "\n\n\n" not in page
    assert page.endswith("\n") and not page.endswith("\n\n")


@pytest.mark.parametrize(
    ("resumed", "learned", "kind", "end"),
    [(0.0, 1640, "", ""), (1200.0, 820, ", responses alone", "; interrupted, and resumed from step 1,200")],
)
def test_how_a_model_was_trained_is_told(resumed, learned, kind, end):
    told = Recovery(enabled=True, rank=4, alpha=16, dropout=0.05, learning_rate=0.0002, schedule="cosine", seed=7)
    metrics = {"recover/tokens": 2560.0, "recover/steps": 10.0, "recover/resumed_from_step": resumed}
    text = SimpleNamespace(tokens=1640, learned_tokens=learned)
    said = render("trained.md.j2", told=told, dataset="wiki", text=text, metrics=metrics).strip()
    assert said == (
        "Trained after pruning by LoRA (rank 4, alpha 16, dropout 0.05; AdamW, learning rate 0.0002, cosine) on the "
        f"calibration split of wiki{kind}: 2,560 tokens in 10 steps, 1,640 different ones, seed 7{end}. "
        "What it learned is merged into the weights, whose shapes are those that pruning left."
    )
    distilled = told.model_copy(update={"train": "projections", "loss": "ce_kl"})
    said = render("trained.md.j2", told=distilled, dataset="wiki", text=text, metrics=metrics)
    assert (
        "in its output projections (o and down; AdamW, learning rate 0.0003, cosine; loss: cross-entropy and 2 x KL "
        "divergence from the unpruned model) on the calibration split"
    ) in said


@pytest.fixture
def exported(tmp_path):
    folder = ExperimentFolder(tmp_path)
    for step, started in (("pruning", 100.0), ("gguf_q8_0", 50.0), ("uniform", 200.0)):
        metrics = {f"export/{step}_{what}": 0.5 for what in ("bytes", "agreement", "kl_nats")}
        folder.named(ExperimentFolder.record, step=step).write(
            StepRecord(step=step, key="e", metrics=metrics, started=started, finished=started + 1)
        )
    (tmp_path / "export/gguf").mkdir(parents=True)
    return folder


def test_only_exports_that_are_there_are_listed(exported):
    assert exports_section(exported) is None
    exported.uniform.path.mkdir()
    section = exports_section(exported)
    assert "| `export/uniform` | 0.0 | 50.0% | 0.5 |  |" in section
    assert "AutoModelForCausalLM" in section and "q8_0" not in section and "llama_cpp" not in section


def test_an_export_of_an_earlier_checkpoint_is_told(exported):
    exported.named(ExperimentFolder.gguf, type="q8_0").path.touch()
    exported.uniform.path.mkdir()
    rows = {line.split("`")[1]: line for line in exports_section(exported).splitlines() if line.startswith("| `")}
    assert "of an earlier checkpoint" in rows["export/gguf/q8_0.gguf"]
    assert "of an earlier checkpoint" not in rows["export/uniform"]


def test_a_page_that_was_never_written_cannot_be_refreshed(tmp_path):
    folder = ExperimentFolder(tmp_path)
    with pytest.raises(DataError, match=r"experiment\.json is not there; run the step that makes it first: page"):
        refresh_page(folder)
    folder.identity.path.write_text('{"key": "of another program"}')
    with pytest.raises(DataError, match=r"experiment\.json is damaged: model: Field required"):
        refresh_page(folder)
    write_identity(folder, {}, key=None)
    with pytest.raises(DataError, match="a plan that was applied by hand, which has no page"):
        refresh_page(folder)
