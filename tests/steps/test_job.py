"""Running a step: what it is told, what it reads, and when its key is written."""

import json
from dataclasses import replace

import pytest

from prunescope.artifacts.folders import CalibrationFolder, ExperimentFolder, GradientsFolder, ModelFolder
from prunescope.environment import switch, whole_number
from prunescope.errors import ConfigError, DataError
from prunescope.steps.importance import GradientsSpec, ImportanceSpec
from prunescope.steps.job import Job, run
from prunescope.steps.table import TABLE

SPEC = GradientsSpec(inputs={"model": "m", "calibration": "c"}, batch_size=4)
jobs: list[Job] = []


def note(job):
    jobs.append(job)


def fail(job):
    raise DataError("no")


@pytest.fixture
def step(monkeypatch):
    """Let the gradients step only note its job."""
    jobs.clear()
    monkeypatch.setitem(TABLE, "gradients", replace(TABLE["gradients"], run="steps.job:note"))
    monkeypatch.setattr("prunescope.steps.job.note", note, raising=False)
    return monkeypatch


def folder_in(root):
    return GradientsFolder(root / "results/m/_shared/gradients/g")


def test_a_shared_step_finds_the_steps_that_it_reads(tmp_path, step):
    run("gradients", folder_in(tmp_path).path, SPEC.text())
    (job,) = jobs
    assert (job.spec, job.folder) == (SPEC, folder_in(tmp_path))
    assert job.input(CalibrationFolder) == CalibrationFolder(tmp_path / "results/m/_shared/calibration/c")
    assert job.reads(ModelFolder) and not job.reads(GradientsFolder)


def test_a_step_of_an_experiment_finds_the_steps_that_it_reads(tmp_path):
    told = {"inputs": {"model": "m"}, "model": "M", "experiment": "e", "method": {}, "corrections": {}, "limits": {}}
    job = Job.of(TABLE["importance"], ImportanceSpec(**told), tmp_path / "results/M/e")
    assert job.folder == ExperimentFolder(tmp_path / "results/M/e")
    assert job.input(ModelFolder).path == tmp_path / "results/M/_shared/model/m"


def test_a_spec_may_be_in_a_file(tmp_path, step):
    (tmp_path / "spec.json").write_text(SPEC.text())
    run("gradients", folder_in(tmp_path).path, str(tmp_path / "spec.json"))
    assert jobs[0].spec == SPEC
    with pytest.raises(ConfigError, match=r"--spec: no file .*other\.json"):
        run("gradients", folder_in(tmp_path).path, str(tmp_path / "other.json"))
    with pytest.raises(ConfigError, match=r"--spec: no file \["):
        run("gradients", folder_in(tmp_path).path, "[" + "1, " * 2000 + "1]")
    with pytest.raises(ConfigError, match=r"^--spec: Invalid JSON: EOF"):
        run("gradients", folder_in(tmp_path).path, '{"inputs": ')


def test_the_key_is_written_when_the_step_has_succeeded(tmp_path, step):
    folder = folder_in(tmp_path)
    step.setattr("prunescope.steps.job.note", fail)
    with pytest.raises(DataError):
        run("gradients", folder.path, SPEC.text())
    assert not folder.key.exists()
    step.setattr("prunescope.steps.job.note", note)
    run("gradients", folder.path, SPEC.text())
    assert folder.key.read() == json.loads(SPEC.text())


def test_an_unknown_step_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown step 'gradient'; did you mean .*gradients"):
        run("gradient", tmp_path, "{}")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('{"batch": 4}', r"--spec.*batch"),
        ('{"batch_size": "many"}', r"--spec.*batch_size"),
        ('{"batch_size": 4', "--spec"),
    ],
)
def test_what_is_no_spec_of_the_step_is_refused(tmp_path, step, told, said):
    with pytest.raises(ConfigError, match=said):
        run("gradients", folder_in(tmp_path).path, told)
    assert not jobs and not folder_in(tmp_path).path.exists()


def test_a_folder_that_the_spec_has_no_key_of_is_refused(tmp_path):
    job = Job.of(TABLE["gradients"], SPEC, folder_in(tmp_path).path)
    with pytest.raises(ConfigError, match="the gradients step reads the 'removal' step, but its spec has no key of it"):
        job.input(TABLE["removal"].folder)


def test_the_record_of_a_shared_step_has_its_key_and_that_of_an_own_step_its_name(tmp_path):
    with Job.of(TABLE["gradients"], SPEC, folder_in(tmp_path).path).recording({"a": 1}) as record:
        record.metrics["b"] = 2
    written = folder_in(tmp_path).record.read()
    assert (written.step, written.key, written.params, written.metrics) == ("gradients", "g", {"a": 1}, {"b": 2})
    told = {"model": "M", "experiment": "e", "method": {}, "corrections": {}, "limits": {}}
    own = Job.of(TABLE["importance"], spec := ImportanceSpec(**told), tmp_path / "results/M/e")
    with own.recording():
        pass
    assert own.folder.named(ExperimentFolder.record, step="importance").read().key == spec.record_key


@pytest.mark.parametrize(("value", "expected"), [(None, None), ("", None), ("1", 1), ("12", 12)])
def test_a_whole_number_from_the_environment(monkeypatch, value, expected):
    monkeypatch.delenv("NUMBER", raising=False)
    if value is not None:
        monkeypatch.setenv("NUMBER", value)
    assert whole_number("NUMBER") == expected


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²"])
def test_no_whole_number_is_refused(monkeypatch, value):
    monkeypatch.setenv("NUMBER", value)
    with pytest.raises(ConfigError, match=f"NUMBER = '{value}': must be a whole number of at least 1"):
        whole_number("NUMBER")


@pytest.mark.parametrize(
    ("value", "expected"), [(None, False), ("", False), ("0", False), ("No", False), ("1", True), ("TRUE", True)]
)
def test_a_switch_from_the_environment(monkeypatch, value, expected):
    monkeypatch.delenv("SWITCH", raising=False)
    if value is not None:
        monkeypatch.setenv("SWITCH", value)
    assert switch("SWITCH") is expected


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch):
    monkeypatch.setenv("SWITCH", "maybe")
    with pytest.raises(ConfigError, match="SWITCH = 'maybe': must be 1 or 0"):
        switch("SWITCH")
