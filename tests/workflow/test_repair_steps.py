"""An experiment that is repaired and trained: its steps, what runs again, and what page, card and tracking show."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.config.files import CONFIG_FILE, load_merged
from prunescope.config.resolve import parse_config
from prunescope.steps.registry import Registry
from prunescope.tracking.gather import gather
from workflow.test_dag import change_configuration

EXPERIMENT = "results/tiny/taylor_T0_20_words_refit_scales_recover_cekl_projections"
PLAIN = "results/tiny/taylor_T1_tau0_20_words"
TOLD = {"tokens": 640, "seq_len": 16}
SCALES = {"tokens": 320, "batch_size": 4}
RECOVERY = {"tokens": 320, "seq_len": 16, "batch_size": 2, "accumulation": 2, "projections_learning_rate": 0.01}

TRIED = {"trial": 1, "diagnosis": 1, "plot": 4}


@pytest.fixture(scope="module")
def refitted(finished, tmp_path_factory):
    project = finished.copy(tmp_path_factory.mktemp("refit") / "project")
    change_configuration(project, repair={"refit": TOLD, "scales": SCALES}, recovery=RECOVERY)
    project.run(EXPERIMENT)
    return project


def test_it_is_complete_and_others_do_nothing_new(refitted):
    assert refitted.jobs() == refitted.jobs(EXPERIMENT) == {}
    folder = ExperimentFolder(refitted.folder / EXPERIMENT)
    report = folder.refit.read()
    assert report.tokens + report.held_out_tokens == 640
    assert report.fitted and report.error < report.cut_error
    run = gather(folder.path)
    assert run.metrics["refit/error"] == pytest.approx(report.error, rel=1e-5)
    assert run.curves["refit/mlp_error_by_layer"]
    scales = folder.scales.read()
    assert (scales.tokens, scales.held_out_tokens) == (320, 80)
    assert run.metrics["scales/held_out_kl"] == pytest.approx(scales.after.kl, rel=1e-5)
    assert run.curves["scales/loss"] and run.curves["recover/ce"] and run.curves["recover/kl"]
    page, card = folder.page.read(), (folder.checkpoint.path / "README.md").read_text()
    for said in (
        f"{len(report.fitted)} of {len(report.blocks)} output projections were fitted",
        f"One factor per kept group of {len(scales.blocks)} blocks was trained on 320 tokens",
    ):
        assert said in page and said in card
    assert "what the cut and its repair leave" in card
    assert "in its output projections (o and down; " in page
    assert json.loads(folder.card.path.read_text())["refit"]["tokens"] == 640
    plain = ExperimentFolder(refitted.folder / PLAIN).identity.path
    assert "repair" in json.loads(folder.identity.path.read_text())["settings"]
    assert "repair" not in json.loads(plain.read_text())["settings"]


def test_what_it_is_compared_with_is_refitted_too(refitted):
    folder = ExperimentFolder(refitted.folder / EXPERIMENT)
    trials, plain = folder.trials.read(), ExperimentFolder(refitted.folder / PLAIN)
    assert trials.ridge == 0.1 and trials.measured > 3
    commands = [one.experiment for one in trials.candidates if one.experiment]
    assert len(commands) > 3 and all("_refit" in name for name in commands)
    assert "All of them, this one too, were refitted before they were measured" in folder.page.read()
    assert "gram" in folder.identity.read().shared and "gram" not in plain.identity.read().shared
    assert "ridge" not in json.loads(plain.trials.path.read_text())


def test_the_benchmark_measures_its_plans_in_three_ways(refitted, monkeypatch):
    monkeypatch.chdir(refitted.folder)
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import ranking

    registry = Registry(parse_config(*load_merged(CONFIG_FILE, [], {})))
    names, values = ranking.measure(registry.experiment("tiny", EXPERIMENT.rpartition("/")[2]), 4)
    trials = ExperimentFolder(refitted.folder / EXPERIMENT).trials.read()
    blocks = {one.name: one.distance.kl for one in trials.ranked}
    for name, (plain, refitted_blocks, refit) in zip(names, values, strict=True):
        assert refitted_blocks == pytest.approx(blocks[name], rel=1e-4)
        assert min(plain, refit) >= 0 and len({plain, refitted_blocks, refit}) == 3
    assert len(values) == 4 and (np.diff(values[:, 0]) > 0).all()
    assert "By blocks refitted: Spearman" in ranking.report(names, values)


def test_it_is_the_repaired_checkpoint_that_is_trained(refitted):
    """Recovery begins with the losses of the checkpoint with the repairs in it."""
    folder = ExperimentFolder(refitted.folder / EXPERIMENT)
    content = json.loads(folder.recovered_perplexity.path.read_text())
    result, before = (content[name]["words"]["w16"]["perplexity"] for name in ("recovered", "pruned"))
    assert result < before
    cut, trained = (load_file(entry.path / "model.safetensors") for entry in (folder.checkpoint, folder.recovered))
    changed = {name for name in cut if not (cut[name] == trained[name]).all()}
    assert changed and all(name.endswith(("o_proj.weight", "down_proj.weight")) for name in changed)
    repaired = [values for entry in (folder.scaled, folder.fitted) for values in _all(entry.path)]
    assert any(
        (values.shape == cut[name].shape) and (values == cut[name]).all() for name in changed for values in repaired
    )


def _all(folder):
    return [values for file in sorted(folder.glob("*.safetensors")) for values in load_file(file).values()]


def test_verify_compares_with_the_repaired_parent(refitted):
    done = refitted.prunescope("verify", EXPERIMENT)
    assert "equal" in done.stdout and "DIFFERS" not in done.stdout


@pytest.mark.parametrize(
    ("change", "scales", "expected"),
    [
        ({"ridge": [0.5]}, {}, {"refit": 1} | TRIED),
        ({"tokens": 320}, {}, {"refit_text": 1, "gram": 1, "refit": 1} | TRIED),
        ({}, {"kl_weight": 1.0}, {}),
    ],
)
def test_a_setting_repairs_and_cuts_again_and_decides_nothing_again(refitted, change, scales, expected):
    change_configuration(refitted, repair={"refit": TOLD | change, "scales": SCALES | scales})
    try:
        after = {"scales": 1, "pruning": 1, "evaluation": 1, "recovery": 1, "recovered": 1, "page": 1, "track": 1}
        assert refitted.jobs(EXPERIMENT) == expected | after
        assert refitted.jobs() == {}
    finally:
        change_configuration(refitted, repair={"refit": TOLD, "scales": SCALES})
