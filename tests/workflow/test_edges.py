"""The table of steps is what the Snakefile says: every input edge, every output, every log."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from prunescope.config.resolve import parse_config
from prunescope.steps.registry import Registry
from prunescope.steps.spec import Run
from prunescope.steps.table import RULES, TABLE
from prunescope.steps.work import UNKNOWN

ROOT = Path(__file__).parents[2]
MODEL, SWEEP = "SmolLM2-135M", "two"
EXPERIMENT = f"results/{MODEL}/gate_T1_tau0_20_wiki_refit_scales_recover"
SEARCHED = f"results/{MODEL}/auto_20_wiki"
TARGETS = (EXPERIMENT, SEARCHED, f"sweep_{SWEEP}", f"results/{MODEL}/gate_T0_20_wiki/export/uniform")
# All optional steps, a reference, and steps whose windows two jobs share.
MORE = {
    "shards": 2,
    "gradients": {"criteria": ["gate"]},
    "report": {"reference": "gate_T0_20_wiki"},
    "evaluation": {"zeroshot": {"tasks": ["piqa"]}, "efficiency": {"gguf": ["q8_0"]}},
    "sweeps": {SWEEP: {"model": MODEL, "experiments": ["gate_T0_20_wiki", "gate_T1_20_wiki"]}},
}
NO_STEPS = {"all", "impossible", *TARGETS}


def project(folder: Path) -> Path:
    """Lay out the workflow and its own configuration, which knows an embedded model and texts."""
    for name in ("Snakefile", "config", "workflow/rules", "workflow/report"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / name, target) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, target)
    (folder / "more.yaml").write_text(yaml.safe_dump(MORE))
    return folder


def jobs_of(folder: Path, programs: Path) -> list[dict]:
    command = [programs / "python", Path(__file__).with_name("edges.py"), "jobs.json", "more.yaml", *TARGETS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "jobs.json").read_text())


@pytest.fixture(scope="module")
def jobs(tmp_path_factory, programs) -> list[dict]:
    return jobs_of(project(tmp_path_factory.mktemp("table")), programs)


def differences(jobs: list[dict], registry: Registry) -> list[str]:
    """Return where the Snakefile and the table differ."""
    found = []
    for job in jobs:
        if job["rule"] in NO_STEPS:
            continue
        if job["rule"] not in RULES:
            found.append(f"{job['rule']}: no step of the table")
            continue
        expected = told(job, registry)
        for what, files in expected.items():
            here = set(job[what]) if isinstance(job[what], list) else job[what]
            if here != files:
                found.append(f"{job['rule']}: {what}: Snakefile {here}, table {files}")
    return found


def told(job: dict, registry: Registry) -> dict[str, object]:
    """Return what the table says about a job."""
    wildcards, name = job["wildcards"], RULES[job["rule"]].name
    needs: list[str] = []
    looks_at: list[str] = []
    if "sweep" in wildcards:
        sweep = registry.sweep(wildcards["model"], wildcards["sweep"])
        task = sweep.tasks[name]
        needs = sweep.needs(task)
    elif "experiment" in wildcards:
        planned = registry.experiment(wildcards["model"], wildcards["experiment"])
        (task,) = (
            task
            for task in planned.tasks.values()
            if task.step.name == name and {*task.outputs, *task.parts} & set(job["outputs"])
        )
        needs, looks_at = planned.needs(task), planned.looks_at(task)
    elif "key" in wildcards:
        task = registry.task(wildcards["model"], name, wildcards["key"])
        (planned, *_) = (one for one in registry.experiments.values() if task in one.tasks.values())
        needs, looks_at = planned.needs(task), planned.looks_at(task)
    else:
        task = registry.resource(name, wildcards)
        looks_at = task.spec.resources
    outputs, log = task.outputs, [] if name in ("wheel", "corpus") else task.logs[-1:]
    if "part" in wildcards:
        number = int(wildcards["part"].partition("of")[0]) - 1
        one = slice(number, number + 1)
        needs, outputs, log = [*set(needs) - set(task.parts)], task.parts[one], task.logs[one]
    step = {"needs": set(needs), "looks_at": set(looks_at), "outputs": set(outputs), "timed": task.step.timed}
    return step | ({"log": {*map(str, log)}} if log else {})


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    monkeypatch.chdir(project(tmp_path))
    content = yaml.safe_load(Path("config/config.yaml").read_text())
    content["evaluation"] |= MORE["evaluation"]
    told = content | {name: MORE[name] for name in ("report", "sweeps", "gradients")}
    return Registry(parse_config(told), Run(shards=MORE["shards"]))


def test_steps_with_work_are_jobs_and_ask_what_their_row_says(jobs):
    """Of a model that has not been obtained: as much as a large one; the others run where Snakemake does."""
    for job in jobs:
        if (step := TABLE.get(job["rule"])) is None:
            continue
        assert job["local"] == (step.work is None), job["rule"]
        if step.work:
            expected = {"gpu": None} | step.work.resources(UNKNOWN)
            assert job["asks"] == expected, job["rule"]
            assert job["threads"] == (64 if job["rule"] == "efficiency" else step.work.threads(UNKNOWN)), job["rule"]


def test_every_step_is_a_rule_and_every_rule_a_step(jobs):
    assert {job["rule"] for job in jobs} - NO_STEPS == set(RULES)


def resolve_all(jobs: list[dict], registry: Registry) -> None:
    for wildcards in (job["wildcards"] for job in jobs):
        if "experiment" in wildcards:
            registry.experiment(wildcards["model"], wildcards["experiment"])


def test_the_snakefile_has_the_edges_and_files_of_the_table(jobs, registry):
    resolve_all(jobs, registry)
    assert "\n".join(differences(jobs, registry)) == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("diagnosis.smk", 'stability="results/{model}/{experiment}/analysis/stability.json",', "", "diagnosis: needs"),
        ("gradients.smk", "/timing.json", "/times.json", "gradients: outputs"),
        ("pruning.smk", "model=ancient(", "model=(", "pruning: needs"),
    ],
    ids=["an input is removed", "a file is renamed", "an input makes it run again"],
)
def test_a_rule_that_says_something_else_is_found(tmp_path, programs, registry, file, old, new, said):
    folder = project(tmp_path / "changed")
    rules = folder / "workflow/rules" / file
    assert old in rules.read_text()
    rules.write_text(rules.read_text().replace(old, new, 1))
    changed = jobs_of(folder, programs)
    resolve_all(changed, registry)
    assert {found.partition(": Snakefile")[0] for found in differences(changed, registry)} >= {said}


def test_a_row_that_lacks_a_file_is_found(jobs, registry, monkeypatch):
    step = TABLE["importance"]
    monkeypatch.setitem(step.__dict__, "files", tuple(file for file in step.files if file.name != "stability"))
    resolve_all(jobs, registry)
    assert any(found.startswith("importance: outputs") for found in differences(jobs, registry))
