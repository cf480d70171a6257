"""What was measured of other settings turns the report round: the best first, no alarm about a cut that is right."""

from io import StringIO

import pytest
from rich.console import Console

from diagnosis_data import make_evidence, spec, with_values, write_diagnosis
from measurements import GATE, OWN, START, WINDOWS, candidate, half, trials, tried
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.trials import Trials
from prunescope.config.sections import Diagnosis, Settings
from prunescope.diagnosis.findings import diagnose
from prunescope.diagnosis.situation import Context
from prunescope.diagnosis.words import LANGUAGES
from prunescope.pruning.prune import CriticalDiagnosis, check_diagnosis
from prunescope.reporting.console import print_report

EARLY = "early_layers_extreme"
RATIOS = {"cap_early": 0.9, "cap_rates": 1.8, "depth_weight": 0.6, "protect": 0.7}
LIMIT = "method.ratio = 0.2 cannot be reached under limits.max_rate"


@pytest.fixture
def remedies(extreme):
    return tried(write_diagnosis(spec(extreme), extreme).report)


@pytest.fixture
def diagnosed(extreme, remedies):
    """Diagnose the extreme experiment by what a trial measured of its remedies, given as for `measurements.trials`."""

    def run(ratios, *more, language="en", **told):
        ExperimentFolder(extreme).trials.write(trials(remedies, ratios, *more, **told))
        return write_diagnosis(spec(extreme, language, trials=True), extreme).report

    return run


def finding(report, code=EARLY):
    return next(found for found in report.diagnosis if found.code == code)


def shown(report):
    out = StringIO()
    print_report(report, "title", Console(file=out, width=300))
    return out.getvalue().splitlines()


def measured_kinds(report):
    return [remedy.kind for remedy in finding(report).remedies if remedy.kind in RATIOS]


def test_a_trial_without_text_leaves_the_report_as_it_is_without_a_trial(extreme):
    ExperimentFolder(extreme).trials.write(Trials(texts={}, left_out={"c4": "no"}, measured=0, rank=0, candidates=[]))
    without, with_it = (write_diagnosis(spec(extreme, "en", trials=told), extreme).report for told in (False, True))
    assert with_it == without and without.checks.trial is None


def test_remedies_come_in_the_order_of_what_was_measured(diagnosed):
    report = diagnosed(RATIOS)
    assert measured_kinds(report) == ["depth_weight", "protect", "cap_early", "cap_rates"]
    assert finding(report).remedy.kind == "depth_weight"
    reversed_ = {kind: 1 / ratio for kind, ratio in RATIOS.items()}
    assert measured_kinds(diagnosed(reversed_)) == ["cap_rates", "cap_early", "protect", "depth_weight"]


def test_what_was_not_measured_stands_before_what_is_worse(diagnosed):
    kinds = [remedy.kind for remedy in finding(diagnosed(RATIOS)).remedies]
    assert kinds.index("cap_early") < kinds.index("lower_ratio") < kinds.index("cap_rates") == len(kinds) - 1


def test_a_remedy_holds_what_was_measured(diagnosed):
    (best, *_) = finding(diagnosed(RATIOS)).remedies
    assert best.verdict == "better"
    assert best.measured["wiki"].model_dump(exclude={"kl"}) == {
        "perplexity": 0.6 * OWN, "ratio": 0.6, "low": best.low, "high": best.high,
    }  # fmt: skip
    assert best.effect == "measured: better, ratio 0.60 [0.57, 0.63], KL -0.51"


def test_what_makes_it_worse_is_marked_and_not_offered(diagnosed):
    report = diagnosed(RATIOS)
    worse = finding(report).remedies[-1]
    assert (worse.kind, worse.verdict) == ("cap_rates", "worse")
    assert worse.effect == "measured: worse, ratio 1.80 [1.71, 1.89], KL +0.59"
    assert worse.experiment not in finding(report).recommendation
    lines = shown(report)
    assert lines[lines.index(f"  {worse.command}") - 1] == f"  # {worse.effect}"


def test_commands_come_in_the_order_of_what_was_measured(diagnosed):
    report = diagnosed(RATIOS)
    commands = [line.strip() for line in shown(report) if line.startswith("  snakemake")]
    wanted = {remedy.kind: remedy.command for found in report.diagnosis for remedy in found.remedies}
    places = [commands.index(wanted[kind]) for kind in ("depth_weight", "protect", "cap_early", "cap_rates")]
    assert places == sorted(places)


