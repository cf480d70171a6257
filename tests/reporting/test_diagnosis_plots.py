"""Plots show the numbers that they were given."""

import warnings
from dataclasses import replace
from itertools import pairwise

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from diagnosis_data import CHANNELS, GROUPS, LAYERS, make_evidence, spec, with_values, write_diagnosis
from jobs import job
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.summary import BoundLimit
from prunescope.config.sections import BlockLimits, EarlyLayers, Limits
from prunescope.diagnosis.inputs import read_rates
from prunescope.diagnosis.words import ENGLISH
from prunescope.errors import ConfigError
from prunescope.reporting.figures import (
    PLOTS,
    before_after,
    draw,
    fonts,
    gradient_analysis,
    importance_heatmap,
    plot,
    pruning_rates,
)
from prunescope.reporting.figures.scores import QUANTILES
from prunescope.reporting.figures.subtitle import extreme_line, what_went
from prunescope.steps.diagnosis import FIGURES, PlotSpec

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
        bound=(BoundLimit(limit="limits.max_rate", blocks=["3.mlp"]),),
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
    assert len(drawn) == 2 and not axes.collections
    bars = axes.containers[0]
    assert [bar.get_height() for bar in bars] == pytest.approx(evidence.layers["rate"])
    spans = [patch for patch in axes.patches if patch not in list(bars)]
    assert [span.get_x() + 0.5 for span in spans] == [2, 3]
    assert legend(axes).count("extreme layer: attention,\nMLP or total above 50 %") == 1


def test_without_importance_its_curve_is_left_out(evidence):
    evidence.layers["importance"] = np.nan
    assert LABELS["scaled_importance"] not in lines(gradient_analysis(evidence.layers).axes[2])


def segments(axes, label):
    return next(c for c in axes.collections if c.get_label() == label).get_segments()


def test_stacked_bars_add_up_to_the_rate_of_the_layer(extreme):
    rates = read_rates(ExperimentFolder(extreme).summary.path)
    figure = pruning_rates(rates, 0.5, subtitle="model / experiment")
    whole, _ = figure.axes
    mlp, attention = whole.containers
    layers = rates.layers
    params = layers["attention_params"] + layers["mlp_params"]
    assert [bar.get_height() for bar in mlp] == pytest.approx(layers["mlp_removed"] / params)
    assert [bar.get_height() for bar in attention] == pytest.approx(layers["attention_removed"] / params)
    assert [bar.get_y() for bar in attention] == pytest.approx([bar.get_height() for bar in mlp])
    tops = [bar.get_y() + bar.get_height() for bar in attention]
    assert tops == pytest.approx(layers["rate"])
    assert max(tops) > 0.9
    assert lines(whole)["target 20 % of all"].get_ydata() == pytest.approx([0.2, 0.2])
    assert "model / experiment" in figure.get_suptitle()


def test_block_rates_stand_beside_each_other_under_their_limits(evidence):
    _, axes = pruning_rates(replace(evidence.rates, limits=LIMITS), 0.5).axes
    attention, mlp = axes.containers
    assert [bar.get_height() for bar in attention] == pytest.approx(evidence.layers["attention_rate"])
    assert [bar.get_height() for bar in mlp] == pytest.approx(evidence.layers["mlp_rate"])
    assert mlp[3].get_x() == pytest.approx(attention[3].get_x() + attention[3].get_width())
    marked = lines(axes)[LABELS["at_limit"]]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == pytest.approx((3.2, 0.63))
    assert {
        "limit 60 %", "limit 55 %, MLP", "limit 30 %, first layers", "minimum 5 %", "extreme above 50 %",
    } < set(legend(axes))  # fmt: skip
    assert segments(axes, "limit 30 %, first layers")[0].tolist() == [[-0.5, 0.3], [4.5, 0.3]]


def test_minima_of_a_kind_and_protected_layers_are_drawn(evidence):
    limits = Limits(attention=BlockLimits(min_rate=0.1), mlp=BlockLimits(min_rate=0.02), protect=(0, -1))
    _, axes = pruning_rates(replace(evidence.rates, limits=limits), 0.5).axes
    assert segments(axes, "minimum 10 %, attention")[0].tolist() == [[-0.5, 0.1], [LAYERS - 0.5, 0.1]]
    assert "minimum 2 %, MLP" in legend(axes)
    assert lines(axes)[LABELS["protected"]].get_xdata().tolist() == [0, LAYERS - 1]


