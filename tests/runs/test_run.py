"""Steps that are done, about how long the others take, and the last words of those that failed."""

import logging
import os
import time
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.artifacts.folders import ExperimentFolder, SharedFolder
from prunescope.artifacts.record import StepRecord
from prunescope.config.resolve import load_config, parse_config
from prunescope.config.sections import Sweep
from prunescope.files import write_text
from prunescope.runs.banner import sweep_table
from prunescope.runs.estimates import TimeLeft, seconds, time_left
from prunescope.runs.failures import report_failures, why_missing
from prunescope.runs.logs import KILLED, SILENT, last_words
from prunescope.steps.registry import Registry, Target

CONFIG = load_config(Path(__file__).parents[2] / "config/config.yaml")
MODEL = "SmolLM2-135M"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = Sweep(model=MODEL, base="taylor_T0_20_wiki", product={"seq_len": [128, 256], "max": [None, 10]})
    return Registry(CONFIG.model_copy(update={"sweeps": {"x": sweep}}))


def complete(planned):
    """Leave every file of an experiment."""
    for task in (*planned.shared, *planned.own):
        for file in task.outputs:
            write_text(Path(file), "")


def timed(file, *seconds):
    write_text(Path(file), "s\th:m:s\n" + "".join(f"{value}\t0\n" for value in seconds))


def test_steps_come_in_the_order_of_the_pipeline(registry):
    planned = registry.experiment(MODEL, "taylor_T1_20_wiki")
    assert [task.name for task in (*planned.shared, *planned.own)] == [
        "model", "calibration", "evaluation_text", "trial_text", "gradients", "removal", "baseline", "importance",
        "trial", "diagnosis", "plot_gradient_analysis", "plot_pruning_rates", "plot_importance_heatmap", "plot_trials",
        "pruning", "evaluation", "page", "track",
    ]  # fmt: skip


def test_times_are_of_the_same_step_and_model_and_grow_with_the_tokens(registry):
    tasks = registry.experiment(MODEL, "taylor_T0_20_wiki_s256").tasks
    assert seconds(tasks["gradients"]) is None
    shared = f"results/{MODEL}/_shared/gradients"
    timed(f"{shared}/wiki_n32_s128-00000000/benchmark.tsv", 40)
    timed(f"{shared}/wiki_n16_s128-00000000/benchmark.tsv", 30)
    timed("results/other/_shared/gradients/wiki_n32_s128-00000000/benchmark.tsv", 1)
    # 32 x 256 tokens: twice as many as in 40 s, four times as many as in 30 s
    assert seconds(tasks["gradients"]) == pytest.approx((80 + 120) / 2)
    # of the 40 s, 10 s were start-up
    SharedFolder(Path(f"{shared}/wiki_n32_s128-00000000")).record.write(
        StepRecord(step="gradients", key="", seconds=30.0)
    )
    assert seconds(tasks["gradients"]) == pytest.approx((70 + 120) / 2)
    timed(f"logs/{MODEL}/a/evaluation.benchmark.tsv", 60)
    timed(f"logs/{MODEL}/b/evaluation.benchmark.tsv", 100, 70)
    assert seconds(tasks["evaluation"]) == pytest.approx(65)
    timed(f"logs/{MODEL}/d/evaluation.benchmark.tsv", 1)  # it added up what several jobs had measured
    record = ExperimentFolder.of(MODEL, "d").named(ExperimentFolder.record, step="evaluation")
    record.write(StepRecord(step="evaluation", key="", seconds=1.0, tags={"shards": "4"}))
    assert seconds(tasks["evaluation"]) == pytest.approx(65)
    timed(f"logs/{MODEL}/c/evaluation.benchmark.tsv", "much")
    write_text(Path(f"{shared}/wiki_n16_s128-00000000/record.json"), "damaged")
    assert seconds(tasks["evaluation"]) == pytest.approx(65)
    assert seconds(tasks["gradients"]) == pytest.approx(70)


def test_the_table_counts_a_shared_step_once(registry):
    timed(f"results/{MODEL}/_shared/gradients/wiki_n32_s128-00000000/benchmark.tsv", 40)
    timed(f"results/{MODEL}/_shared/baseline/x-00000000/benchmark.tsv", 10)
    head, first, second, *impossible = sweep_table(registry.sweep(MODEL, "x")).splitlines()
    # 10 s once; 40 s, and 80 s for twice the tokens
    assert head == f"sweep x on {MODEL}: 4 experiments, about 2 min; never timed yet: evaluation, pruning, trial"
    assert "to run: model, calibration, evaluation text, trial text, gradients, baseline, importance" in first
    assert first.endswith("about 50 s")
    assert "to run: calibration, trial text, gradients, importance" in second
    assert second.endswith("about 80 s")
    assert all("impossible: method.ratio = 0.2 cannot be reached" in line for line in impossible)
    assert len(impossible) == 2


def test_what_is_done_is_not_to_run(registry):
    planned = registry.experiment(MODEL, "taylor_T0_20_wiki")
    complete(planned)
    _, first, *_ = sweep_table(registry.sweep(MODEL, "x")).splitlines()
    assert "17 of 17 steps cached; to run: nothing" in first
    assert why_missing(planned, 0) is None


