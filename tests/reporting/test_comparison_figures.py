"""The figures show the numbers that they were given."""

import numpy as np
import pandas as pd
import pytest
from folders import write

from prunescope.reporting.comparison.figures import (
    FIGURES,
    gradient_profiles,
    kept_groups,
    pareto,
    perplexity,
    pruning_rates,
)
from prunescope.reporting.comparison.frame import read_comparison
from prunescope.reporting.comparison.groups import kept_similarity, removed_similarity


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.fixture
def curve(tmp_path):
    values = {"T0": {10: 20.0, 20: 40.0, 30: 90.0}, "T1": {10: 25.0, 20: 35.0}}
    folders = []
    for number, (name, by_ratio) in enumerate(values.items()):
        for ratio, value in by_ratio.items():
            measured = {"a w8": (value, 0.9 * value, 1.2 * value), "b w8": value}
            settings = {"method.temperature": float(number)}
            folders.append(write(tmp_path, f"{name}_{ratio}", measured, ratio / 100, **settings))
    return read_comparison(folders)


@pytest.fixture
def same(tmp_path):
    return read_comparison(
        [
            write(tmp_path, "one", {"a w8": (30.0, 28.0, 33.0)}),
            write(tmp_path, "two", {"a w8": (20.0, 19.0, 21.0)}, removed=[(1, "attention", 0), (1, "mlp", 2)]),
            write(tmp_path, "three", {"a w8": (25.0, 24.0, 26.0)}, mean=(9.0, 1.0, 3.0), removed=[(0, "mlp", 0)]),
        ]
    )


def test_the_front_holds_what_nothing_beats():
    ratio = pd.Series([0.1, 0.1, 0.2, 0.201, 0.3, 0.3], index=list("abcdef"))
    value = pd.Series([20, 25, 19, 35, 90, 60], index=list("abcdef"))
    # a is beaten by c, which removes more at a lower perplexity; c by nobody; d by c, as good as the same ratio
    assert list(pareto(ratio, value).index) == ["c", "f"]


def test_perplexity_against_ratio_joins_what_differs_in_the_ratio_alone(curve):
    panels = perplexity(curve, "M / s").axes
    assert [axes.get_title(loc="left") for axes in panels] == ["a w8", "b w8"]
    axes = panels[0]
    assert {"Pareto front", "T0_10 ...", "T1_10 ...", "unpruned 10.0"} == set(labels(axes))
    lines = {bars.get_label(): bars.lines for bars in axes.containers}
    joined, _, spread = lines["T0_10 ..."]
    assert joined.get_xydata() == pytest.approx(np.array([[0.1, 20], [0.2, 40], [0.3, 90]]))
    assert spread[0].get_segments()[2][:, 1] == pytest.approx([81, 108])
    (front,) = [line for line in axes.get_lines() if line.get_label() == "Pareto front"]
    assert front.get_xydata() == pytest.approx(np.array([[0.1, 20], [0.2, 35], [0.3, 90]]))
    assert axes.get_yscale() == "log"
    (joined, _, spread) = {bars.get_label(): bars.lines for bars in panels[1].containers}["T1_10 ..."]
    assert not spread  # no interval of b was measured


def test_one_ratio_is_drawn_in_order(same):
    (axes,) = perplexity(same).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["one", "three", "two"]
    points, _, spread = axes.containers[0].lines
    assert points.get_xdata() == pytest.approx([30, 25, 20])
    assert spread[0].get_segments()[0][:, 0] == pytest.approx([28, 33])
    assert [text.get_text() for text in axes.texts] == ["30.0", "25.0", "20.0"]


def test_every_experiment_has_a_panel_of_rates(same):
    panels = [axes for axes in pruning_rates(same).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["one", "two", "three"]
    attention, mlp = panels[1].containers
    assert [bar.get_height() for bar in attention] == pytest.approx([0, 0.5, 0])
    assert [bar.get_height() for bar in mlp] == pytest.approx([0, 0.25, 0])
    assert len({axes.get_ylim() for axes in panels}) == 1


def test_the_matrices_are_those_of_the_groups(same):
    kept, removed, scores = kept_groups(same).axes
    assert np.array(kept.images[0].get_array()) == pytest.approx(kept_similarity(same.folders).to_numpy())
    assert np.array(removed.images[0].get_array()) == pytest.approx(removed_similarity(same.folders).to_numpy())
    assert np.array(scores.images[0].get_array()) == pytest.approx(np.ones((3, 3)))
    assert removed.images[0].get_array()[0].tolist() == [1, 0, 1]
    assert [tick.get_text() for tick in kept.get_yticklabels()] == ["one", "two", "three"]


def test_experiments_that_share_their_gradients_share_a_curve(same):
    (axes,) = gradient_profiles(same).axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert list(drawn) == ["one and 1 more", "three"]
    assert drawn["three"] == pytest.approx([9, 1, 3])


@pytest.mark.parametrize("draw", FIGURES.values(), ids=[file.path for file in FIGURES])
def test_one_experiment_alone_can_be_drawn(tmp_path, draw):
    draw(read_comparison([write(tmp_path, "one", {"a w8": 20.0})]), "M / s").canvas.draw()
