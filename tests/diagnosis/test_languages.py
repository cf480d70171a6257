"""Every language says everything, with the same numbers; codes and keys are the same in all."""

import json
import logging
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import get_args

import matplotlib
import pytest
from jinja2 import UndefinedError, meta
from rich.console import Console

from diagnosis_data import make_evidence, not_finite, spec, with_values, write_diagnosis
from measurements import half, trials
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.summary import BoundLimit, NegativeDelta
from prunescope.config.sections import Diagnosis, Report
from prunescope.diagnosis import words
from prunescope.diagnosis.evidence import Texts
from prunescope.diagnosis.findings import diagnose
from prunescope.diagnosis.rules import RULES
from prunescope.diagnosis.situation import Context
from prunescope.diagnosis.words import CHINESE, ENGLISH, LANGUAGES
from prunescope.reporting.console import print_report, wrap
from prunescope.reporting.figures import PLOTS, draw, fonts

KINDS = ("attention", "mlp")
OTHERS = [language for language in LANGUAGES.values() if language is not ENGLISH]


def placeholders(language, template):
    return meta.find_undeclared_variables(language.environment.parse(template))


def leaves_of(language):
    """Every entry of a language's file by its path: ``("findings", "few_samples", "issue")``."""

    def walk(value, path):
        if isinstance(value, dict):
            return [leaf for key, item in value.items() for leaf in walk(item, (*path, key))]
        return [(path, value)]

    return dict(walk(language.words, ()))


def chinese(text):
    return any("\u4e00" <= character <= "\u9fff" for character in text)


@pytest.mark.parametrize("language", OTHERS, ids=lambda language: language.code)
def test_every_template_has_its_counterpart(language):
    texts, others = leaves_of(ENGLISH), leaves_of(language)
    assert list(others) == list(texts)
    for path, template in texts.items():
        if isinstance(template, str):
            assert placeholders(language, others[path]) == placeholders(ENGLISH, template), path


def test_languages_are_those_of_the_configuration():
    assert set(LANGUAGES) == set(get_args(Report.model_fields["language"].annotation))
    assert {path.stem for path in Path(words.__file__).parent.glob("*.yaml")} == set(LANGUAGES)


def test_every_remedy_and_every_finding_has_words():
    assert set(RULES) == set(ENGLISH.words["findings"])
    assert {change.kind for rule in RULES.values() for change in rule.remedies} == set(ENGLISH.words["remedies"])


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_a_value_that_a_template_lacks_is_an_error(language):
    with pytest.raises(UndefinedError, match="'rate' is undefined"):
        language.label("target")
    with pytest.raises(UndefinedError, match="undefined"):
        language.finding("limit_bound", "description", {"limit": "limits.max_rate"})


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_every_label_can_be_said(language):
    for name, template in language.labels.items():
        values = dict.fromkeys(placeholders(language, template), 0.5)
        assert "{{" not in language.label(name, **values)


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_every_effect_and_every_headline_can_be_said(language):
    for name, template in language.words["effects"].items():
        for value in (0.5, 40.0, 400.0, None):
            values = dict.fromkeys(placeholders(language, template), value)
            said = language.effect(
                name, **values | {"less": half(1.2), "cost": language.words["unknown"], "ratio": 0.9}
            )
            assert "{" not in said and chinese(said) is language.cjk
    values = {"measured": 3, "windows": 16, "name": "gate_T0", "compared": "0.5", "kl": (1.0, 2.0)}
    values |= {"samples": 64, "ratio": 0.9, "dense": 1e6}
    for name in language.words["headlines"]:
        for texts in ({"wiki": ("1.0", "2.0")}, dict.fromkeys(("wiki", "hansard", "c4"), ("1.0", "2.0"))):
            said = language.headline(name, values | {"texts": texts})
            assert "{" not in said and chinese(said) is language.cjk


def everything():
    """Evidence on which, between two experiments, every rule on it but `no_problem` has something to say."""
    mean = with_values({1: 1e-9, 20: 1e9}, 1.0)
    extreme = make_evidence(
        mean=[value * (1 + 0.01 * layer) for layer, value in enumerate(mean)],
        attention=with_values({2: 0.9, 3: 1.0}, 0.6),
        mlp=with_values({2: 0.99, 9: 0.01}, 0.1),
        importance=[float(layer % 5) for layer in range(30)],
        scores={"0.mlp": 0.0, "1.mlp": 1e-9, "2.mlp": 1.0, "3.attention": 2.0},
        stability=dict.fromkeys(range(30), 0.5),
        texts=Texts(("wiki",), ("wiki", "hansard", "ptb"), {"wiki": "source", "hansard": "none", "ptb": "documents"}),
        collapsed=("3.attention",),
        bound=(
            BoundLimit(limit="limits.protect", blocks=["2.mlp"]),
            BoundLimit(limit="limits.mlp.max_rate", blocks=[f"{n}.{kind}" for n in range(20) for kind in KINDS]),
        ),
        negative_deltas=(NegativeDelta(layer=7, block="attention", delta=-0.003),),
        percent=True,
    )
    extreme = replace(extreme, statistics=replace(extreme.statistics, unweighted=True))
    vanished = make_evidence(mean=with_values({5: 0.0}), rate=[0.1, 0.2] * 15, importance=[1.0, 1.0, 2.0] * 10)
    inverted = make_evidence(rate=[0.1, 0.2] * 15, importance=[1.0, 2.0] * 15)
    return not_finite(extreme), vanished, inverted, make_evidence()


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
def test_every_finding_and_every_remedy_can_be_said(language):
    reports = [
        diagnose(evidence, Diagnosis(), Context("m", name), language).report
        for evidence in everything()
        for name in ("taylor_T0_20_c4", "taylor_T1_20_c4_n8_s512")
    ]
    broken = trials({}, {}, vocabulary=10)
    reports.append(diagnose(make_evidence(), Diagnosis(), Context("m", "taylor_T0_20_c4"), language, broken).report)
    found = [finding for report in reports for finding in report.diagnosis]
    assert {finding.code for finding in found} == set(RULES)
    kinds = {remedy.kind for finding in found for remedy in finding.remedies}
    assert set(language.words["remedies"]) - kinds <= {"cap_mlp"}
    for finding in found:
        texts = (finding.issue, finding.description, finding.recommendation)
        assert all("{" not in text and "None" not in text for text in texts)
        assert all(chinese(text) is language.cjk for text in texts)
        assert all(remedy.what and chinese(remedy.what) is language.cjk for remedy in finding.remedies)