WORSE = {"cap_early": 1.2, "cap_rates": 1.8, "depth_weight": 1.6, "protect": 1.0}


def test_a_finding_is_a_note_where_no_remedy_improves_the_model(diagnosed, extreme):
    report = diagnosed(WORSE)
    found = finding(report)
    assert (found.severity, found.lowered_from) == ("info", "critical")
    said = "By what was measured, none of its 4 remedies clearly improves the model, so that this is a note and not"
    assert f"{said} critical." in found.recommendation
    assert report.count("critical") == 0
    severities = [one.severity for one in report.diagnosis]
    assert severities == sorted(severities, key=("critical", "high", "info").index)
    check_diagnosis(ExperimentFolder(extreme))


@pytest.mark.parametrize(
    "ratios",
    [
        {},
        WORSE | {"protect": 0.9},
        dict.fromkeys(WORSE, LIMIT),
    ],
    ids=["nothing measured", "one is better", "none possible"],
)
def test_a_severity_is_lowered_only_with_evidence(diagnosed, extreme, ratios):
    found = finding(diagnosed(ratios))
    assert (found.severity, found.lowered_from) == ("critical", None)
    with pytest.raises(CriticalDiagnosis):
        check_diagnosis(ExperimentFolder(extreme))


def test_a_remedy_that_changes_nothing_is_no_evidence(diagnosed, remedies):
    same = candidate(1.0, name="same", plan="own", **remedies["protect"].model_dump(include={"kind", "patch"}))
    found = finding(diagnosed({}, same))
    remedy = next(one for one in found.remedies if one.kind == "protect")
    assert (remedy.verdict, remedy.effect, remedy.ratio) == ("same", "measured: cuts the same", 1.0)
    assert found.severity == "critical"


def test_a_remedy_that_cuts_like_another_setting_has_its_numbers(diagnosed, remedies):
    first = candidate(0.5, plan="p", **GATE)
    second = candidate(0.5, name="s", plan="p", **remedies["protect"].model_dump(include={"kind", "patch"}))
    found = finding(diagnosed({}, first, second)).remedy
    assert (found.kind, found.ratio, found.measured["wiki"].perplexity) == ("protect", 0.5, 0.5 * OWN)


def test_a_remedy_is_found_by_its_name_too(diagnosed, remedies):
    named = candidate(0.5, name="n", kind="criterion", patch={"x": 1}, experiment=remedies["protect"].experiment)
    assert finding(diagnosed({}, named)).remedy.kind == "protect"


def test_nothing_left_of_the_model_is_worse_than_anything(diagnosed, remedies):
    broken = remedies["protect"].model_dump(include={"kind", "patch"}) | {"name": "b", "plan": "b"}
    last = finding(diagnosed(WORSE | {"protect": "no number"}, seconds=None)).remedies[-1]
    assert last.verdict == "impossible"
    ratios = {kind: ratio for kind, ratio in WORSE.items() if kind != "protect"}
    found = finding(diagnosed(ratios, candidate("no number", **broken)))
    assert (found.remedies[-1].kind, found.remedies[-1].verdict) == ("protect", "worse")
    assert found.remedies[-1].effect == "measured: worse, nothing is left of the model"
    assert "none of its 4 remedies" in found.recommendation


def test_other_limits_that_were_tried_are_remedies_too(diagnosed):
    def cap(highest, ratio):
        patch = {"limits": {"max_rate": highest}}
        name = f"taylor_T0_20_wiki_max{100 * highest:.0f}"
        return candidate(ratio, name=name, kind="cap", patch=patch, experiment=name, command=f"{START}/{name}")

    report = diagnosed(RATIOS, cap(0.4, 0.5), cap(0.3, LIMIT), cap(0.7, 0.1))
    first, *_, last = [remedy for remedy in finding(report).remedies if remedy.kind == "cap_rates"]
    assert (first.patch["limits"]["max_rate"], first.verdict) == (0.4, "better")
    assert first.what == "at most 40 % of any block"
    # 0.7 is looser than the limit of 0.6 in force
    assert (last.verdict, last.effect) == ("impossible", f"not possible: {LIMIT}")
    assert "max70" not in {remedy.experiment for remedy in finding(report).remedies}
    assert last is finding(report).remedies[-1]
    lines = shown(report)
    assert f"  {last.command}" not in lines
    assert f"  taylor_T0_20_wiki_max30: {LIMIT}" in lines
    assert report.checks.trial.unmeasured == {"taylor_T0_20_wiki_max30": LIMIT}


