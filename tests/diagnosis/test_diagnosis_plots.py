"""Plots show the numbers that they were given."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from diagnosis_data import LAYERS, make_evidence, spec, with_values

from prunescope.config.sections import BlockLimits, EarlyLayers, Limits
from prunescope.diagnosis.evidence import Bound
from prunescope.diagnosis.inputs import read_table
from prunescope.diagnosis.plots import PLOTS, gradient_analysis, importance_heatmap, pruning_rates, save_plot
from prunescope.diagnosis.report import write_diagnosis
from prunescope.diagnosis.texts import ENGLISH
from prunescope.errors import ConfigError

LABELS = ENGLISH.labels
LIMITS = Limits(max_rate=0.6, min_rate=0.05, early_layers=EarlyLayers(max_rate=0.3), mlp=BlockLimits(max_rate=0.55))


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.fixture
def evidence():
    depth = np.arange(LAYERS)
    made = make_evidence(
        mean=10.0 ** -(depth / 10),
        norm=1e3 * 10.0 ** -(depth / 10),
        mlp=with_values({2: 0.99, 3: 0.6}),
        rate=with_values({2: 0.8, 3: 0.45}),
        importance=depth + 1.0,
        bound=(Bound("limits.max_rate", ("3.mlp",)),),
        target_ratio=0.2,
    )
    made.layers["std"] = 2 * made.layers["mean"]
    made.layers["max"] = 50 * made.layers["mean"]
    made.layers["min"] = 0.0
    return made


def test_the_first_panel_shows_mean_std_and_norm(evidence):
    panels = gradient_analysis(evidence.layers, subtitle="model / experiment").axes
    assert len(panels) == 3
    drawn = lines(panels[0])
    assert list(drawn) == [LABELS["mean"], LABELS["std"], LABELS["norm"]]
    for name in ("mean", "std", "norm"):
        assert drawn[LABELS[name]].get_ydata() == pytest.approx(evidence.layers[name])
        assert list(drawn[LABELS[name]].get_xdata()) == list(range(LAYERS))
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in drawn.values()}
    assert len(looks) == 3
    assert panels[0].get_yscale() == panels[1].get_yscale() == "log"


def test_the_second_panel_says_where_zeros_are_drawn(evidence):
    high, low = gradient_analysis(evidence.layers).axes[1].get_lines()
    floor = evidence.layers["max"].min() / 10
    assert high.get_ydata() == pytest.approx(evidence.layers["max"])
    assert low.get_ydata() == pytest.approx(np.full(LAYERS, floor))
    assert low.get_label() == f"min (0 drawn at {floor:.0e})"
    evidence.layers["min"] = 1e-9
    low = gradient_analysis(evidence.layers).axes[1].get_lines()[1]
    assert low.get_label() == "min"
    assert low.get_ydata() == pytest.approx(np.full(LAYERS, 1e-9))


def test_the_third_panel_scales_and_shades(evidence):
    axes = gradient_analysis(evidence.layers).axes[2]
    drawn = lines(axes)
    # log10 of the mean falls evenly from 0 to -2.9
    assert drawn[LABELS["scaled_gradient"]].get_ydata() == pytest.approx(np.linspace(1, 0, LAYERS))
    importance = np.log(np.arange(LAYERS) + 1) / np.log(LAYERS)
    assert drawn[LABELS["scaled_importance"]].get_ydata() == pytest.approx(importance)
    assert drawn["extreme above 50 %"].get_ydata() == pytest.approx([0.5, 0.5])
    bars = axes.containers[0]
    assert [bar.get_height() for bar in bars] == pytest.approx(evidence.layers["rate"])
    spans = [patch for patch in axes.patches if patch not in list(bars)]
    assert [span.get_x() + 0.5 for span in spans] == [2, 3]
    assert legend(axes).count(LABELS["extreme_layer"]) == 1


def test_without_importance_its_curve_is_left_out(evidence):
    evidence.layers["importance"] = np.nan
    assert LABELS["scaled_importance"] not in lines(gradient_analysis(evidence.layers).axes[2])


def test_pruning_rates_show_bars_total_and_lines(evidence):
    figure = pruning_rates(evidence.rates, 0.5, LIMITS, subtitle="model / experiment")
    (axes,) = figure.axes
    attention, mlp = axes.containers
    assert [bar.get_height() for bar in attention] == pytest.approx(evidence.layers["attention_rate"])
    assert [bar.get_height() for bar in mlp] == pytest.approx(evidence.layers["mlp_rate"])
    drawn = lines(axes)
    assert drawn[LABELS["total"]].get_ydata() == pytest.approx(evidence.layers["rate"])
    marked = drawn[LABELS["at_limit"]]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == pytest.approx((3.19, 0.62))
    assert {
        "limit 60 %", "limit 55 %, MLP", "limit 30 %, first layers", "minimum 5 %", "extreme above 50 %",
        "target 20 % of all",
    } < set(legend(axes))  # fmt: skip
    early = next(c for c in axes.collections if c.get_label() == "limit 30 %, first layers")
    assert early.get_segments()[0].tolist() == [[-0.5, 0.3], [4.5, 0.3]]
    assert "model / experiment" in figure.get_suptitle()


def test_pruning_rates_without_limits_draw_none(evidence):
    (axes,) = pruning_rates(replace(evidence.rates, bound=(), target_ratio=None)).axes
    assert set(legend(axes)) == {LABELS["total"], LABELS["attention"], LABELS["mlp"], "extreme above 50 %"}


def test_the_heatmap_shows_groups_density_and_cut(extreme):
    table = read_table(extreme / "analysis" / "importance_table.parquet")
    attention, mlp, _colour_bar = importance_heatmap(table, "model / experiment").axes
    kept = lines(attention)[LABELS["kept"]]
    expected = table[(table["block"] == "attention") & ~table["removed"]]
    assert kept.get_ydata() == pytest.approx(expected["score"])
    (mesh,) = [c for c in mlp.collections if hasattr(c, "get_coordinates")]
    assert np.ma.filled(mesh.get_array(), 0).sum(axis=0) == pytest.approx(np.ones(LAYERS))
    cut = next(c for c in mlp.collections if c.get_label() == LABELS["cut"])
    removed = table[(table["block"] == "mlp") & table["removed"]].groupby("layer")["score"].max()
    assert [segment[0][1] for segment in cut.get_segments()] == pytest.approx(removed)


def test_the_heatmap_survives_zeros_equal_scores_and_a_missing_block():
    rows = {"layer": np.repeat([0, 1], 100), "block": "mlp", "group": np.tile(np.arange(100), 2), "cost": 3}
    for score in (0.0, 1.0):
        table = pd.DataFrame(rows | {"score": score, "removed": False})
        importance_heatmap(table).canvas.draw()


@pytest.mark.parametrize("name", PLOTS)
def test_files_are_written_at_a_readable_size(extreme, name):
    write_diagnosis(spec(extreme), extreme)
    path = save_plot(name, extreme)
    assert path == extreme / "visualization" / f"{name}.png"
    assert 1200 <= matplotlib.image.imread(path).shape[1] <= 1600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_unknown_plot_gets_the_nearest_name(extreme):
    with pytest.raises(ConfigError, match="did you mean 'pruning_rates'"):
        save_plot("pruning_rate", extreme)
