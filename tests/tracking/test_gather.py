import json
import math
from pathlib import Path

import pytest
from fake_results import (
    KEYS,
    MODEL,
    NAME,
    RATES,
    START,
    STEPS,
    record_key,
    write_experiment,
    write_identity,
    write_record,
)

from prunescope.artifacts.folders import (
    BaselineFolder,
    CalibrationFolder,
    ComparisonFolder,
    EvaluationTextFolder,
    ExperimentFolder,
    GgufBaselineFolder,
    GradientsFolder,
    ModelFolder,
    RecoveryTextFolder,
    RefitTextFolder,
    RemovalFolder,
    ZeroshotBaselineFolder,
)
from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError
from prunescope.files import write_text
from prunescope.tracking import shown
from prunescope.tracking.gather import RecordError, gather, gather_shared, gather_unpruned


def record_of(directory, step):
    return ExperimentFolder(directory).named(ExperimentFolder.record, step=step).path


def test_everything_of_an_experiment(tmp_path):
    run = gather(write_experiment(tmp_path))
    assert (run.model, run.name, run.key) == (MODEL, NAME, f"{MODEL}/{NAME}-11112222")
    assert run.params["method.temperature"] == "1.0"
    assert run.params == {"dataset": "wiki", "method.criterion": "taylor", "method.temperature": "1.0"}
    assert run.metrics["ppl/wiki/w512"] == 54.6
    assert run.metrics["usage/pruning_seconds"] == 10
    assert run.curves == {"prune/rate_by_layer": {0: 0.1, 2: 0.3, 3: 0.25}}
    assert (run.started, run.finished) == (START, START + 310)
    assert run.shared == KEYS
    assert run.calibration.digest == "f" * 16
    assert run.calibration.directory == f"results/{MODEL}/_shared/calibration/{KEYS['calibration']}"
    assert json.loads(run.calibration.profile)["documents"] == 7
    assert run.tags["prunescope.checkpoint"] == f"results/{MODEL}/{NAME}/model"
    assert {"dataset": "wiki", "criterion": "taylor", "model": MODEL}.items() <= run.tags.items()
    assert run.note == "Perplexity 54.6.\n"
    assert next(iter(run.metrics)) == "ppl/wiki/w512"


def test_the_trained_checkpoint_is_the_final_one(tmp_path):
    directory = write_experiment(tmp_path)
    write_record(directory, "recovery", histories={"recover/loss": [(1, 3.5), (2, 3.25)]})
    write_identity(directory, steps={step: record_key(directory, step) for step in (*STEPS, "recovery")})
    run = gather(directory)
    assert run.curves["recover/loss"] == {1: 3.5, 2: 3.25}
    assert run.pruned.path == run.tags["prunescope.checkpoint"] == f"results/{MODEL}/{NAME}/recovered"