@pytest.fixture(scope="module")
def unmeasured():
    """What is said of the remedies that no trial can measure, by kind."""
    mean = with_values({1: 1e-9, 20: 1e9}, 1.0)
    evidence = make_evidence(mean=mean, mlp=with_values({2: 0.99}), stability=dict.fromkeys(range(30), 0.5))

    def said(seconds, **settings):
        needs = candidate("no prior", name="t", kind="block_correction", patch={"method": {"temperature": 1, "tau": 0}})
        told = Settings(calibration={"samples": 8, "seq_len": 256}, **settings)
        context = Context("m", "taylor_T0_20_wiki_s256_n8", told)
        report = diagnose(evidence, Diagnosis(), context, trials=trials({}, {}, needs, seconds=seconds)).report
        found = [remedy for found in report.diagnosis for remedy in found.remedies if remedy.verdict == "unmeasured"]
        assert all(remedy.measured == {} and remedy.ratio is None for remedy in found)
        return {remedy.kind: remedy.effect.removeprefix("not measured: ") for remedy in found}

    return said


def test_what_was_not_measured_says_what_it_would_take(unmeasured):
    said, unknown = unmeasured(90.0), unmeasured(None)
    assert said["other_text"] == "needs another gradient pass, about 90 s"
    assert said["more_samples"] == "needs another gradient pass, about 3 min"
    assert said["shorter_windows"] == "needs another gradient pass, about 45 s"
    assert said["lower_ratio"].startswith("it removes less")
    assert unknown["other_text"] == "needs another gradient pass"


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({}, "23 min"),  # 91 / 2 forward passes, where the gradients took three of them in 90 s
        ({"removal": {"samples": 4}}, "11 min"),
        ({"removal": {"samples": 32}}, "23 min"),
        ({"removal": {"estimate": "first_order"}}, "60 s"),
        ({"method": {"prior": "similarity"}}, "30 s"),
    ],
)
def test_a_missing_prior_says_what_it_would_take(unmeasured, settings, passes):
    needs = "needs the prior of every block, which this experiment does without"
    said, unknown = unmeasured(90.0, **settings), unmeasured(None, **settings)
    assert said["block_correction"] == said["share"] == f"{needs}, about {passes}"
    assert unknown["block_correction"] == needs


# --- more calibration text ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unstable():
    """Diagnose an experiment whose halves disagree, by what half of its windows did."""
    evidence = make_evidence(stability=dict.fromkeys(range(30), 0.3))
    context = Context("m", "gate_T0_20_wiki_n32", Settings(method={"criterion": "gate"}, calibration={"samples": 32}))

    def run(less, *more, **told):
        return diagnose(evidence, Diagnosis(), context, trials=trials({}, {}, *more, less_text=less, **told)).report

    return run


@pytest.mark.parametrize(
    ("less", "severity", "verdict", "said"),
    [
        (half(1.21), "high", "promising", "gave perplexity 21.0 % higher, so that about 9.1 % less can be expected"),
        (half(1.06), "info", "doubtful", "gave perplexity 6.0 % higher, so that about 2.9 % less can be expected"),
        (half(1.04), "info", "doubtful", "did as well, so that little can be expected"),
        (half(1.21, samples=8), "info", "doubtful", "so that about 3.1 % less can be expected"),
        (None, "high", "unmeasured", "needs another gradient pass, about 80 s"),
    ],
)
def test_what_half_of_the_text_does_judges_the_call_for_more(unstable, less, severity, verdict, said):
    report = unstable(less, candidate(1.5, **GATE))
    found = finding(report, "few_samples")
    assert (found.severity, found.remedy.kind, found.remedy.verdict) == (severity, "more_samples", verdict)
    assert found.lowered_from == (None if severity == "high" else "high")
    assert said in found.remedy.effect and found.remedy.measured == {}
    if verdict == "promising":
        assert found.remedy.expected.ratio == pytest.approx(1.21**-0.5)
        assert found.remedy.expected.change == pytest.approx(-less.distance.change / 2)


@pytest.mark.parametrize(("ratio", "promised"), [(1.5, True), (0.99, True), (0.8, False)])
def test_more_text_is_next_where_it_promises_more_than_what_was_measured(unstable, ratio, promised):
    report = unstable(half(1.21), candidate(ratio, **GATE, experiment="gate_T0", command="run gate_T0"))
    more = report.checks.trial.more_text
    assert (more is not None) is promised
    assert ("with 64 windows, perplexity about 9 % lower" in report.headline) is promised
    assert shown(report)[-1].strip() == (
        f"{START}/gate_T0_20_wiki_n64".replace("SmolLM2-135M", "m") if promised else "run gate_T0"
    )