def drawings(layers):
    """One of each plot, of a model with so many layers, a third of them extreme."""
    rate = [0.9 if layer % 3 == 0 else 0.1 for layer in range(layers)]
    made = make_evidence(count=layers, mlp=rate, rate=rate, importance=np.arange(layers) + 1.0, target_ratio=0.2)
    rows = {"layer": np.repeat(np.arange(layers), 64), "block": "mlp", "group": np.tile(np.arange(64), layers)}
    table = pd.DataFrame(rows | {"score": np.linspace(1, 2, 64 * layers), "cost": 3, "removed": False})
    title = f"a-model-with-a-long-name-70B / taylor_T1_tau0_20_c4_s256_n64_max50\n{'20 % of all ' * 8}"
    yield gradient_analysis(made.layers, 0.5, title)
    yield pruning_rates(replace(made.rates, limits=LIMITS), 0.5, title)
    yield importance_heatmap(table, title)
    yield before_after(made.layers, made.layers, 0.5, title)


@pytest.mark.parametrize("layers", [32, 80, 126])
def test_nothing_covers_data_or_other_text_however_many_layers(layers):
    for figure in drawings(layers):
        figure.draw_without_rendering()
        title = figure._suptitle.get_window_extent()
        assert figure.bbox.x0 <= title.x0 and title.x1 <= figure.bbox.x1
        for axes in figure.axes:
            ticks = [tick.get_window_extent() for tick in axes.get_xticklabels() if tick.get_text()]
            inside = [box for box in ticks if axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1]
            assert all(left.x1 < right.x0 for left, right in pairwise(inside))
            legend = axes.get_legend()
            assert legend is None or not legend.get_window_extent().overlaps(axes.bbox)
            assert legend is None or legend.get_window_extent().x1 <= figure.bbox.x1


def test_extreme_layers_are_shaded_in_both_panels_of_the_rates(evidence):
    for axes in pruning_rates(evidence.rates, 0.5).axes:
        bars = [bar for container in axes.containers for bar in container]
        assert [span.get_x() + 0.5 for span in axes.patches if span not in bars] == [2, 3]


def test_pruning_rates_without_limits_draw_none(evidence):
    whole, blocks = pruning_rates(replace(evidence.rates, bound=(), target_ratio=None)).axes
    shared = {"extreme above 50 %", LABELS["extreme_layer"]}
    assert set(legend(whole)) == {LABELS["attention_part"], LABELS["mlp_part"]} | shared
    assert set(legend(blocks)) == {LABELS["attention"], LABELS["mlp"]} | shared


def test_the_heatmap_shows_quantiles_and_how_many_groups_go(extreme):
    table = ExperimentFolder(extreme).table.read()
    attention, mlp, bar = importance_heatmap(table, "model / experiment").axes
    for axes, block, rows in ((attention, "attention", GROUPS), (mlp, "mlp", QUANTILES)):
        part = table[table["block"] == block]
        (mesh,) = [c for c in axes.collections if hasattr(c, "get_coordinates")]
        cells = np.ma.getdata(mesh.get_array())
        assert cells.shape == (rows, LAYERS)
        scores = part[part["layer"] == 7]["score"]
        if rows == len(scores):
            assert cells[:, 7].tolist() == pytest.approx(sorted(scores))
        else:
            # the middle of the tenth of 60 cells, after 9.5 / 60 of 1536 groups: between two of them
            assert cells[9, 7] == pytest.approx(
                np.sort(scores.to_numpy())[int(9.5 / 60 * CHANNELS) - 1 :][:2].mean(), rel=1e-3
            )
        gone = part.groupby("layer")["removed"].mean()
        assert [segment[0][1] for segment in segments(axes, LABELS["cut"])] == pytest.approx(gone)
    assert 0 < gone.min() < gone.max() == 1
    highest = table["score"][table["removed"]].max()
    assert {line.get_ydata()[0] for line in bar.get_lines()} == {highest}
    assert "line: highest removed score" in bar.get_ylabel()


