"""The report as one HTML page: everything is in it, nothing is loaded, and text cannot become markup."""

import re

import pytest

from diagnosis_data import spec, write_diagnosis
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.diagnosis.words import LANGUAGES
from prunescope.reporting.diagnosis_page import write_diagnosis_page
from prunescope.reporting.figures import draw


@pytest.fixture(params=["en", "zh"])
def report(request, extreme):
    """The folder of an experiment with its report, in either language, and the figure."""
    write_diagnosis(spec(extreme, request.param), extreme)
    folder = ExperimentFolder(extreme)
    draw(folder, "gradient_analysis")
    return folder


def test_findings_layers_and_remedies_are_on_the_page(report):
    write_diagnosis_page(report)
    page = report.diagnosis_page.read()
    content = report.diagnosis.read()
    assert f'<html lang="{content.language}">' in page
    for finding in content.diagnosis:
        assert f"<b>{finding.issue}</b>" in page
        for remedy in finding.remedies:
            assert (remedy.command or "") in page
    for layer in content.extreme_pruning_layers:
        assert f'<td class="number">{layer.layer_idx}</td>' in page


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_best_setting_comes_first(extreme, language):
    write_diagnosis(spec(extreme, language, trials=True), extreme)
    folder = ExperimentFolder(extreme)
    draw(folder, "gradient_analysis")
    write_diagnosis_page(folder)
    page, content = folder.diagnosis_page.read(), folder.diagnosis.read()
    best, reasons = content.checks.trial.best, content.checks.trial.unmeasured
    assert f"<p><b>{content.headline}</b></p>\n<pre>{best.command}</pre>" in page
    assert page.index(content.headline) < page.index("<table>")
    assert reasons and all(f"{name}{LANGUAGES[language].labels['colon']}{why}" in page for name, why in reasons.items())


def test_the_page_needs_nothing_beside_it(report):
    write_diagnosis_page(report)
    page = report.diagnosis_page.read()
    assert re.findall(r'(?:src|href)="([^"]{9})', page) == ["data:imag"]
    assert "<script" not in page
    assert len(page) < 600_000


def test_text_of_the_report_is_no_markup(report):
    content = report.diagnosis.read()
    first, *others = content.diagnosis
    changed = first.model_copy(update={"issue": "<script>alert(1)</script>"})
    report.diagnosis.write(content.model_copy(update={"diagnosis": [changed, *others]}))
    write_diagnosis_page(report)
    assert "<script" not in report.diagnosis_page.read()