def test_a_broken_parent_is_said_first_and_no_setting_is_called_best(unstable):
    report = unstable(half(1.21), candidate(0.5, **GATE), vocabulary=10)
    assert report.diagnosis[0].code == "broken_parent"
    assert report.headline.startswith("The unpruned model is broken: its perplexity is 20, worse than a blind guess.")
    assert "The best setting measured" not in shown(report)
    assert "broken_parent" not in {found.code for found in unstable(None, vocabulary=20).diagnosis}


# --- the first line -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (0.5, "Of 2 settings measured on 16 held-out windows, gate_T0_20_wiki is best: perplexity 50.0 instead of "
              "100.0 (ratio 0.50 [0.47, 0.53]), KL to the unpruned model 1.31 instead of 2.00."),
        (0.98, "comes closest to the unpruned model, but it cannot be told from this one by these windows: "
               "perplexity 98.0"),
        (1.02, "None of 1 other setting measured on 16 held-out windows is better than this one. The best of them is "
               "gate_T0_20_wiki, which cannot be told from it"),
        (1.5, "better than this one. The best of them is gate_T0_20_wiki: perplexity 150.0 instead of 100.0 (ratio"),
        (None, "Of the other settings, none could be measured that cuts anything else."),
    ],
)  # fmt: skip
def test_the_first_line_names_the_best_setting(diagnosed, ratio, said):
    names = {"experiment": "gate_T0_20_wiki", "command": f"{START}/gate_T0_20_wiki"}
    report = diagnosed({}, *([candidate(ratio, **GATE, **names)] if ratio else []))
    assert said in report.headline
    first, *_, last = shown(report)
    assert first == report.headline
    best = "gate_T0_20_wiki" if ratio and ratio < 1 else "me"
    assert last == f"  {START}/{best}"
    trial = report.checks.trial
    assert (trial.best.experiment, trial.rank, trial.windows) == (best, 2 if best != "me" else 1, WINDOWS)


@pytest.mark.parametrize(("ridge", "count"), [(0.1, 1), (None, 0)])
def test_the_first_line_says_that_refitted_cuts_were_measured(diagnosed, ridge, count):
    for language, said in (("en", "were measured refitted"), ("zh", "refit")):
        headline = diagnosed({}, candidate(0.5, **GATE), ridge=ridge, language=language).headline
        assert headline.count(said) == count


@pytest.mark.parametrize("language", LANGUAGES)
def test_several_texts_are_each_told(diagnosed, language):
    said = diagnosed(
        {}, candidate(0.5, ("wiki", "hansard"), **GATE), texts=("wiki", "hansard"), language=language
    ).headline
    assert "gate_T0" in said and "wiki" in said and "hansard" in said and "0.50 [0.47, 0.53]" in said and "32" in said
    assert said.count("50.0") == said.count("100.0") == 2
    assert ("geometric mean" if language == "en" else "几何平均") in said


def test_a_setting_without_a_name_is_a_line_of_configuration(diagnosed):
    report = diagnosed({}, candidate(0.5, **GATE))
    assert shown(report)[-1] == "  {method: {criterion: gate}}"


def test_no_problem_does_not_hide_a_better_setting(ordinary):
    folder = ExperimentFolder(ordinary)
    for ratio, said in ((0.5, "another setting was measured to be better"), (1.5, "Nothing needs to change.")):
        folder.trials.write(trials({}, {}, candidate(ratio, **GATE)))
        report = write_diagnosis(spec(ordinary, trials=True), ordinary).report
        assert said in finding(report, "no_problem").recommendation


def test_codes_numbers_and_verdicts_are_the_same_in_every_language(diagnosed):
    words = {"issue", "description", "recommendation", "what", "effect", "language", "headline"}

    def without(value):
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in words}
        return [without(item) for item in value] if isinstance(value, list) else value

    english, *others = (diagnosed(RATIOS, language=code).model_dump(mode="json") for code in LANGUAGES)
    assert all(without(other) == without(english) for other in others)


def test_a_trial_of_before_is_not_read_where_nothing_is_tried(diagnosed, extreme):
    diagnosed(WORSE)
    report = write_diagnosis(spec(extreme), extreme).report
    assert report.headline is None and report.checks.trial is None
    assert finding(report).severity == "critical"
