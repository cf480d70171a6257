"""Commands for people, on a finished experiment."""

import json
from pathlib import Path

import yaml

EXPERIMENT = "results/tiny/taylor_T1_tau0_20_words"
FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_a_plan_edited_by_hand_is_applied(finished, tmp_path):
    plan = json.loads((finished.folder / EXPERIMENT / "analysis/plan.json").read_text())
    plan["removed"] = {"3": {"attention": "1", "mlp": "0-7"}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    told = ("apply", str(tmp_path / "plan.json"), "--like", EXPERIMENT, "--evaluate", "--output")
    refused = finished.prunescope(*told, EXPERIMENT, check=False)
    assert refused.returncode == 1
    assert "would be lost; give a new folder" in refused.stderr
    finished.prunescope(*told, str(tmp_path / "out"))
    layers = json.loads((tmp_path / "out/analysis/pruning_summary.json").read_text())["layers"]
    assert [layer["attention_rate"] for layer in layers] == [0, 0, 0, 0.5]
    assert [layer["mlp_rate"] for layer in layers] == [0, 0, 0, 0.4]
    kept = json.loads((tmp_path / "out/model/pruning_map.json").read_text())["layers"][3]
    assert kept["attention_groups"] == [0]
    assert kept["mlp_channels"] == list(range(8, 20))
    measured = [
        json.loads((folder / "evaluation/perplexity.json").read_text())
        for folder in (finished.folder / EXPERIMENT, tmp_path / "out")
    ]
    assert measured[0]["baseline"] == measured[1]["baseline"]
    assert measured[0]["pruned"] != measured[1]["pruned"]
    assert finished.prunescope("verify", str(tmp_path / "out")).stdout.count("equal") == 2
    assert "out" in finished.prunescope("compare", EXPERIMENT, str(tmp_path / "out")).stdout


def test_numbers_alone_are_diagnosed(finished, tmp_path):
    numbers = [f"--{name}={FIXTURES}/mistral_T0_{name}.json" for name in ("statistics", "rates")]
    done = finished.prunescope("diagnose", *numbers, "--output", str(tmp_path / "report.json"))
    found = {item["code"]: item for item in json.loads((tmp_path / "report.json").read_text())["diagnosis"]}
    assert found["early_layers_extreme"]["layers"] == [2, 3, 4]
    assert "2,847.3" in found["gradient_scale_gap"]["description"]
    assert "results/Mistral-7B-v0.3/taylor_T1_tau0_20_c4" in done.stdout


def test_times_tell_fresh_steps_from_cached_ones(finished):
    fresh = finished.prunescope("times", EXPERIMENT, "--since", "0").stdout
    assert "gradients" in fresh
    assert "cached" not in fresh
    assert "work with the model" in fresh
    assert "cached" in finished.prunescope("times", EXPERIMENT, "--since", "9e9").stdout


def test_compare_reads_the_experiment(finished):
    out = finished.prunescope("compare", "--markdown", EXPERIMENT, "results/tiny/_shared").stdout
    assert any(line.startswith("| taylor_T1_tau0_20_words |") for line in out.splitlines())
    listed = finished.prunescope("list").stdout.splitlines()
    assert listed[0].startswith("tiny ") and listed[1].startswith("  taylor_T1_tau0_20_words ")
    story = finished.prunescope("diagnose", EXPERIMENT).stdout
    assert f"prunescope diagnose {EXPERIMENT} --all" in story
    assert len(story) < len(finished.prunescope("diagnose", EXPERIMENT, "--all").stdout)


def test_verify_and_the_card_of_the_checkpoint(finished):
    assert finished.prunescope("verify", EXPERIMENT).stdout.count("equal") == 2  # random tokens and the text
    card = (finished.folder / EXPERIMENT / "model/README.md").read_text()
    _, header, body = card.split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "other"  # the configuration names none
    assert yaml.safe_load(header)["library_name"] == "transformers"
    page = (finished.folder / EXPERIMENT / "README.md").read_text()
    for section in ("| parent |", "## Perplexity", "trust_remote_code=True"):
        assert section in body
        assert section in page
    assert body.count(" of 20 |") + body.count("| none |") >= 4  # a row per layer
