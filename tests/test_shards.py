"""Parts of windows: what they add up to is what one job finds, and one that is lost is measured again alone."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from jobs import job
from prunescope.artifacts.folders import RemovalFolder
from prunescope.artifacts.parts import Part, added
from prunescope.artifacts.record import StepRecord
from prunescope.diagnosis import trials
from prunescope.errors import ConfigError, DataError
from prunescope.evaluation.steps import measure_part, results_of
from prunescope.files import canonical
from prunescope.models.adapter import adapter_for
from prunescope.shards import WHOLE, Shard
from prunescope.steps.importance import RemovalSpec
from prunescope.steps.job import read_spec
from prunescope.steps.spec import ScatteredSpec
from prunescope.steps.step import Task
from prunescope.steps.table import TABLE
from prunescope.trial.measured import Meter
from prunescope.trial.prior import WAYS
from tiny import tiny_model, tiny_tokens
from trials import ready

SPEC = RemovalSpec(inputs={"model": "m", "calibration": "c"}, prior="removal")
COUNTS = pytest.mark.parametrize("count", [2, 5])


@pytest.mark.parametrize(("windows", "of"), [(7, 1), (7, 2), (7, 5), (3, 5), (0, 2)])
def test_shards_are_all_windows_once_and_in_order(windows, of):
    rows = [[*range(windows)][shard.rows(windows)] for shard in Shard.all(of)]
    assert [row for part in rows for row in part] == [*range(windows)]
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_the_name_of_a_shard_says_which_it_is():
    assert [str(shard) for shard in Shard.all(3)] == ["1of3", "2of3", "3of3"]
    assert Shard.named("2of3") == Shard(1, 3)


@COUNTS
@pytest.mark.parametrize("way", WAYS)
def test_a_prior_is_the_same_of_any_number_of_parts(way, count):
    sums, result = WAYS[way]
    model, windows = tiny_model(), tiny_tokens(samples=7)
    adapter = adapter_for(model)
    whole = result(sums(adapter, windows, 2)).by_part()
    parts = [Part(sums(adapter, windows[shard.rows(7)], 2)) for shard in Shard.all(count)]
    found = result(dict(added(parts).sums)).by_part()
    for part, values in whole.items():
        assert found[part] == pytest.approx(values, rel=0, abs=1e-12), part


@COUNTS
def test_perplexity_is_the_same_of_any_number_of_parts(count):
    model = tiny_model()
    windows = {"a/w9": tiny_tokens(7, 9), "b/w12s4": tiny_tokens(3, 20)}
    whole, losses = results_of(windows, measure_part(model, windows, WHOLE))
    parts = [measure_part(model, windows, shard) for shard in Shard.all(count)]
    found, others = results_of(windows, added(parts))
    assert others["loss"].to_numpy() == pytest.approx(losses["loss"].to_numpy(), rel=1e-12)
    for text, protocol in (("a", "w9"), ("b", "w12s4")):
        one, other = whole[text][protocol], found[text][protocol]
        assert other.perplexity == pytest.approx(one.perplexity, rel=1e-12)
        assert other.interval == pytest.approx(one.interval, rel=1e-12)
        assert (other.tokens, other.windows, other.sha256) == (one.tokens, one.windows, one.sha256)


@COUNTS
def test_a_trial_is_the_same_of_any_number_of_parts(tmp_path, monkeypatch, count):
    monkeypatch.setattr(trials, "Meter", partial(Meter, dtype="float64"))
    tiny = ready(tmp_path)
    trial = tiny.job("taylor_T1_tau0_20_wiki")
    trials.measure(trial)
    expected = trial.folder.trials.read()
    measured = [*tiny.text.path.glob("measured/*/*.json")]
    for file in measured[1:]:  # what another experiment has measured is looked up
        file.unlink()
    shared = replace(trial, shards=count)
    for shard in Shard.all(count):
        shared.leave(shard, trials.measure_part(trial, shard))
    assert len([*tiny.text.path.glob("measured/*/*.json")]) == 1
    monkeypatch.setattr(Meter, "model", property(lambda _: pytest.fail("the sums are there")))
    trials.measure(shared)
    found = shared.folder.trials.read()
    assert [one.name for one in found.candidates] == [one.name for one in expected.candidates]
    for one, other in zip(expected.candidates, found.candidates, strict=True):
        for text, effect in one.texts.items():
            assert dict(other.texts[text]) == pytest.approx(dict(effect), rel=1e-12)
    assert shared.folder.named(type(shared.folder).record, step="trial").read().tags["shards"] == str(count)


@pytest.fixture
def removal(tmp_path):
    """The job that adds up three parts, and the shards that it had to measure."""
    gather, measured = replace(job(SPEC, tmp_path / "k"), shards=3), []

    def work(shard: Shard) -> Part:
        measured.append(shard.number)
        return Part({"loss": torch.tensor([1.0, shard.number], dtype=torch.float64)}, {"dtype": "float32"})

    for shard in Shard.all(3):
        gather.leave(shard, work(shard))
    measured.clear()
    return gather, work, measured


def test_parts_that_are_there_are_added_up(removal):
    gather, work, measured = removal
    found = gather.gathered(work)
    assert found.sums["loss"].tolist() == [3.0, 3.0] and found.tags == {"dtype": "float32"}
    assert measured == []


@pytest.mark.parametrize("fault", ["lost", "empty", "half", "of another key"])
def test_a_part_that_cannot_be_used_is_measured_again_alone(removal, caplog, fault):
    gather, work, measured = removal
    part = gather.folder.path / "part.2of3.safetensors"
    match fault:
        case "lost":
            part.unlink()
        case "empty":
            part.write_bytes(b"")
        case "half":
            part.write_bytes(part.read_bytes()[:-9])
        case _:
            other = replace(gather, spec=SPEC.model_copy(update={"samples": 3}))
            other.leave(Shard(1, 3), Part({"loss": torch.zeros(2)}))
    assert gather.gathered(work).sums["loss"].tolist() == [3.0, 3.0]
    assert measured == [1]
    (warning,) = caplog.messages
    assert "part.2of3.safetensors" in warning and warning.endswith("its windows are measured again")


def test_parts_that_were_computed_otherwise_are_not_added_up(removal):
    gather, work, _ = removal
    gather.leave(Shard(0, 3), replace(work(Shard(0, 3)), tags={"dtype": "bfloat16"}))
    with pytest.raises(DataError, match=r"do not belong together \(dtype bfloat16; dtype float32\): set the dtype"):
        gather.gathered(work)


def test_a_part_without_windows_adds_nothing(removal):
    gather, work, _ = removal
    gather.leave(Shard(2, 3), Part())
    assert gather.gathered(work).sums["loss"].tolist() == [2.0, 1.0]


def test_how_the_work_is_divided_is_in_no_key_and_part_of_what_a_job_is_told():
    scattered = SPEC.model_copy(update={"shards": 3, "part": 1})
    assert (scattered.key, scattered.identity()) == (SPEC.key, SPEC.identity())
    assert SPEC.text() != scattered.text() and "shard" not in SPEC.text()


@pytest.mark.parametrize("told", [{"part": 0}, {"shards": 2, "part": 2}, {"shards": 2, "part": -1}, {"shards": 1}])
def test_a_part_that_there_cannot_be_is_refused(told):
    with pytest.raises(ConfigError, match=r"^--spec: "):
        read_spec(RemovalSpec, canonical(SPEC.model_dump(mode="json") | told))


def test_a_step_that_is_done_keeps_the_parts_that_it_was_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("results/m/_shared/removal", SPEC.key)
    task = Task(TABLE["removal"], SPEC.model_copy(update={"shards": 2}), str(path))
    assert task.parts == (f"{path}/part.1of2.safetensors", f"{path}/part.2of2.safetensors")
    assert RemovalSpec.model_validate_json(task.told("2of2")).shard == Shard(1, 2)
    RemovalFolder(path).record.write(StepRecord(step="removal", key=SPEC.key, tags={"shards": "5"}))
    (path / "block_importance.json").touch()
    assert len(replace(task).parts) == 5
    RemovalFolder(path).record.write(StepRecord(step="removal", key=SPEC.key))
    assert replace(task).parts == ()


def test_the_steps_that_can_be_divided_are_told_so():
    for step in TABLE.values():
        assert bool(step.part) == issubclass(step.spec, ScatteredSpec) == (step.part_file() is not None), step.name
