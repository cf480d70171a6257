"""The comparison of an experiment with its reference shows the numbers of both."""

import matplotlib.image
import numpy as np
import pytest

from diagnosis_data import LAYERS, make_evidence, spec, with_values, write_diagnosis, write_experiment
from jobs import job
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.perplexity import Perplexity, PerplexityReport
from prunescope.config.sections import Settings
from prunescope.diagnosis.words import CHINESE, ENGLISH
from prunescope.errors import ConfigError, DataError
from prunescope.reporting.figures import before_after, beside, draw, plot_before_after
from prunescope.reporting.figures.before_after import comparison_lines, perplexity_lines
from prunescope.steps.diagnosis import BeforeAfterSpec

LABELS = ENGLISH.labels
CHANGES = {"method.temperature": ("0", "1"), "limits.max_rate": ("null", "0.5")}
SPEC = BeforeAfterSpec(model="M", experiment="new", reference="old", changes=CHANGES)


@pytest.fixture
def before():
    return make_evidence(mlp=with_values({2: 0.99, 3: 0.6}), attention=0.1, rate=with_values({2: 0.8})).layers


@pytest.fixture
def after():
    return make_evidence(mlp=with_values({2: 0.75}), attention=0.3, rate=with_values({2: 0.45})).layers


def test_each_panel_shows_both_rates(before, after):
    panels = before_after(before, after).axes
    for axes, column in zip(panels, ("attention_rate", "mlp_rate", "rate"), strict=True):
        (bars,) = axes.containers
        assert [bar.get_height() for bar in bars] == pytest.approx(before[column])
        (outline,) = [patch for patch in axes.patches if patch.get_label() == LABELS["after"]]
        assert outline.get_data().values == pytest.approx(after[column])
        assert outline.get_data().edges == pytest.approx(np.arange(LAYERS + 1) - 0.5)


def test_what_is_extreme_is_seen_by_the_threshold_alone(before, after):
    for axes in before_after(before, after, 0.4).axes:
        (line,) = axes.get_lines()
        assert list(line.get_ydata()) == [0.4, 0.4]
        assert len(axes.patches) == LAYERS + 1  # a bar per layer, the outline


def test_titles_say_what_became_of_the_highest_rate_and_the_spread(before, after):
    attention, mlp, total = (axes.get_title(loc="left") for axes in before_after(before, after).axes)
    assert attention == "attention: highest rate 10 % → 30 %, spread 0 → 0 points"
    assert mlp == "MLP: highest rate 99 % → 75 %, spread 79 → 55 points"
    assert total == "total: highest rate 80 % → 45 %, spread 60 → 25 points"


def test_the_header_says_who_and_which_settings(before, after):
    assert comparison_lines(SPEC, before, after, 0.5, ENGLISH).splitlines() == [
        "before: M / old",
        "after: M / new",
        "method.temperature: 0 → 1; limits.max_rate: null → 0.5",
        "extreme before: 2 (2, 3)",
        "extreme after: 1 (2)",
    ]
    same = SPEC.model_copy(update={"changes": {}})
    assert LABELS["same_settings"] in comparison_lines(same, before, after, 0.5, ENGLISH)
    assert "之前：M / old" in comparison_lines(SPEC, before, after, 0.5, CHINESE)


def measured(perplexities, sha256="same"):
    """A report by what it says of each text and protocol; the unpruned model has 10."""

    def results(values):
        common = {"tokens": 7, "windows": 1, "window": 8, "stride": 0, "bos": False, "dtype": "float32", "loss": 1.0}
        found = {}
        for said, value in values.items():
            text, protocol = said.split()
            one = Perplexity(perplexity=value, interval=None, sha256=sha256, **common)
            found.setdefault(text, {})[protocol] = one
        return found

    return PerplexityReport.model_construct(
        baseline=results(dict.fromkeys(perplexities, 10.0)), pruned=results(perplexities)
    )


