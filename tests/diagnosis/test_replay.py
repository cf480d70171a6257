"""Diagnoses of numbers alone: the published Mistral case, and files that say little."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from prunescope.cli import app
from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.report import replay
from prunescope.errors import DataError
from prunescope.reporting import console

FIXTURES = Path(__file__).parents[1] / "fixtures"
MODEL = "snakemake --cores all results/Mistral-7B-v0.3"


@pytest.fixture
def said(monkeypatch):
    out = StringIO()
    monkeypatch.setattr(console, "Console", lambda: Console(file=out, width=160))
    return out


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_trial_the_report_says_what_it_always_said(language, tmp_path, monkeypatch):
    """Byte for byte what version 0.2 wrote and printed."""
    out = StringIO()
    monkeypatch.setattr(console, "Console", lambda: Console(file=out, width=100))
    statistics, rates = files_of("T0")
    told = {"statistics": statistics, "rates": rates, "model": "Mistral-7B-v0.3", "experiment": "taylor_T0_20_c4"}
    options = [f"--{name}={value}" for name, value in (told | {"language": language}).items()]
    CliRunner().invoke(app, ["diagnose", *options, f"--output={tmp_path / 'out.json'}"], catch_exceptions=False)
    stored = FIXTURES / f"mistral_T0_report_{language}"
    assert (tmp_path / "out.json").read_bytes() == stored.with_suffix(".json").read_bytes()
    assert out.getvalue() == stored.with_suffix(".txt").read_text(encoding="utf-8")


def files_of(temperature):
    return [FIXTURES / f"mistral_{temperature}_{what}.json" for what in ("statistics", "rates")]


def known_case(temperature, **kwargs):
    report = replay(*files_of(temperature), **kwargs).report
    return {finding.code: finding for finding in report.diagnosis}


def diagnose(temperature, *options):
    """Run the command, which prints the report."""
    statistics, rates = map(str, files_of(temperature))
    done = CliRunner().invoke(app, ["diagnose", "--statistics", statistics, "--rates", rates, *options])
    assert done.exit_code == 0, done.output


def commands(finding):
    return {remedy.kind: remedy.command for remedy in finding.remedies}


def test_the_known_case_before():
    found = known_case("T0")
    assert list(found) == ["early_layers_extreme", "gradient_scale_gap"]
    early, gap = found["early_layers_extreme"], found["gradient_scale_gap"]
    assert (gap.severity, gap.evidence["mean_ratio"]) == ("high", 2847.3)
    assert "2,847.3" in gap.description
    assert (early.severity, early.layers, early.evidence["count"]) == ("critical", (2, 3, 4), 3)
    assert early.evidence["losses"]["mlp"] == {"2": 0.99, "3": 0.99, "4": 0.99}
    assert "layers 2, 3, 4 lose 99 % of their MLP" in early.description
    assert {
        "block_correction": f"{MODEL}/taylor_T1_tau0_20_c4",
        "cap_early": f"{MODEL}/taylor_T0_20_c4_early30",
        "cap_rates": f"{MODEL}/taylor_T0_20_c4_max50",
        "depth_weight": f"{MODEL}/taylor_T0_20_c4_depth50",
        "protect": f"{MODEL}/taylor_T0_20_c4_protect2.3.4",
    }.items() <= commands(early).items()
    assert list(commands(gap).items())[:3] == [
        ("block_correction", f"{MODEL}/taylor_T1_tau0_20_c4"),
        ("shorter_windows", f"{MODEL}/taylor_T0_20_c4_s256"),
        ("normalize_log", f"{MODEL}/taylor_T0_20_c4_log"),
    ]
    assert commands(gap)["other_text"] == f"{MODEL}/taylor_T0_20_wikitext2"


def test_the_command_prints_what_to_run(said):
    diagnose("T0")
    assert f"  {MODEL}/taylor_T1_tau0_20_c4\n" in said.getvalue()
    assert "Mistral-7B-v0.3 / taylor_T0_20_c4" in said.getvalue()


def test_the_known_case_after_block_correction():
    before, after = known_case("T0"), known_case("T1")
    assert list(after) == list(before)
    early = after["early_layers_extreme"]
    assert (early.severity, early.layers, early.evidence["count"]) == ("critical", (2,), 1)
    assert "layer 2 loses 75 % of its MLP" in early.description
    # Block correction changes scores, not gradients.
    assert after["gradient_scale_gap"].evidence == before["gradient_scale_gap"].evidence
    for finding in after.values():
        assert "block_correction" not in commands(finding)
    assert commands(early)["share"] == f"{MODEL}/taylor_T1_tau0_20_c4_share"


def test_the_fixtures_say_what_is_published_and_remove_the_ratio():
    for temperature, rates in (("T0", [0.99, 0.99, 0.99]), ("T1", [0.75, 0.485, 0.485])):
        content = json.loads((FIXTURES / f"mistral_{temperature}_rates.json").read_text())
        layers = content["layers"]
        assert [layer["mlp_rate"] for layer in layers[2:5]] == rates
        assert "Published" in content["note"] and "Filled in" in content["note"]
        removed = sum(41_943_040 * row["attention_rate"] + 176_160_768 * row["mlp_rate"] for row in layers)
        assert removed / 7_248_023_552 == pytest.approx(0.2, abs=1e-4)
        means = json.loads((FIXTURES / f"mistral_{temperature}_statistics.json").read_text())["layers"]
        assert (len(layers), len(means)) == (32, 32)


def test_a_replay_in_chinese_keeps_codes_and_writes_json(said, tmp_path):
    output = tmp_path / "report" / "diagnosis.json"
    found = known_case("T0", language="zh")
    diagnose("T0", "--language", "zh", "--output", str(output))
    content = json.loads(output.read_text())
    assert [finding["code"] for finding in content["diagnosis"]] == list(found)
    assert (content["language"], content["diagnosis"][0]["issue"]) == ("zh", "前几层被过度剪枝")
    assert "第 2、3、4 层的 MLP 被剪去 99%" in found["early_layers_extreme"].description
    assert "应用这些对策的命令" in said.getvalue()


def test_few_columns_are_enough_and_names_can_be_given(tmp_path):
    statistics, rates = tmp_path / "statistics.json", tmp_path / "rates.csv"
    statistics.write_text(json.dumps({"layers": {layer: {"mean": 1.0 + layer} for layer in range(12)}}))
    rates.write_text("layer,mlp_rate\n2,0.99\n3,0.99\n")
    report = replay(statistics, rates, Diagnosis(early_layers=3), model="m", experiment="taylor_T0_20_c4").report
    (finding,) = report.diagnosis
    assert (finding.code, finding.layers) == ("early_layers_extreme", (2,))
    assert finding.remedy.command == "snakemake --cores all results/m/taylor_T0_20_c4_early30_first3"
    # 2 of 12 layers, not of the two in the file
    assert "many_extreme_layers" not in {finding.code for finding in report.diagnosis}
    unnamed = replay(statistics, rates).report
    assert [remedy.command for remedy in unnamed.diagnosis[0].remedies] == [None, None, None]


def test_limits_of_a_file_that_are_no_limits_get_a_sentence(tmp_path):
    rates = tmp_path / "rates.json"
    rates.write_text('{"limits": {"max_rat": 0.5}, "layers": [{"layer": 0, "rate": 0.1}]}')
    with pytest.raises(DataError, match=r"rates\.json: limits: unknown key 'max_rat'; did you mean 'max_rate'"):
        replay(FIXTURES / "mistral_T0_statistics.json", rates)
