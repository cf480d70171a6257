"""Steps whose windows several jobs share, with the real Snakefile: the results of one job, and no work done twice."""

import json

import pytest

from prunescope.models.loading import native_bfloat16
from prunescope.steps.table import TABLE

NAME = "results/tiny/taylor_T1_tau0_20_words"
SHARED, OWN = ("removal", "baseline"), ("trial", "evaluation")
THREE = ("--config", "shards=3")


def forget(project, *steps: str) -> None:
    """Delete what shared steps left."""
    for step in steps:
        for file in project.folder.glob(f"results/tiny/_shared/{step}/*/*"):
            file.unlink()


def results(project) -> dict:
    files = {
        "removal": "_shared/removal/*/block_importance.json",
        "baseline": "_shared/baseline/*/perplexity.json",
        "trial": "*/analysis/trials.json",
        "evaluation": "*/evaluation/perplexity.json",
    }
    return {
        name: json.loads(next(project.folder.glob(f"results/tiny/{file}")).read_text()) for name, file in files.items()
    }


@pytest.fixture(scope="module")
def scattered(finished, tmp_path_factory):
    """The project of `finished`, made again by three jobs for each step that can be divided, and the jobs planned."""
    project = finished.copy(tmp_path_factory.mktemp("scattered") / "project")
    forget(project, *SHARED)
    for file in project.folder.glob("results/tiny/_shared/trial_text/*/measured/*/*"):
        file.unlink()
    for file in ("analysis/trials.json", "evaluation/perplexity.json"):
        (project.folder / NAME / file).unlink()
    planned = project.jobs(*THREE)
    project.run(*THREE)
    return project, planned


def test_three_jobs_share_each_step_and_one_adds_up(scattered):
    _, planned = scattered
    for name in (*SHARED, *OWN):
        assert (planned[f"{name}_part"], planned[name]) == (3, 1)
    # The mean gradient of `taylor` is not passed on.
    assert not {"gradients", "gradients_part"} & set(planned)


def test_they_find_what_one_job_finds(scattered, finished):
    one, three = results(finished), results(scattered[0])
    for part, layers in one["removal"].items():
        assert three["removal"][part] == pytest.approx(layers, abs=1e-6)
    for text, protocols in one["baseline"].items():
        for protocol, result in protocols.items():
            assert three["baseline"][text][protocol]["perplexity"] == pytest.approx(result["perplexity"], rel=1e-6)
            changed = [found["evaluation"]["ratio"][text][protocol]["ratio"] for found in (one, three)]
            assert changed[1] == pytest.approx(changed[0], rel=1e-6)
    best = [found["trial"]["candidates"][0] for found in (one, three)]
    assert best[0]["name"] == best[1]["name"]
    assert best[1]["distance"]["kl"] == pytest.approx(best[0]["distance"]["kl"], rel=1e-4)


def test_parts_are_gone_when_they_are_added_up(scattered):
    project, _ = scattered
    assert not list(project.folder.glob("results/**/*of3.safetensors"))
    for step in OWN:
        record = json.loads((project.folder / NAME / f"records/{step}.json").read_text())
        native = step == "trial" and native_bfloat16()
        assert record["tags"]["shards"] == "3" and record["tags"]["dtype"] == ("bfloat16" if native else "float32")


def test_another_number_makes_nothing_again(scattered, finished):
    project, _ = scattered
    assert project.jobs() == project.jobs("--config", "shards=2") == project.jobs(*THREE) == {}
    assert finished.jobs(*THREE) == {}


def test_a_part_that_is_lost_is_measured_again_alone(copy):
    (folder,) = copy.folder.glob("results/tiny/_shared/removal/*")
    forget(copy, "removal")
    parts = [str((folder / f"part.{number}of3.safetensors").relative_to(copy.folder)) for number in (1, 3)]
    copy.run("--notemp", *parts, *THREE)
    planned = copy.jobs(*THREE)
    assert (planned["removal_part"], planned["removal"]) == (1, 1)


def test_each_part_has_a_rule():
    assert {name for name, step in TABLE.items() if step.part} == {*SHARED, *OWN, "gradients", "recovered"}