def test_the_header_says_both_perplexities_of_the_same_tokens():
    old, new = measured({"wiki w512": 118.94, "a w8": 3.0}), measured({"wiki w512": 57.3, "b w8": 2.0})
    assert perplexity_lines(old, new, ENGLISH) == "perplexity: wiki w512 118.94 → 57.30 (unpruned 10.00)"
    assert perplexity_lines(measured({"wiki w512": 118.94}, "other"), new, ENGLISH) == ""
    many = measured({f"wiki w{2**i}": 20.0 for i in range(3, 10)})
    lines = perplexity_lines(many, many, ENGLISH).splitlines()
    assert len(lines) > 1 and all(len(line) <= 110 for line in lines)


def test_many_settings_are_counted(before, after):
    many = SPEC.model_copy(update={"changes": {f"limits.name{i}": ("0", "1") for i in range(9)}})
    lines = comparison_lines(many, before, after, 0.5, ENGLISH).splitlines()
    first, second = lines[2:-2]
    assert first == "; ".join(f"limits.name{i}: 0 → 1" for i in range(5)) + ";"
    assert second == "limits.name5: 0 → 1; and 3 more"


@pytest.fixture
def pair(tmp_path, ordinary_profile, extreme_profile):
    """The experiment, with its diagnosis; beside it the reference."""
    write_experiment(tmp_path, "taylor_T0_20_wiki", extreme_profile)
    new = write_experiment(tmp_path, "taylor_T1_tau0_20_wiki", ordinary_profile)
    write_diagnosis(spec(new), new)
    return new


def told(new, reference="taylor_T0_20_wiki"):
    return BeforeAfterSpec(model=new.parent.name, experiment=new.name, reference=reference)


def test_files_are_written(pair):
    plot_before_after(job(told(pair), pair))
    path = ExperimentFolder(pair).before_after.path
    assert 1200 <= matplotlib.image.imread(path).shape[1] <= 1600
    assert "before: SmolLM2-135M / taylor_T0_20_wiki" in path.with_suffix(".svg").read_text()
    assert (pair / "records" / "before_after.json").is_file()


def test_a_reference_that_has_not_run_is_an_error(pair):
    with pytest.raises(DataError, match=r"wanda_T0_20_wiki/analysis/pruning_summary.json is not there; run the step"):
        plot_before_after(job(told(pair, "wanda_T0_20_wiki"), pair))


def finish(pair, reference=None):
    """Leave the identity of both experiments, of which the second is compared with `reference`."""
    names = {pair.name: reference, "taylor_T0_20_wiki": None, "by__a_sweep": None}
    for name, compared in names.items():
        method = {
            "ratio": 0.2,
            "criterion": "wanda" if "sweep" in name else "taylor",
            "temperature": float("T1" in name),
        }
        settings = Settings(method=method, report={"reference": compared})
        told = {"key": "k", "model": "M", "experiment": name, "dataset": "wiki", "shared": {}, "params": {}}
        ExperimentFolder(pair.parent / name).identity.write(Identity(**told, steps={}, settings=settings))
    return ExperimentFolder(pair)


def test_finished_experiments_are_compared_by_what_their_folders_say(pair):
    folder = finish(pair, "taylor_T0_20_wiki")
    changes = {"method.temperature": ("0", "1")}
    assert beside(folder) == BeforeAfterSpec(
        model="M", experiment=pair.name, reference="taylor_T0_20_wiki", changes=changes
    )
    spec = beside(folder, "by__a_sweep")
    assert (spec.reference, spec.changes["method.criterion"]) == ("by__a_sweep", ("wanda", "taylor"))
    draw(folder, "before_after")
    assert "method.temperature: 0 → 1" in folder.before_after_vector.path.read_text()


def test_what_cannot_be_compared_is_said(pair):
    folder = finish(pair)
    with pytest.raises(ConfigError, match=f"{pair.name} has no reference; pass --reference .* or set report.reference"):
        draw(folder, "before_after")
    with pytest.raises(ConfigError, match="not compared with itself"):
        beside(folder, pair.name)
    with pytest.raises(DataError, match=r"/nope/experiment\.json is not there"):
        beside(folder, "nope")


def test_other_layers_are_an_error(pair, ordinary_profile):
    write_experiment(pair.parents[1], "short", ordinary_profile[:20])
    with pytest.raises(DataError, match="short has 20 layers and taylor_T1_tau0_20_wiki 30"):
        plot_before_after(job(told(pair, "short"), pair))
    assert not list((pair / "visualization").glob("*"))