def test_small_files_are_artifacts_and_the_checkpoint_is_not(tmp_path, monkeypatch):
    directory = write_experiment(tmp_path)
    files = {
        "README.md",
        "analysis/gradient_diagnosis.json",
        "analysis/pruning_summary.csv",
        "evaluation/perplexity.json",
        "visualization/pruning_rates.png",
    }
    assert set(gather(directory).artifacts) == files
    monkeypatch.setattr(shown, "LARGEST", 10)
    assert set(gather(directory).artifacts) == files - {"README.md"}


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        (
            ExperimentFolder,
            "README.md config.yaml analysis/pruning_summary.json analysis/pruning_summary.csv analysis/plan.json "
            "analysis/gradient_statistics.json analysis/stability.json analysis/gradient_diagnosis.json "
            "analysis/search.json "
            "analysis/trials.json analysis/refit.json analysis/scales.json analysis/diagnosis.html "
            "visualization/{plot}.png evaluation/words.json evaluation/recovered_words.json "
            "visualization/before_after.png evaluation/perplexity.json evaluation/card.json evaluation/recovered.json "
            "evaluation/zeroshot.json evaluation/efficiency.json",
        ),
        (ComparisonFolder, "comparison.md comparison.csv recommendation.json {figures}"),
        (ModelFolder, "key.json"),
        (CalibrationFolder, "key.json manifest.json"),
        (GradientsFolder, "key.json gradient_statistics.json stability.json timing.json"),
        (RemovalFolder, "key.json block_importance.json similarity.json"),
        (EvaluationTextFolder, "key.json manifest.json"),
        (RefitTextFolder, "key.json manifest.json"),
        (RecoveryTextFolder, "key.json manifest.json"),
        (BaselineFolder, "key.json"),
        (ZeroshotBaselineFolder, "key.json"),
        (GgufBaselineFolder, "key.json"),
    ],
)
def test_which_files_are_shown(kind, files, tmp_path):
    for file in kind.files().values():
        if Path(file.path).suffix:
            write_text(tmp_path / file.path, "x")
        else:
            (tmp_path / file.path).mkdir(parents=True, exist_ok=True)
    figures = ("perplexity", "pruning_rates", "kept_groups", "gradient_profiles")
    drawn = [f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")]
    assert set(shown.artifacts(kind(tmp_path))) == set(files.replace("{figures}", " ".join(drawn)).split())


def test_how_much_worse_the_final_model_is_comes_first(project):
    folder = write_experiment(project)
    write_record(folder, "evaluation", metrics={"ppl/a": 9.0, "ppl_ratio/a": 2.0, "ppl_ratio/b": 8.0})
    assert next(iter(gather(folder).metrics.items())) == ("ppl/geomean_ratio", pytest.approx(4.0))
    write_record(folder, "pruning", metrics={"ppl_recovered_ratio/a": 1.5})
    assert gather(folder).metrics["ppl/geomean_ratio"] == pytest.approx(1.5)


def test_numbers_that_are_not_finite_are_left_out(tmp_path):
    directory = write_experiment(tmp_path)
    path = record_of(directory, "pruning")
    record = json.loads(path.read_text())
    record["metrics"]["prune/bad"] = float("inf")
    record["curves"]["prune/rate"][0] = float("nan")
    path.write_text(json.dumps(record))
    run = gather(directory)
    assert "prune/bad" not in run.metrics
    assert "ppl/bad" not in run.metrics
    assert run.curves["prune/rate_by_layer"] == {2: RATES[2], 3: RATES[3]}


def test_numbers_are_rounded_to_six_digits_and_counts_are_not(tmp_path):
    directory = write_experiment(tmp_path)
    metrics = {"ppl/wiki_w512": 51.08952065658309, "prune/kl": 1.23456789e-7, "prune/removed_parameters": 26903347}
    write_record(directory, "pruning", metrics=metrics | {"prune/flops": 123456789.0}, curves={"prune/rate": [1 / 3]})
    run = gather(directory)
    assert run.metrics["ppl/wiki_w512"] == 51.0895
    assert run.metrics["prune/kl"] == 1.23457e-7
    assert run.metrics["prune/removed_parameters"] == 26903347 and run.metrics["prune/flops"] == 123456789
    assert run.curves["prune/rate_by_layer"] == {0: 0.333333}


def test_the_unpruned_model_is_a_row_of_numbers_as_people_read_them(tmp_path):
    directory = write_experiment(tmp_path)
    assert gather_unpruned(ExperimentFolder(directory)) is None
    write_identity(directory, shared=KEYS | {"baseline": "abcd"})
    metrics = {"ppl/wiki_w512": 18.227276907903715, "ppl/bad": math.inf}
    measured = StepRecord(step="baseline", key="abcd", metrics=metrics, started=1.0, finished=2.0, seconds=1.0)
    ExperimentFolder(directory).shared("baseline", "abcd").record.write(measured)
    run = gather_unpruned(ExperimentFolder(directory))
    assert {"ppl/geomean_ratio": 1, "ppl/wiki_w512": 18.2273, "prune/ratio_of_total": 0}.items() <= run.metrics.items()
    assert "ppl/bad" not in run.metrics


def test_shared_step(tmp_path):
    directory = write_experiment(tmp_path)
    folder = GradientsFolder(ExperimentFolder(directory).shared("gradients", KEYS["gradients"]).path)
    run = gather_shared(folder)
    assert run.key == f"{MODEL}/_shared/gradients/{KEYS['gradients']}"
    assert run.params == {"samples": "4"}
    assert gather_shared(GradientsFolder(folder.path / "nothing")) is None


def test_digest_follows_the_content_not_the_place(tmp_path):
    one, two = (gather(write_experiment(tmp_path / place)) for place in ("a", "b"))
    assert one.digest() == two.digest()
    other = ExperimentFolder(tmp_path / "b/results" / MODEL / NAME)
    other.page.write("other")
    assert gather(other.path).digest() != one.digest()


def test_unfinished_and_broken_experiments_are_sentences(tmp_path):
    directory = write_experiment(tmp_path)
    record = record_of(directory, "evaluation")
    for content in ('{"step": ', '{"stop": 1}'):
        record.write_text(content)
        with pytest.raises(DataError, match=r"evaluation\.json is damaged: .* run its step again: evaluation"):
            gather(directory)
    record.unlink()
    with pytest.raises(RecordError, match="has not finished"):
        gather(directory)
    write_identity(directory, steps={})  # a plan that was applied by hand
    with pytest.raises(RecordError, match="has not finished"):
        gather(directory)


def test_an_experiment_that_is_being_run_again_under_other_settings_is_not_complete(tmp_path):
    directory = write_experiment(tmp_path)
    assert gather(directory)
    write_record(directory, "pruning", key=f"{NAME}-other")
    with pytest.raises(RecordError, match="all of the same settings"):
        gather(directory)


def test_optional_steps_count_when_the_experiment_has_them(tmp_path):
    directory = write_experiment(tmp_path)
    write_record(directory, "zeroshot", metrics={"zeroshot/piqa_acc": 0.5})
    assert "zeroshot/piqa_acc" not in gather(directory).metrics  # left over from another configuration
    write_identity(directory, steps={step: record_key(directory, step) for step in (*STEPS, "zeroshot")})
    assert gather(directory).metrics["zeroshot/piqa_acc"] == 0.5
    record_of(directory, "zeroshot").unlink()
    with pytest.raises(RecordError, match="has not finished"):
        gather(directory)


def test_exports_are_shown_where_they_were_asked_for(tmp_path):
    directory = write_experiment(tmp_path)
    for step in ("gguf_q8_0", "uniform"):
        write_record(directory, step, metrics={f"export/{step}_bytes": 7})
    assert {"export/gguf_q8_0_bytes": 7, "export/uniform_bytes": 7}.items() <= gather(directory).metrics.items()
