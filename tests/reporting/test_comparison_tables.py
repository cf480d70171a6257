"""A comparison holds what the experiments' files hold, and recommends no more than they say."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from folders import measured, write, write_identity
from scipy.stats import spearmanr

from jobs import job
from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder
from prunescope.errors import DataError
from prunescope.reporting.comparison.figures import perplexity
from prunescope.reporting.comparison.frame import Measurement, differing, read_comparison, settings_of
from prunescope.reporting.comparison.groups import kept_similarity, removed_similarity, score_correlation
from prunescope.reporting.comparison.recommend import recommend
from prunescope.reporting.comparison.report import compare
from prunescope.reporting.comparison.show import main_table, print_comparison, settings_table
from prunescope.steps.reporting import ComparisonSpec
from prunescope.steps.table import TABLE

A = {"a w8": 20.25}


@pytest.fixture
def three(tmp_path):
    one = write(tmp_path, "one", {"a w8": (20.0, 18.0, 22.0), "b w8": 30.0})
    two = write(tmp_path, "two", {"a w8": (21.5, 19.5, 23.5), "b w8": 28.0}, **{"method.temperature": 1.0})
    three = write(tmp_path, "three", {"a w8": (1500.4, 1400.0, 1600.0), "b w8": 90.0}, **{"limits.protect": "0, 1"})
    return read_comparison([one, two, three, tmp_path / "M/_shared"])


def test_numbers(three):
    numbers = three.numbers
    assert list(numbers.index) == ["one", "two", "three"]
    row = numbers.loc["one"]
    assert (row["removed of all"], row["removed of decoder"]) == pytest.approx((0.2, 0.3))
    # layer 0: one of 4 channels of 10 parameters, beside 2 groups of 30
    assert (row["highest layer rate"], row["rate spread"]) == pytest.approx((0.1, 0.1))
    assert (row["extreme layers"], row["extreme layer indices"]) == (2, "0 2")
    assert [row[f"{severity} findings"] for severity in ("critical", "high", "info")] == [1, 2, 0]
    assert row["checkpoint bytes"] == 2_000_000
    assert [row[f"perplexity a w8{end}"] for end in ("", " low", " high")] == [20, 18, 22]
    assert math.isnan(row["perplexity b w8 low"])
    assert three.measurements == (Measurement("a", "w8"), Measurement("b", "w8"))
    assert three.unpruned.loc["(unpruned)", "perplexity a w8"] == 10


def test_only_settings_that_differ_are_columns(three):
    assert list(three.settings.columns) == ["method.temperature", "limits.protect"]
    assert three.settings["limits.protect"].tolist() == ["none", "none", "0, 1"]
    assert settings_table(three).to_numpy().tolist() == [
        ["one", ""], ["two", "method.temperature = 1.0"], ["three", "limits.protect = 0, 1"],
    ]  # fmt: skip


def test_what_optional_steps_measured_is_in_the_table(tmp_path):
    folder = ExperimentFolder(write(tmp_path, "one", A))
    scores = {"boolq": {"acc": {"value": 0.75, "stderr": 0.01}}}
    better = {"boolq": {"acc": {"value": 0.8, "stderr": 0.01}}}
    folder.zeroshot.write(measured(baseline=better, pruned=scores))
    table = read_comparison([folder.path]).table()
    assert table["zeroshot boolq.acc.value"].tolist() == [0.8, 0.75]


def test_zero_shot_tasks_of_a_trained_model_are_in_columns_of_their_own(tmp_path):
    one, two = write(tmp_path, "one", A), write(tmp_path, "two_recover", A)
    for folder, which, value in ((one, "pruned", 0.5), (two, "recovered", 0.6)):
        content = {name: {"boolq": {"acc": {"value": v}}} for name, v in (("baseline", 0.8), (which, value))}
        ExperimentFolder(folder).zeroshot.write(measured(**content))
    table = read_comparison([one, two]).table()
    assert table["zeroshot boolq.acc.value"].fillna(0).tolist() == [0.8, 0.5, 0]
    assert table["trained zeroshot boolq.acc.value"].fillna(0).tolist() == [0, 0, 0.6]


def test_every_text_has_the_unpruned_model(tmp_path):
    folders = [write(tmp_path, "x", {"a w8": 20}), write(tmp_path, "y", {"a w8": 30, "b w4": 40})]
    compared = read_comparison(folders)
    assert compared.unpruned.loc["(unpruned)", ["perplexity a w8", "perplexity b w4"]].tolist() == [10, 10]
    perplexity(compared)


def test_no_experiment_is_said(tmp_path):
    with pytest.raises(DataError, match="no experiment to compare"):
        read_comparison([tmp_path / "M/_shared"])


def test_several_models_are_told_apart(tmp_path):
    compared = read_comparison([write(tmp_path, "one", A), write(tmp_path, "one", {"c w8": 5.0}, model="N")])
    assert list(compared.table().index) == ["M/(unpruned)", "N/(unpruned)", "M/one", "N/one"]
    assert compared.table()["perplexity c w8"].tolist()[1::2] == [10, 5]
    assert main_table(compared)["c w8"].tolist() == ["", "10.0", "", "5.0"]


def test_printed(three, capsys):
    print_comparison(three, markdown=True, everything=False, unfinished=[])
    said, table = capsys.readouterr().out.split("\n\n| ", 1)
    lines = f"| {table}".splitlines()
    assert "has the lowest" in said
    assert lines[0].startswith(
        "| experiment | removed % | perplexity, x unpruned | a w8 | b w8 | attention % | MLP % |"
    )
    assert lines[2].startswith("| (unpruned) |  | 1.00 | 10.0 | 10.0 |")
    assert lines[3] == "| one | 20.0 | 2.45 | 20.0 [18.0, 22.0] | 30.0 | 50.0 | 12.5 | 10.0 | 10.0 | 2 | 1 + 2 | 2 |"
    assert "1,500 [1,400, 1,600]" in lines[5]


def test_what_is_printed_fits_a_terminal(three, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_comparison(three, markdown=False, everything=False, unfinished=["M/four"])
    verdict, table = capsys.readouterr().out.split("┏")
    assert "has the lowest" in verdict
    assert "not finished: M/four" in verdict
    # the square root of 20 x 30, over 10
    assert re.search(r"one +│ +20\.0 │ +2\.45 │", table)
    assert "1,500" not in table
    assert all(len(line) <= 80 for line in (verdict + table).splitlines())
    print_comparison(three, markdown=False, everything=True, unfinished=[])
    assert "1,500 [1,400, 1,600]" in capsys.readouterr().out


# --- recommendation ------------------------------------------------------------------------------------


def test_the_lowest_geometric_mean_wins_and_who_wins_elsewhere_is_said(three):
    first, scope = recommend(three)
    # the square roots of 20 x 30 and 21.5 x 28
    assert "`one` has the lowest geometric mean of the perplexities on a w8 and b w8 of 3 experiments, 24.5" in first
    assert "next is `two` with 24.5" in first
    assert "On b w8 alone `two` is lower (28.0 against 30.0)." in first
    assert "No interval was measured" in first  # of b
    assert "another seed or text" in scope


def test_intervals_that_overlap_are_no_difference(tmp_path):
    def compared(*values):
        folders = [write(tmp_path / str(len(values)), f"e{n}", {"a w8": value}) for n, value in enumerate(values)]
        return recommend(read_comparison(folders))[0]

    assert compared((20, 18, 22), (30, 28, 32)).endswith(
        "All others are worse by more than the choice of windows explains (95 %)."
    )
    said = compared((20, 18, 22), (21, 19, 23), (30, 28, 32))
    assert "`e0` has the lowest perplexity on a w8 of 3 experiments, 20.0; next is `e1` with 21.0." in said
    assert said.endswith("Not clearly worse (95 %, over the choice of windows): `e1`.")


def test_the_same_windows_tell_what_intervals_cannot(tmp_path):
    hard = np.random.default_rng(0).normal(21, 7, 60)  # windows differ far more than the models
    noise = np.tile([0.5, -0.5], 30)
    losses = {"low": hard, "high": hard + 0.7 + noise, "same": hard + 0.01 + noise}
    folders = []
    for name, values in losses.items():
        value = float(np.exp(values.sum() / 420))
        folders.append(write(tmp_path, name, {"a w8": (value, 0.8 * value, 1.2 * value)}, losses=values))
    compared = read_comparison(folders)
    low, high = (compared.numbers.loc[name, "perplexity a w8"] for name in ("low", "high"))
    assert 0.8 * high < 1.2 * low  # the intervals overlap
    said = recommend(compared)[0]
    assert said.endswith("Not clearly worse (95 %, over the choice of windows): `same`.")


def test_each_ratio_is_judged_apart(tmp_path):
    folders = [
        write(tmp_path, name, {"a w8": value}, ratio)
        for name, value, ratio in (("x", 20, 0.1), ("y", 30, 0.2), ("z", 25, 0.2004), ("v", 50, 0.4))
    ]
    said = recommend(read_comparison(folders))
    assert len(said) == 2
    assert said[0].startswith("At 20 % of all parameters: `z` has the lowest perplexity on a w8 of 2 experiments, 25.0")
    (alone,) = recommend(read_comparison(folders[:2]))
    assert alone.startswith("No two experiments removed the same share")


def test_a_single_experiment_is_compared_with_the_unpruned_model(tmp_path):
    compared = read_comparison([write(tmp_path, "x", {"a w8": 25, "b w8": 30})])
    assert recommend(compared) == [
        "`x`: perplexity on a w8 25.0, 2.50 times the unpruned model's 10.0.",
        "`x`: perplexity on b w8 30.0, 3.00 times the unpruned model's 10.0.",
        "A recommendation needs a second experiment.",
    ]


def test_what_was_measured_on_other_texts_is_not_ranked(tmp_path):
    folders = [write(tmp_path, "x", {"a w8": 20}), write(tmp_path, "y", {"b w8": 10})]
    assert (
        "no recommendation, since not all experiments were measured on the same texts"
        in recommend(read_comparison(folders))[0]
    )


# --- groups --------------------------------------------------------------------------------------------


def experiment(root, name, **what):
    return ExperimentFolder(write(root, name, A, **what))


def test_similarity_against_sets(tmp_path):
    chosen = {
        "p": [(0, "attention", 0), (0, "mlp", 1), (1, "mlp", 2)],
        "q": [(0, "attention", 0), (2, "mlp", 3)],
        "r": [(1, "attention", 1)],
    }
    folders = {name: experiment(tmp_path, name, removed=removed) for name, removed in chosen.items()}
    cost = {"attention": 30, "mlp": 10}
    every = {
        (layer, block, group)
        for layer in range(3)
        for block, count in (("attention", 2), ("mlp", 4))
        for group in range(count)
    }

    def naive(sets):
        def weight(groups):
            return sum(cost[block] for _, block, _ in groups)

        return [[weight(one & other) / weight(one | other) for other in sets] for one in sets]

    removed = [set(groups) for groups in chosen.values()]
    assert removed_similarity(folders).to_numpy() == pytest.approx(np.array(naive(removed)))
    assert kept_similarity(folders).to_numpy() == pytest.approx(np.array(naive([every - gone for gone in removed])))
    assert list(kept_similarity(folders).columns) == ["p", "q", "r"]


def test_scores_are_compared_by_rank(tmp_path):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=18), rng.normal(size=18)
    scores = {"p": one, "q": np.exp(one), "r": -one, "s": other}
    folders = {name: experiment(tmp_path, name, scores=values) for name, values in scores.items()}
    found = score_correlation(folders).loc["p"]
    assert found.tolist() == pytest.approx([1, 1, -1, spearmanr(one, other).statistic])


def test_groups_of_different_models_are_not_compared(tmp_path):
    folders = {"x": experiment(tmp_path, "x"), "y": experiment(tmp_path, "y", mean=(1.0, 1.0))}
    with pytest.raises(DataError, match="only experiments of one model"):
        kept_similarity(folders)


# --- the step ------------------------------------------------------------------------------------------


def spec(partial=False, **missing):
    names = ("one", "two", *missing)
    return ComparisonSpec(model="M", sweep="s", experiments=names, missing=missing, partial=partial)


def test_the_step_writes_table_page_and_figures(tmp_path):
    write(tmp_path, "one", A)
    write(tmp_path, "two", {"a w8": (30, 29, 31)}, **{"method.temperature": 1.0})
    folder = ComparisonFolder(tmp_path / "M/comparison/s")
    compare(job(spec(gone="ratio cannot be reached"), folder.path))
    assert {file.name for file in folder.path.iterdir()} == {file.path for file in TABLE["comparison"].files}
    table = folder.table.read().set_index("experiment")
    assert table.loc["two", "method.temperature"] == 1
    assert table.loc["one", "perplexity a w8"] == 20.25
    said = folder.recommendation.read()
    assert said.recommended == {"one": "lowest perplexity of 2 experiments at 20 % of all parameters"}
    assert said.experiments == ["one", "two"]
    page = folder.page.read()
    assert "`one` has the lowest perplexity on a w8" in page
    assert "- `gone`: ratio cannot be reached" in page
    assert "95 % intervals over the choice" in page
    assert all(f"]({name}.png)" in page for name in ("perplexity", "kept_groups"))
    html = folder.html.read()
    assert "<code>one</code> has the lowest perplexity on a w8" in html
    assert html.count('src="data:image/png;base64,') == html.count("<img") == 4
    assert "<td>20.2</td>" in html.replace(' style="text-align:right"', "")


def test_a_partial_comparison_leaves_no_record(tmp_path):
    write(tmp_path, "one", A)
    write(tmp_path, "two", A)
    folder = ComparisonFolder(tmp_path / "M/comparison/s")
    compare(job(spec(), folder.path))
    assert folder.record.exists()
    compare(job(spec(partial=True), folder.path))
    assert folder.page.exists()
    assert not folder.record.exists()


def test_nothing_to_compare_is_said(tmp_path):
    with pytest.raises(DataError, match="sweep s on M: no experiment finished"):
        compare(job(ComparisonSpec(model="M", sweep="s", experiments=("x",), missing={"x": "why"}), tmp_path / "M/c/s"))


def test_settings_that_others_lack_stay_as_they_are(tmp_path):
    params = {"a": {}, "b": {"limits.early_layers.count": 5, "corrections.normalize": None}}
    folders = {name: ExperimentFolder(tmp_path / name) for name in params}
    for name, content in params.items():
        write_identity(folders[name], content | {"method.ratio": 0.2})
    found = differing(
        pd.DataFrame.from_dict({name: settings_of(folder) for name, folder in folders.items()}, orient="index")
    )
    assert found.to_dict(orient="index") == {
        "a": {"limits.early_layers.count": "none"},
        "b": {"limits.early_layers.count": "5"},
    }
