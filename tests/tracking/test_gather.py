import json

import pytest
from fake_results import KEYS, MODEL, NAME, RATES, START, write_experiment

from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError
from prunescope.tracking.gather import RecordError, gather_experiment, gather_shared, is_complete


def test_everything_of_an_experiment(tmp_path):
    run = gather_experiment(write_experiment(tmp_path))
    assert (run.model, run.name, run.key) == (MODEL, NAME, f"{MODEL}/{NAME}-11112222")
    assert run.params["method.temperature"] == "1.0"
    assert run.params == {"dataset": "wiki", "method.criterion": "taylor", "method.temperature": "1.0"}
    assert run.metrics["ppl/wiki/w512"] == 54.6
    assert run.metrics["usage/pruning_seconds"] == 10
    assert run.curves == {"prune/rate_by_layer": RATES}
    assert (run.started, run.finished) == (START, START + 310)
    assert run.shared == KEYS
    assert run.calibration.digest == "f" * 16
    assert run.tags["prunescope.checkpoint"] == f"results/{MODEL}/{NAME}/model"
    assert {"dataset": "wiki", "criterion": "taylor", "model": MODEL}.items() <= run.tags.items()
    assert run.note == "Perplexity 54.6.\n"
    assert next(iter(run.metrics)) == "ppl/wiki/w512"


def test_small_files_are_artifacts_and_the_checkpoint_is_not(tmp_path):
    artifacts = gather_experiment(write_experiment(tmp_path)).artifacts
    assert set(artifacts) == {
        "README.md",
        "analysis/gradient_diagnosis.json",
        "analysis/pruning_summary.csv",
        "evaluation/perplexity.json",
        "visualization/extra.txt",
        "visualization/pruning_rates.png",
    }


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    directory = write_experiment(tmp_path)
    path = directory / "records/pruning.json"
    record = json.loads(path.read_text())
    record["metrics"]["prune/bad"] = float("inf")
    record["curves"]["prune/rate"][0] = float("nan")
    path.write_text(json.dumps(record))
    run = gather_experiment(directory)
    assert "prune/bad" not in run.metrics
    assert "ppl/bad" not in run.metrics
    assert run.curves["prune/rate_by_layer"] == [None, *RATES[1:]]


def test_shared_step(tmp_path):
    directory = write_experiment(tmp_path).parent / "_shared/gradients" / KEYS["gradients"]
    run = gather_shared(directory)
    assert run.key == f"{MODEL}/_shared/gradients/{KEYS['gradients']}"
    assert run.params == {"samples": "4"}
    assert gather_shared(directory / "nothing") is None


def test_digest_follows_the_content_not_the_place(tmp_path):
    one, two = (gather_experiment(write_experiment(tmp_path / place)) for place in ("a", "b"))
    assert one.digest() == two.digest()
    (tmp_path / "b/results" / MODEL / NAME / "README.md").write_text("other")
    assert gather_experiment(tmp_path / "b/results" / MODEL / NAME).digest() != one.digest()


def test_unfinished_and_broken_experiments_are_sentences(tmp_path):
    directory = write_experiment(tmp_path)
    record = directory / "records/evaluation.json"
    record.write_text('{"step": ')
    with pytest.raises(DataError, match=r"evaluation\.json is damaged: Invalid JSON.* run its step again: evaluation"):
        gather_experiment(directory)
    record.write_text('{"stop": 1}')
    with pytest.raises(DataError, match=r"evaluation\.json is damaged: step: Field required"):
        gather_experiment(directory)
    record.unlink()
    with pytest.raises(RecordError, match="has not finished"):
        gather_experiment(directory)


def test_an_experiment_that_is_being_run_again_under_other_settings_is_not_complete(tmp_path):
    directory = write_experiment(tmp_path)
    told = {step: f"{NAME}-{step}" for step in ("importance", "diagnosis", "pruning", "evaluation")}
    about = json.loads((directory / "experiment.json").read_text())
    (directory / "experiment.json").write_text(json.dumps(about | {"steps": told}))
    assert is_complete(directory)  # records of an earlier version have no digest
    for step, key in told.items():
        _rekey(directory / f"records/{step}.json", key)
    assert is_complete(directory)
    _rekey(directory / "records/pruning.json", f"{NAME}-other")
    assert not is_complete(directory)
    with pytest.raises(RecordError, match="of the same settings; run snakemake"):
        gather_experiment(directory)


def _rekey(record, key):
    record.write_text(json.dumps(json.loads(record.read_text()) | {"key": key}))


def test_optional_steps_count_when_the_experiment_has_them(tmp_path):
    directory = write_experiment(tmp_path)
    record = directory / "records/zeroshot.json"
    StepRecord(step="zeroshot", key=NAME, metrics={"zeroshot/piqa_acc": 0.5}, started=START, finished=START).write(
        record
    )
    assert "zeroshot/piqa_acc" not in gather_experiment(directory).metrics  # left over from another configuration
    about = json.loads((directory / "experiment.json").read_text())
    steps = ["importance", "diagnosis", "pruning", "evaluation", "zeroshot"]
    (directory / "experiment.json").write_text(json.dumps(about | {"steps": steps}))
    assert gather_experiment(directory).metrics["zeroshot/piqa_acc"] == 0.5
    record.unlink()
    assert not is_complete(directory)
    with pytest.raises(RecordError, match="has not finished"):
        gather_experiment(directory)