def test_both_panels_of_the_heatmap_share_their_colours(extreme):
    table = ExperimentFolder(extreme).table.read()
    meshes = [
        c for axes in importance_heatmap(table).axes[:2] for c in axes.collections if hasattr(c, "get_coordinates")
    ]
    limits = {(mesh.norm.vmin, mesh.norm.vmax) for mesh in meshes}
    assert len(meshes) == 2
    assert limits == {(min(mesh.get_array().min() for mesh in meshes), max(mesh.get_array().max() for mesh in meshes))}


def test_the_heatmap_survives_zeros_equal_scores_and_a_missing_block():
    rows = {"layer": np.repeat([0, 1], 100), "block": "mlp", "group": np.tile(np.arange(100), 2), "cost": 3}
    for score in (0.0, 1.0):
        table = pd.DataFrame(rows | {"score": score, "removed": False})
        importance_heatmap(table).draw_without_rendering()


@pytest.mark.parametrize("name", PLOTS)
def test_files_are_written_at_a_readable_size_and_as_svg(extreme, name):
    write_diagnosis(spec(extreme), extreme)
    spec_of_plot = PlotSpec(model="M", experiment=extreme.name, plot=name)
    plot(job(spec_of_plot, extreme))
    path = extreme / "visualization" / f"{name}.png"
    assert 1200 <= matplotlib.image.imread(path).shape[1] <= 1600
    assert {file.name for file in path.parent.iterdir()} == {f"{name}.png", f"{name}.svg"}
    record = ExperimentFolder(extreme).named(ExperimentFolder.record, step=f"plot_{name}").read()
    assert record.key == spec_of_plot.record_key


def test_every_figure_of_the_table_of_steps_can_be_drawn():
    assert tuple(PLOTS) == FIGURES


def drawn(directory, name):
    """Draw a figure; return its SVG."""
    folder = ExperimentFolder(directory)
    draw(folder, name)
    return folder.named(ExperimentFolder.vector, plot=name).path


def test_the_svg_holds_its_text_and_is_the_same_each_time(extreme):
    write_diagnosis(spec(extreme), extreme)
    svg = drawn(extreme, "pruning_rates")
    first = svg.read_bytes()
    assert b"SmolLM2-135M / taylor_T0_20_wiki_max60" in first
    assert b"sans-serif" in first
    assert b"dc:date" not in first
    drawn(extreme, "pruning_rates")
    assert svg.read_bytes() == first


def test_chinese_in_an_svg_needs_no_font_of_the_reader(extreme, monkeypatch):
    # Any font with glyphs will do here.
    monkeypatch.setattr(fonts, "find_font", lambda: "DejaVu Serif")
    write_diagnosis(spec(extreme, "zh"), extreme)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        svg = drawn(extreme, "pruning_rates").read_text()
    assert "<text" not in svg
    assert "font-family" not in svg


def test_titles_hold_the_numbers_of_the_experiment(extreme):
    summary = ExperimentFolder(extreme).summary.read().model_copy(update={"ratio_of_total": 0.1997})
    layers = read_rates(ExperimentFolder(extreme).summary.path).layers
    attention, mlp = (
        ENGLISH.percent(layers[f"{block}_removed"].sum() / layers[f"{block}_params"].sum())
        for block in ("attention", "mlp")
    )
    assert what_went(summary, layers, 0.5, ENGLISH).splitlines() == [
        f"19.97 % of all parameters removed (attention {attention}, MLP {mlp})",
        "Extreme layers: 4 (2, 3, 4, 10)",
    ]
    assert what_went(summary, layers, 1.0, ENGLISH).splitlines()[1] == "Extreme layers: none"


def test_a_long_list_of_extreme_layers_is_cut_short():
    layers = make_evidence(mlp=[0.9 if layer % 2 else 0.1 for layer in range(80)], count=80).rates.layers
    said = extreme_line(layers, 0.7, ENGLISH)
    assert said.startswith("Extreme layers: 40 (1, 3, 5, 7,")
    assert said.endswith(", ...)")
    assert len(said) < 90


def test_an_unknown_plot_gets_the_nearest_name(extreme):
    with pytest.raises(ConfigError, match="did you mean 'pruning_rates'"):
        draw(ExperimentFolder(extreme), "pruning_rate")
