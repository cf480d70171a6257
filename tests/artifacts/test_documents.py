"""Files of an experiment: written and read as their class, damaged ones told in a sentence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prunescope.artifacts.card import CalibrationTokens, Compute, RecoveryTokens
from prunescope.artifacts.diagnosis import Checks, Finding
from prunescope.artifacts.folders import (
    BaselineFolder,
    CalibrationFolder,
    ExperimentFolder,
    GradientsFolder,
    ModelFolder,
    RemovalFolder,
)
from prunescope.artifacts.identity import Receipt
from prunescope.artifacts.manifests import CalibrationManifest, RecoveryManifest
from prunescope.artifacts.measured import Measured
from prunescope.artifacts.passes import BlockValues
from prunescope.artifacts.perplexity import Perplexity, shown
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.record import StepRecord
from prunescope.artifacts.summary import PruningSummary
from prunescope.config.sections import Limits
from prunescope.errors import DataError
from tiny import tiny_facts, tiny_model

FIGURE = {
    "perplexity": 20.0, "interval": [18.0, 22.5], "loss": 3.0, "tokens": 127, "windows": 1, "window": 128, "stride": 0,
    "sha256": "0" * 64, "bos": False, "dtype": "float32",
}  # fmt: skip
SCORE = {"acc": {"value": 0.5, "stderr": None}}
PARAMETER = {"mean": [1.0, None], "std": [0.5, 1.5], "norm": [2.0, 3.0], "max": [3.0, 4.0], "min": [0.0, 0.0]}
LAYER = {"mean": 1.0, "std": None, "norm": 2.0, "max": 3.0, "min": 0.0}
TEXT = {"source": "s", "revision": None, "split": "train", "windows": 2, "documents": 1, "document_ids": ["a"]}
MANIFEST = {
    "source": "s", "revision": None, "documents": 1, "sha256": "0", "tokens": 8, "samples": 2, "seq_len": 4, "seed": 0,
    "bos": False, "texts": {"wiki": TEXT}, "learned_tokens": 6,
}  # fmt: skip
SUMMARY = {
    "model": "M", "experiment": "E", "target_ratio": 0.2, "total_parameters": 10, "decoder_parameters": 8,
    "removed_parameters": 2, "remaining_parameters": 8, "ratio_of_total": 0.2, "ratio_of_decoder": 0.25,
    "rounding_unit": 1, "attention_rate": 0.5, "mlp_rate": 0.0, "limits": Limits().model_dump(mode="json"),
    "layers_dropped": [], "tau": "inf", "layer_wise": [0],
    "negative_deltas": [{"layer": 0, "block": "layer", "delta": -0.5}],
    "bound": [{"limit": "limits.max_rate", "blocks": ["0.mlp"]}], "collapsed": ["0.mlp"],
    "layers": [
        {"layer": 0, "attention_params": 4, "attention_removed": 2, "attention_rate": 0.5, "mlp_params": 4,
         "mlp_removed": 0, "mlp_rate": 0.0, "rate": 0.25},
        {"layer": 1, "attention_params": 4, "attention_removed": 0, "attention_rate": 0.0, "mlp_params": 4,
         "mlp_removed": 0, "mlp_rate": 0.0, "rate": 0.0},
    ],
}  # fmt: skip


SETTINGS = {
    "device": "cpu", "dtype": "float32", "spans_spread": "", "bos": False, "documents_joined_by": "",
    "hardware": {"device_name": "", "cpu": "", "cpu_count": 1, "threads": 1, "system": ""},
    "interval": {"level": 0.95, "draws": 1, "seed": 0},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> ExperimentFolder:
    return ExperimentFolder(tmp_path / "results/M/E")


def put(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


# What a real run leaves is compared byte for byte in tests/workflow/test_files_page.py; here what it does not show.
@pytest.mark.parametrize(
    ("file", "content"),
    [
        (BaselineFolder.perplexity, {"wiki": {"w128": FIGURE, "w64": FIGURE | {"interval": None}}}),
        (GradientsFolder.statistics, {"model.a": PARAMETER, "model.b": PARAMETER, "layers": {"0": LAYER, "11": LAYER}}),
        (
            GradientsFolder.stability,
            {"criterion": "gate", "layers": {"0": None}, "samples": 1, "first_samples": 0, "others": {}},
        ),
        (ExperimentFolder.zeroshot, {"baseline": {"arc": SCORE}, "recovered": {"arc": SCORE}, "settings": {"a": None}}),
        (ExperimentFolder.efficiency, {"baseline": {"parameters": 3, "batches": {"b1": {"x": 0.5}}}, "settings": {}}),
        (ExperimentFolder.tracked, {"run_id": None, "pending": True, "reason": "no such host"}),
        (ExperimentFolder.tracked, {"run_id": "1", "experiment_id": "2", "key": "k", "uri": "u", "url": None}),
        (ExperimentFolder.summary, SUMMARY),
        (ExperimentFolder.plan, {"model": "M", "removed": {"0": {"attention": "", "mlp": "0-3,7"}}}),
    ],
)
def test_a_file_is_written_as_it_was_read(tmp_path, file, content):
    put(tmp_path / "one.json", content)
    file.format.write(tmp_path / "other.json", file.format.read(tmp_path / "one.json"))
    assert (tmp_path / "other.json").read_text() == (tmp_path / "one.json").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"model": ', r"is damaged: Invalid JSON: .*; delete it and run its step again: importance"),
        ("[]", r"is damaged: .*; delete it and run its step again: importance"),
        (json.dumps({"model": "M"}), r"is damaged: removed: Field required; delete it"),
        (json.dumps({"model": 3, "removed": {}, "x": 1}), r"is damaged: model: .*valid string \(and 1 more\); delete"),
        (json.dumps({"model": "M", "removed": {}, "kept": {}}), r"is damaged: kept: Extra inputs are not permitted"),
    ],
)
def test_a_damaged_file_is_a_sentence_that_names_the_step(folder, text, said):
    folder.plan.path.parent.mkdir(parents=True)
    folder.plan.path.write_text(text)
    with pytest.raises(DataError, match=rf"^{folder.plan.path} {said}") as raised:
        folder.plan.read()
    assert "\n" not in str(raised.value)


def test_a_missing_file_names_its_step(folder):
    assert not folder.diagnosis.exists()
    with pytest.raises(DataError, match=r"gradient_diagnosis\.json is not there; run the step .* first: diagnosis"):
        folder.diagnosis.read()
    with pytest.raises(DataError, match=r"timing\.json is not there; run the step .* first: gradients"):
        GradientsFolder(folder.path).timing.read()


def test_a_folder_in_the_place_of_a_file_is_a_sentence(folder):
    folder.plan.path.mkdir(parents=True)
    with pytest.raises(DataError, match=r"plan\.json, a file of the step importance, cannot be read: Is a directory"):
        folder.plan.read()
    folder.page.write("a file")
    with pytest.raises(DataError, match=r"plan\.json is not there; run the step that makes it first: importance"):
        ExperimentFolder(folder.page.path).plan.read()


def test_damaged_tensors_and_tables_are_a_sentence(folder):
    for file in (CalibrationFolder(folder.path).samples, GradientsFolder(folder.path).saliency, folder.windows):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(b"no tensors")
        with pytest.raises(DataError, match=rf"{file.path} is damaged: .*; delete it and run its step again: "):
            file.read()
    folder.windows.write(pd.DataFrame({"dataset": ["wiki"]}))
    with pytest.raises(DataError, match=r"windows\.parquet is damaged: no column 'protocol'; delete it"):
        folder.windows.read()


def test_what_is_damaged_is_not_copied(folder):
    gradients = GradientsFolder(folder.path)
    with pytest.raises(DataError, match=r"stability\.json is not there; run the step .* first: gradients"):
        folder.stability.copy(gradients.stability)
    put(gradients.stability.path, {})
    with pytest.raises(DataError, match=r"stability\.json is damaged: .*run its step again: gradients"):
        folder.stability.copy(gradients.stability)
    assert not folder.stability.exists()


def test_nan_in_a_file_is_damage(tmp_path):
    (tmp_path / "perplexity.json").write_text(json.dumps({"wiki": {"w128": FIGURE | {"loss": float("nan")}}}))
    with pytest.raises(DataError, match=r"wiki\.w128\.loss: .*finite number"):
        BaselineFolder(tmp_path).perplexity.read()


def test_a_failed_write_leaves_the_file_before(folder):
    entry = folder.named(ExperimentFolder.record, step="pruning")
    entry.write(StepRecord(step="pruning", key="E"))
    before = entry.path.read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        entry.write(StepRecord(step="pruning", key="E", histories={"loss": [(1, float("nan"))]}))
    assert entry.path.read_text() == before
    assert [path.name for path in entry.path.parent.iterdir()] == ["pruning.json"]


def test_what_was_not_set_is_left_out_and_what_is_none_is_null(folder):
    folder.tracked.write(Receipt(run_id="1", url=None))
    assert json.loads(folder.tracked.path.read_text()) == {"run_id": "1", "url": None}
    assert folder.tracked.read().pending is False


def test_sections_of_the_configuration_are_written_with_their_defaults(folder):
    summary = PruningSummary(**SUMMARY | {"limits": Limits(max_rate=0.5)})
    folder.summary.write(summary)
    written = json.loads(folder.summary.path.read_text())
    assert written["limits"] == Limits(max_rate=0.5).model_dump(mode="json")
    assert folder.summary.read() == summary
    assert (summary.tau, summary.highest_rate, summary.rate_spread) == (float("inf"), 0.25, 0.25)


def test_nan_of_the_diagnosis_is_null():
    evidence = {"gap": np.float64("nan"), "of": (1, 2), "losses": {"mlp": {3: float("inf")}}}
    finding = Finding(
        issue="", severity="high", description="", recommendation="", code="c", layers=[], evidence=evidence,
        remedy=None, remedies=[],
    )  # fmt: skip
    assert finding.evidence == {"gap": None, "of": [1, 2], "losses": {"mlp": {3: None}}}
    checks = {"spikes": [], "spread": {}, "score_ratio": 1.0, "stability": None}
    rates = {"attention_rate": float("nan"), "mlp_rate": None, "rate": 0.5}
    assert Checks(**checks, spearman=float("nan"), attention_vs_mlp=rates).attention_vs_mlp.attention_rate is None


def test_measured_numbers_of_a_model(folder):
    content = {"baseline": {"arc": SCORE}, "pruned": {"arc": {"acc": {"value": 0.25, "stderr": 0.1}}}, "settings": {}}
    put(folder.zeroshot.path, content)
    measured = folder.zeroshot.read()
    assert measured.flat("baseline") == {"arc.acc.value": 0.5, "arc.acc.stderr": None}
    assert measured.flat("recovered") == {}
    assert measured.final == content["pruned"]
    trained = Measured(models=measured.models | {"recovered": {"arc": SCORE}}, settings={})
    assert trained.final == {"arc": SCORE}


def test_values_of_blocks_are_in_the_order_of_the_layers(tmp_path):
    folder = RemovalFolder(tmp_path)
    folder.losses.write(BlockValues.of(attention=[1.0] * 11, mlp=[float(n) for n in range(11)], layer=[0.0] * 11))
    assert folder.losses.read().by_part()["mlp"] == [float(n) for n in range(11)]
    assert json.loads(folder.losses.path.read_text())["mlp"]["10"] == 10.0


def test_the_card_takes_manifests_without_the_documents():
    drawn = {name: value for name, value in TEXT.items() if name != "document_ids"}
    tokens = {name: value for name, value in MANIFEST.items() if name not in ("texts", "learned_tokens")}
    recovery = RecoveryTokens.of(RecoveryManifest.model_validate(MANIFEST)).model_dump(exclude_unset=True)
    assert list(recovery.items()) == list((tokens | {"learned_tokens": 6, "texts": {"wiki": drawn}}).items())
    manifest = CalibrationManifest.model_validate(tokens | {"texts": {"wiki": TEXT}})
    calibration = CalibrationTokens.of(manifest, "wiki", None).model_dump(exclude_unset=True)
    wanted = tokens | {"texts": {"wiki": drawn}, "dataset": "wiki", "license": None}
    assert list(calibration.items()) == list(wanted.items())
    assert Compute(device="cpu").model_dump(exclude_unset=True) == {"device": "cpu"}


def test_leakage_stands_only_where_it_was_set():
    figure = Perplexity.model_validate(FIGURE)
    assert "leakage" not in figure.model_dump(exclude_unset=True)
    told = figure.model_copy(update={"leakage": "source"})
    assert list(told.model_dump(exclude_unset=True))[-1] == "leakage"


def test_record_keeps_integers_and_leaves_out_what_is_not_finite(folder):
    entry = folder.named(ExperimentFolder.record, step="pruning")
    metrics = {"bytes": 3, "rate": 0.5, "bad": float("nan")}
    entry.write(StepRecord(step="pruning", key="E", metrics=metrics, curves={"c": [1.0, float("inf"), None]}))
    record = entry.read()
    assert record.metrics == {"bytes": 3, "rate": 0.5}
    assert isinstance(record.metrics["bytes"], int)
    assert record.curves == {"c": [1.0, None, None]}


def test_facts_are_read_whether_or_not_the_checkpoint_is_there(tmp_path):
    facts = tiny_facts(tiny_model())
    ModelFolder(tmp_path).facts.write(facts)
    assert ModelFolder(tmp_path).facts.read() == facts
    assert hash(facts) == hash(ModelFolder(tmp_path).facts.read())


def test_plan_file_round_trip(folder):
    facts = tiny_facts(tiny_model())
    blocks = tuple(
        BlockPlan(block, np.arange(min(block.layer, block.groups), dtype=np.int64)) for block in facts.blocks
    )
    folder.plan.write(PlanFile.of(PruningPlan(facts.name, blocks)))
    again = folder.plan.read().plan(facts)
    assert [plan.removed.tolist() for plan in again.blocks] == [plan.removed.tolist() for plan in blocks]


@pytest.mark.parametrize("file", ["rates", "windows"])
def test_tables_are_written_by_their_suffix(folder, file):
    entry = getattr(folder, file)
    frame = pd.DataFrame({column.name: [0.5, 0.25] for column in entry.file.format.columns})
    entry.write(frame)
    pd.testing.assert_frame_equal(entry.read(), frame)


def test_a_record_of_an_earlier_version_is_read(tmp_path):
    put(tmp_path / "record.json", {"step": "model", "key": "m", "artifacts": ["model.json"]})
    assert ModelFolder(tmp_path).record.read() == StepRecord(step="model", key="m")


def test_what_a_step_notes_in_place_is_in_its_record(tmp_path):
    record = StepRecord(step="pruning", key="E")
    record.metrics["bytes"] = 3
    record.tags["device"] = "cpu"
    file = ModelFolder(tmp_path).record
    file.write(record)
    again = file.read()
    assert (again.metrics, again.tags) == ({"bytes": 3}, {"device": "cpu"})
    assert json.loads((tmp_path / "record.json").read_text()).keys() == StepRecord.model_fields.keys()


def test_values_and_results_that_do_not_fit_together_are_damage(tmp_path):
    losses = RemovalFolder(tmp_path).losses
    put(losses.path, {"attention": {"0": 1.0}, "mlp": {}, "layer": {"0": 1.0}})
    with pytest.raises(DataError, match="must have the same layers, from 0 on; delete it and run its step again"):
        losses.read()
    report = ExperimentFolder(tmp_path).perplexity
    put(report.path, {"baseline": {"wiki": {"w128": FIGURE}}, "pruned": {}, "ratio": {}, "settings": SETTINGS})
    with pytest.raises(DataError, match="pruned was measured on other texts or protocols than baseline"):
        report.read()


@pytest.mark.parametrize(
    ("value", "interval", "said"),
    [
        (47.283, (45.9, 48.614), "47.28 [45.90, 48.61]"),
        (2345.6, None, "2,346"),
        (999_999.4, None, "999,999"),
        (1e6, None, "1.00e+06"),
        (1.2345e304, (9.9e303, 1.3e304), "1.23e+304 [9.90e+303, 1.30e+304]"),
    ],
)
def test_a_perplexity_is_short_however_large(value, interval, said):
    assert shown(value, interval) == said