def test_what_rests_on_a_missing_step_is_to_run_again(registry):
    planned = registry.experiment(MODEL, "taylor_T0_20_wiki")
    complete(planned)
    Path(planned.tasks["baseline"].outputs[0]).unlink()
    assert [task.name for task in planned.missing()] == ["baseline", "evaluation", "page", "track"]
    Path(planned.tasks["gradients"].outputs[0]).unlink()
    missing = {task.name for task in planned.missing()}
    assert {"importance", "trial", "diagnosis", "plot_pruning_rates", "pruning"} < missing
    assert not {"model", "calibration", "evaluation_text", "trial_text"} & missing


def test_the_time_left_shrinks_with_every_step(registry):
    planned = registry.experiment(MODEL, "taylor_T0_20_wiki")
    assert time_left([planned]) == "never timed yet: baseline, evaluation, gradients, pruning, trial"
    timed(f"results/{MODEL}/_shared/gradients/wiki_n32_s128-00000000/benchmark.tsv", 240)
    timed(f"results/{MODEL}/_shared/baseline/x-00000000/benchmark.tsv", 60)
    assert time_left([planned, planned]) == "about 5 min left; never timed yet: evaluation, pruning, trial"
    for step in ("model", "calibration", "gradients"):
        for file in planned.tasks[step].outputs:
            write_text(Path(file), "")
    assert time_left([planned]) == "about 60 s left; never timed yet: evaluation, pruning, trial"
    complete(planned)
    assert time_left([planned]) == ""


def test_the_time_left_is_logged_once_as_long_as_it_stays(registry, caplog):
    timed(f"results/{MODEL}/_shared/gradients/wiki_n32_s128-00000000/benchmark.tsv", 40)
    logger = logging.getLogger("run")
    logger.addHandler(handler := TimeLeft([registry.experiment(MODEL, "taylor_T0_20_wiki")], logger))
    try:
        with caplog.at_level(logging.INFO):
            for done in (1, 2, 3):
                logger.info(None, extra={"event": LogEvent.PROGRESS, "done": done, "total": 3})
    finally:
        logger.removeHandler(handler)
    said = [record.getMessage() for record in caplog.records if record.msg]
    assert said == ["about 40 s left; never timed yet: baseline, evaluation, pruning, trial"]


def test_the_first_step_that_failed_says_why(registry):
    planned = registry.experiment(MODEL, "taylor_T0_20_wiki")
    log = planned.tasks["gradients"].log
    for file in planned.tasks["model"].outputs:
        write_text(Path(file), "")
    assert why_missing(planned, 0) == "calibration: did not run; a step before it failed, or the run was stopped"
    write_text(log, "loading\nprunescope: no memory\nsome noise\n")
    assert why_missing(planned, 0) == f"gradients: no memory ({log})"
    os.utime(log, (1, 1))
    assert "did not run" in why_missing(planned, time.time() - 60)


def test_what_was_asked_for_is_what_failed(registry):
    planned = registry.experiment(MODEL, "taylor_T0_20_wiki")
    log = Path(f"logs/{MODEL}/taylor_T0_20_wiki/gguf_q8_0.log")
    assert why_missing(planned, 0, "export/gguf").startswith("export/gguf: did not run")
    write_text(log, "prunescope: no llama.cpp\n")
    assert why_missing(planned, 0, "export/gguf") == f"gguf q8_0: no llama.cpp ({log})"
    assert why_missing(planned, 0, "export/gguf/q8_0.gguf") == f"gguf q8_0: no llama.cpp ({log})"
    assert why_missing(planned, 0, "export/gguf/f16.gguf").startswith("export/gguf/f16.gguf: did not run")
    assert why_missing(planned, 0, "export/uniform").startswith("export/uniform: did not run")
    # Of the rest of the experiment nothing was asked for.
    complete(planned)
    for kind in ("q8_0", "f16"):
        for file in planned.tasks[f"gguf_{kind}"].outputs:
            write_text(Path(file), "")
    write_text(Path(planned.directory, "analysis/plan.json"), "")
    assert why_missing(planned, 0, "export/gguf") is None
    assert why_missing(planned, 0, "analysis/plan.json") is None


def test_a_trained_model_is_measured_after_training(registry):
    config = registry.config.model_dump() | {"evaluation": {"zeroshot": {}, "efficiency": {}}}
    planned = Registry(parse_config(config)).experiment(MODEL, "taylor_T0_20_wiki_recover")
    for step in ("zeroshot", "efficiency"):
        assert planned.tasks["recovery"] in planned.upstream[step]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nprunescope: one\nb\nprunescope: two\nc\n", "two"),
        ("Traceback\n  line\nMemoryError: all of it\n\n", "MemoryError: all of it"),
        ("\n", SILENT),
        ("a\nb: 8 / 16 c, 1.5 c/s, 4 s left\n", KILLED.format("b: 8 / 16 c, 1.5 c/s, 4 s left")),
    ],
)
def test_last_words(tmp_path, text, said):
    write_text(tmp_path / "log", text)
    assert last_words(tmp_path / "log") == said


def test_the_report_lists_experiments_and_sweeps(registry):
    planned = registry.experiment(MODEL, "taylor_T0_30_wiki")
    said = report_failures([Target("", planned, "")], [registry.sweep(MODEL, "x")], 0).splitlines()
    assert said[1] == "What failed:"
    assert said[2].startswith(f"{MODEL} / taylor_T0_30_wiki: model: did not run")
    assert said[3] == f"sweep x on {MODEL}: 0 of 4 experiments finished"
    assert sum("cannot be reached" in line for line in said[4:]) == 2
    assert report_failures([], [], 0) == ""
