"""What is read and what is written: inputs, `gradient_diagnosis.json`, the record, the terminal."""

import json
import math
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from diagnosis_data import CHANNELS, LAYERS, spec, write_diagnosis
from prunescope.artifacts.diagnosis import DiagnosisReport
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.formats import Json
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import join_evidence, layer_importance
from prunescope.diagnosis.findings import diagnose
from prunescope.diagnosis.inputs import read_rates, read_statistics
from prunescope.diagnosis.situation import Context
from prunescope.errors import DataError
from prunescope.reporting.console import print_report


def strict(path):
    def refuse(constant):
        raise AssertionError(f"{constant} in {path}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_importance_of_a_layer_is_the_mean_score_weighted_by_cost():
    table = pd.DataFrame({"layer": [0, 0, 1], "score": [1.0, 4.0, 5.0], "cost": [3, 1, 7]})
    assert layer_importance(table).to_dict() == {0: 7 / 4, 1: 5.0}


def test_the_report_has_the_documented_keys(extreme):
    write_diagnosis(spec(extreme), extreme)
    content = strict(extreme / "analysis" / "gradient_diagnosis.json")
    assert list(content) == [
        "extreme_pruning_layers", "num_extreme_layers", "gradient_statistics", "diagnosis", "checks",
        "language", "thresholds",
    ]  # fmt: skip
    layers = content["extreme_pruning_layers"]
    assert content["num_extreme_layers"] == len(layers)
    assert {2, 3, 4} <= {layer["layer_idx"] for layer in layers}
    assert set(layers[0]) == {
        "layer_idx", "pruning_rate", "importance", "gradient_mean", "gradient_norm",
        "attention_rate", "mlp_rate", "which",
    }  # fmt: skip
    assert layers[0]["which"] == ["attention", "mlp", "total"]
    assert set(content["gradient_statistics"]) == {"mean_range", "mean_ratio", "norm_range", "norm_ratio"}
    low, high = content["gradient_statistics"]["mean_range"]
    assert content["gradient_statistics"]["mean_ratio"] == pytest.approx(high / low)
    for finding in content["diagnosis"]:
        assert set(finding) == {
            "issue", "severity", "description", "recommendation", "code", "layers", "evidence", "remedy",
            "remedies",
        }  # fmt: skip
        assert finding["remedy"] == (finding["remedies"][0] if finding["remedies"] else None)
    assert set(content["checks"]) == {
        "spikes", "spearman", "spread", "attention_vs_mlp", "score_ratio", "stability",
    }  # fmt: skip
    assert set(content["thresholds"]) == set(Diagnosis.model_fields) - {"on_critical"}


def test_the_extreme_experiment_is_found_out(extreme):
    report = write_diagnosis(spec(extreme), extreme).report
    codes = {finding.code: finding for finding in report.diagnosis}
    assert codes["early_layers_extreme"].layers == (2, 3, 4)
    assert codes["gradient_valley"].layers == (2, 3, 4)
    assert codes["limit_bound"].layers == (3, 7)
    assert report.count("critical") == 1


def test_the_ordinary_experiment_has_no_problem(ordinary):
    report = write_diagnosis(spec(ordinary), ordinary).report
    assert [finding.code for finding in report.diagnosis] == [
        "no_problem", "negative_removal_delta", "shared_source",
    ]  # fmt: skip


def test_the_record_holds_metrics_and_curves(extreme):
    told = spec(extreme)
    judgement = write_diagnosis(told, extreme)
    path = extreme / "records" / "diagnosis.json"
    record = Json(StepRecord).read(path)
    assert (record.step, record.key) == ("diagnosis", told.record_key)
    assert set(record.metrics) == {
        "grad/mean_ratio", "grad/norm_ratio", "diagnosis/findings_high", "diagnosis/findings_critical",
        "diagnosis/extreme_layers", "diagnosis/spearman", "diagnosis/score_ratio",
    }  # fmt: skip
    assert record.metrics["diagnosis/extreme_layers"] == len(judgement.situation.measures.extreme)
    assert set(record.curves) == {
        "grad/mean", "grad/std", "grad/norm", "prune/rate", "prune/attention_rate",
        "prune/mlp_rate", "importance/score",
    }  # fmt: skip
    assert all(len(curve) == LAYERS for curve in record.curves.values())
    assert record.params["diagnosis.extreme_rate"] == 0.5


def test_commands_start_as_the_run_did(extreme):
    start = "snakemake --cores all --configfile a.yaml --"
    told = spec(extreme).model_copy(update={"start": start})
    report = write_diagnosis(told, extreme).report
    commands = [remedy.command for finding in report.diagnosis for remedy in finding.remedies if remedy.command]
    assert commands and all(command.startswith(f"{start} results/SmolLM2-135M/") for command in commands)


def test_null_and_zero_statistics_stay_strict_json(extreme):
    path = extreme / "analysis" / "gradient_statistics.json"
    content = json.loads(path.read_text())
    content["layers"]["3"] |= {"mean": None, "max": None}
    content["layers"]["5"] |= {"mean": 0.0, "norm": 0.0}
    content["model.layers.3.mlp.up_proj.weight"]["mean"][1] = None
    path.write_text(json.dumps(content))
    report = write_diagnosis(spec(extreme), extreme).report
    written = strict(extreme / "analysis" / "gradient_diagnosis.json")
    codes = {finding.code: finding for finding in report.diagnosis}
    assert codes["non_finite_gradient"].layers == (3,)
    assert codes["non_finite_gradient"].evidence["parameters"] == ["model.layers.3.mlp.up_proj.weight"]
    assert codes["vanishing_gradient"].layers == (5,)
    assert written["gradient_statistics"]["mean_ratio"] is None
    assert "grad/mean_ratio" not in Json(StepRecord).read(extreme / "records" / "diagnosis.json").metrics
    assert strict(extreme / "records" / "diagnosis.json")["curves"]["grad/mean"][3] is None


def test_infinity_in_a_file_is_not_finite_either(tmp_path):
    path = tmp_path / "statistics.json"
    path.write_text('{"w": {"mean": [Infinity]}, "layers": {"0": {"mean": NaN}, "1": {"mean": 1.0}}}')
    statistics = read_statistics(path)
    assert statistics.non_finite == ("w",)
    assert statistics.non_finite_layers == (0,)
    assert math.isnan(statistics.layers.loc[0, "mean"])
    assert statistics.layers.loc[1, "mean"] == 1.0


@pytest.mark.parametrize("rates", ["pruning_summary.json", "pruning_summary.csv"])
def test_a_replay_needs_statistics_and_rates_alone(extreme, rates, tmp_path):
    analysis = extreme / "analysis"
    evidence = join_evidence(read_statistics(analysis / "gradient_statistics.json"), read_rates(analysis / rates))
    judgement = diagnose(evidence, Diagnosis(), Context("m", "replay"))
    assert judgement.report.diagnosis[0].code == "early_layers_extreme"
    assert judgement.situation.measures.spearman is None
    Json(DiagnosisReport).write(tmp_path / "out.json", judgement.report)
    assert strict(tmp_path / "out.json")["extreme_pruning_layers"][0]["importance"] is None


def test_a_csv_of_published_rates_may_lack_columns(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("layer,mlp_rate\n2,0.99\n3,0.99\n4,0.99\n")
    layers = read_rates(path).layers
    assert layers["mlp_rate"].to_dict() == {2: 0.99, 3: 0.99, 4: 0.99}
    assert layers["rate"].isna().all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", None, "is not there; run the step"),
        ("b.json", "{", "is not JSON"),
        ("c.json", '{"w": {}}', "no 'layers'"),
        ("d.json", "[]", "no 'layers'"),
    ],
)
def test_bad_statistics_get_a_sentence(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        read_statistics(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", None, "is not there; run the step"),
        ("b.csv", "", "not a CSV"),
        ("c.csv", "layer,speed\n0,1\n", "needs a column 'layer'"),
        ("d.json", '{"layers": []}', "needs a column 'layer'"),
    ],
)
def test_bad_rates_get_a_sentence(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        read_rates(tmp_path / name)


def test_a_missing_table_gets_a_sentence(ordinary):
    (ordinary / "analysis" / "importance_table.parquet").unlink()
    with pytest.raises(DataError, match="run the step that makes it first: importance"):
        write_diagnosis(spec(ordinary), ordinary)
    assert not (ordinary / "analysis" / "gradient_diagnosis.json").exists()


def test_the_terminal_shows_findings_layers_and_commands(extreme):
    write_diagnosis(spec(extreme), extreme)
    out = StringIO()
    print_report(ExperimentFolder(extreme).diagnosis.read(), "title", Console(file=out, width=200))
    shown = out.getvalue()
    assert "Early layers are pruned to extremes" in shown
    assert "critical" in shown
    assert "  snakemake --cores all results/SmolLM2-135M/taylor_T0_20_wiki_max60_early30\n" in shown


def test_the_terminal_shows_the_patch_of_a_named_experiment(extreme):
    analysis = extreme / "analysis"
    rates = read_rates(analysis / "pruning_summary.csv")
    evidence = join_evidence(read_statistics(analysis / "gradient_statistics.json"), rates)
    report = diagnose(evidence, Diagnosis(), Context("m", "named")).report
    out = StringIO()
    print_report(report, "title", Console(file=out, width=200))
    assert "{limits: {early_layers: {max_rate: 0.3}}}" in out.getvalue()


def test_synthetic_data_have_the_shape_they_claim(ordinary):
    table = pd.read_parquet(ordinary / "analysis" / "importance_table.parquet")
    assert len(table) == LAYERS * (CHANNELS + 3)
