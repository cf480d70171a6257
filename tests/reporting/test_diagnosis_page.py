"""The report as one HTML page: everything is in it, nothing is loaded, and text cannot become markup."""

import json
import re

import pytest

from diagnosis_data import spec
from prunescope.diagnosis.report import write_diagnosis
from prunescope.reporting.diagnosis_page import write_diagnosis_page
from prunescope.reporting.figures import save_plot


@pytest.fixture(params=["en", "zh"])
def report(request, extreme):
    write_diagnosis(spec(extreme, request.param), extreme)
    save_plot("gradient_analysis", extreme)
    return extreme


def test_findings_layers_and_remedies_are_on_the_page(report):
    write_diagnosis_page(report)
    page = (report / "analysis/diagnosis.html").read_text(encoding="utf-8")
    content = json.loads((report / "analysis/gradient_diagnosis.json").read_text(encoding="utf-8"))
    assert f'<html lang="{content["language"]}">' in page
    for finding in content["diagnosis"]:
        assert f"<b>{finding['issue']}</b>" in page
        for remedy in finding["remedies"]:
            assert (remedy["command"] or "") in page
    for layer in content["extreme_pruning_layers"]:
        assert f'<td class="number">{layer["layer_idx"]}</td>' in page


def test_the_page_needs_nothing_beside_it(report):
    write_diagnosis_page(report)
    page = (report / "analysis/diagnosis.html").read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="([^"]{9})', page) == ["data:imag"]
    assert "<script" not in page
    assert len(page) < 600_000


def test_text_of_the_report_is_no_markup(report):
    file = report / "analysis/gradient_diagnosis.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["diagnosis"][0]["issue"] = "<script>alert(1)</script>"
    file.write_text(json.dumps(content), encoding="utf-8")
    write_diagnosis_page(report)
    assert "<script" not in (report / "analysis/diagnosis.html").read_text(encoding="utf-8")