def test_codes_numbers_and_keys_are_the_same_in_every_language(extreme):
    contents = []
    for language in LANGUAGES:
        write_diagnosis(spec(extreme, language), extreme)
        contents.append(json.loads((extreme / "analysis" / "gradient_diagnosis.json").read_text()))
    words = {"issue", "description", "recommendation", "what", "language"}
    assert without(contents[0], words) == without(contents[1], words)


def without(value, keys):
    if isinstance(value, dict):
        return {key: without(item, keys) for key, item in value.items() if key not in keys}
    return [without(item, keys) for item in value] if isinstance(value, list) else value


def test_the_terminal_speaks_the_language_of_the_report_and_cuts_nothing_off(extreme):
    report = write_diagnosis(spec(extreme, "zh"), extreme).report
    out = StringIO()
    print_report(report, "title", Console(file=out, width=80))
    shown = out.getvalue()
    assert "严重" in shown and "critical" not in shown
    assert "…" not in shown
    rows = [line.split("│")[2:4] for line in shown.splitlines() if line.startswith("│") and line.count("│") == 4]
    said = "".join("".join(row).replace(" ", "") for row in rows)
    assert all(character in said for finding in report.diagnosis for character in finding.description.replace(" ", ""))


def test_chinese_wraps_between_characters_but_not_inside_names():
    # four cells of Chinese fit beside nothing else; the full stop stays with the name
    assert wrap("可对照：taylor_T0_20。再看图", 16) == ["可对照：", "taylor_T0_20。再", "看图"]
    assert wrap("", 10) == [""]


@pytest.fixture
def in_chinese(extreme):
    write_diagnosis(spec(extreme, "zh"), extreme)
    return extreme


def drawn(monkeypatch, name, directory):
    """Return the words of a plot as `draw` draws it, and the font families in force."""
    made = {}

    def remember(folder, look):
        figure = PLOTS[name](folder, look)
        made["title"], made["families"] = figure.get_suptitle(), matplotlib.rcParams["font.family"]
        return figure

    monkeypatch.setattr("prunescope.reporting.figures.PLOTS", {name: remember})
    draw(ExperimentFolder(directory), name)
    return made


def test_without_a_font_plots_are_in_english_and_one_line_says_so(in_chinese, monkeypatch, caplog):
    monkeypatch.setattr(fonts, "find_font", lambda: None)
    with caplog.at_level(logging.WARNING):
        made = drawn(monkeypatch, "pruning_rates", in_chinese)
    assert made["title"].startswith(ENGLISH.labels["rates"])
    (record,) = [record for record in caplog.records if record.name == fonts.log.name]
    assert "labels of the plot are in English" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_with_a_font_plots_are_in_chinese(in_chinese, monkeypatch, caplog, name):
    # Any installed font will do to see that it is asked for; glyphs that it lacks become boxes.
    monkeypatch.setattr(fonts, "find_font", lambda: "DejaVu Serif")
    before = list(matplotlib.rcParams["font.family"])
    made = drawn(monkeypatch, name, in_chinese)
    assert chinese(made["title"])
    assert made["families"] == [fonts.LATIN, "DejaVu Serif"]
    assert list(matplotlib.rcParams["font.family"]) == before
    assert not [record for record in caplog.records if record.name == fonts.log.name]


def test_fonts_are_found_by_family_in_order_of_preference(monkeypatch):
    class Font:
        def __init__(self, name):
            self.name = name

    manager = fonts.font_manager.fontManager
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", list)
    monkeypatch.setattr(manager, "ttflist", [Font("SimHei"), Font("WenQuanYi Zen Hei"), Font("DejaVu Sans")])
    assert fonts.find_font() == "WenQuanYi Zen Hei"
    monkeypatch.setattr(manager, "ttflist", [Font("DejaVu Sans")])
    assert fonts.find_font() is None


def test_english_needs_no_font(monkeypatch):
    monkeypatch.setattr(fonts, "find_font", lambda: pytest.fail("not needed"))
    with fonts.drawn_in(ENGLISH) as words:
        assert words is ENGLISH


def test_chinese_numbers_read_as_chinese():
    said = CHINESE.value
    assert said("layers", (2, 3, 4)) == "第 2、3、4 层"
    assert said("layers", range(7, 13)) == "第 7-12 层"
    assert said("percent", 0.99) == "99%"
    assert said("blocks", ["3.mlp", "4.mlp", "7.attention"]) == "第 3、4 层的 MLP；第 7 层的注意力"
    losses = {"attention": {"2": 0.6}, "mlp": {"2": 0.7}, "total": {"2": 0.68, "5": 0.6}}
    assert said("losses", losses) == "第 2 层的注意力被剪去 60%，其 MLP 被剪去 70%；第 5 层的参数被剪去 60%"
