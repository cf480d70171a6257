"""docs/broken.md explains every finding, leads to it from a symptom, and says what the report would offer."""

import re
from pathlib import Path

import pytest

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.report import replay
from prunescope.diagnosis.rules import RULES

TEXT = (Path(__file__).parents[2] / "docs/broken.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE))
# How the page says what a function of `diagnosis/changes.py` offers: a word of names, or plain words.
SAID = {
    "block_correction": "`T1_tau0`",
    "share": "`share`",
    "cap_rates": "`max50`",
    "cap_early": "`early30`",
    "cap_attention": "`attn50`",
    "cap_mlp": "`mlp50`",
    "shorter_windows": "`s256`|shorter windows",
    "more_samples": "`n256`|more windows|twice the windows",
    "normalize_log": "`log`",
    "block_mean": "`mean`",
    "clip": "`clip5`",
    "other_text": "other (calibration )?text",
    "depth_weight": "`depth50`",
    "protect": "`protect`",
    "collapse": "`collapse20`",
    "full_precision": "dtype: float32",
    "lower_ratio": "lower ratio",
}


@pytest.mark.parametrize("code", RULES)
def test_every_finding_is_explained_and_reached_from_a_symptom(code):
    assert re.match(r"\*(info|high|critical)", SECTIONS[code])
    symptoms = TEXT.partition("## Find the symptom")[2].partition("\n## ")[0]
    assert f"](#{code})" in symptoms


@pytest.mark.parametrize("code", [code for code, rule in RULES.items() if rule.remedies])
def test_it_offers_what_the_report_offers(code):
    section = " ".join(SECTIONS[code].split())
    missing = [change.kind for change in RULES[code].remedies if not re.search(SAID[change.kind], section)]
    assert not missing


def test_every_threshold_is_named():
    for name in set(Diagnosis.model_fields) - {"on_critical"}:
        assert f"`diagnosis.{name}`" in TEXT


def test_the_files_of_another_tool_give_the_findings_that_the_page_says(tmp_path):
    section = TEXT.partition("## Pruned by another tool")[2].partition("\n### ")[0]
    examples = dict(re.findall(r"^```(json|csv)\n(.*?)^```", section, re.DOTALL | re.MULTILINE))
    for kind, text in examples.items():
        (tmp_path / f"numbers.{kind}").write_text(text)
    report = replay(tmp_path / "numbers.json", tmp_path / "numbers.csv").report
    sentence = section.partition("It finds ")[2].partition(". ")[0]
    assert [found.code for found in report.diagnosis] == re.findall(r"`(\w+)`", sentence)
