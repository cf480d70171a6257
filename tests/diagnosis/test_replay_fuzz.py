"""Whatever a file holds: a report of its numbers, or one sentence."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as some

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.report import replay
from prunescope.errors import PrunescopeError

FINE = {"layers": {str(layer): {"mean": 1.0 + layer, "norm": 2.0} for layer in range(4)}}
RATES = [{"layer": layer, "mlp_rate": 0.1 * layer} for layer in range(4)]

numbers = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-2, 120),
    some.floats(),
    some.integers(),
    some.sampled_from([10**400, 0.5, 1e-6, 1e300, "", "20%", "0,5", "1e-5", "nan", "-", "much", "1_0", "٣", "7 %"]),
)
names = some.one_of(
    some.sampled_from(
        ["layer", "layer_idx", "Layer", "index", "block", "name", "module", "part", "0", "1", "3", "layer_2"]
    ),
    some.sampled_from(["layers", "rates", "statistics", "parameters", "data", "note", "model", "experiment", "limits"]),
    some.sampled_from(["mean", "std", "norm", "max", "min", "size", "shape", "numel", "l2", "-1", "1.0", "99999"]),
    some.sampled_from(["rate", "mlp_rate", "attention_rate", "mlp", "attention", "mlp_%", "mlp_params", "mlp_removed"]),
    some.sampled_from(["target_ratio", "bound", "collapsed", "negative_deltas", "total", "pruning_rate", "3.mlp"]),
    some.sampled_from(["model.layers.0.mlp", "model.layers.1.mlp.up_proj.weight", "h.0.attn", "lm_head.weight"]),
    some.text(max_size=4),
)
values = some.recursive(
    numbers | names,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
rows = some.lists(some.dictionaries(names, numbers, max_size=4), min_size=1, max_size=4)
documents = some.one_of(values, rows, some.fixed_dictionaries({"layers": rows | values}, optional={"limits": values}))
separators = some.sampled_from([",", ";", "\t", "|", " "])
cells = some.one_of(numbers.map(str), names, some.text(max_size=5))
tables = some.builds(
    lambda lines, separator: "\n".join(separator.join(line) for line in lines),
    some.lists(some.lists(cells, max_size=4), min_size=1, max_size=4),
    separators,
)
headed = some.builds(
    lambda lines: "layer,mlp_rate,rate\n" + "\n".join(",".join(line) for line in lines), some.lists(some.lists(cells))
)


def nearly(good: dict[str, some.SearchStrategy], others: dict[str, some.SearchStrategy]) -> some.SearchStrategy:
    """Rows of layers in one of the forms; `good` is in each of them, `others` now and then."""
    row = some.fixed_dictionaries(good, optional=others)
    table = some.lists(row, min_size=1, max_size=6)
    labels = some.sampled_from(["{}", "layer_{}", "model.layers.{}", "h.{}.a.weight", "{}.attention"])
    by_label = some.builds(lambda rows, label: {label.format(i): row for i, row in enumerate(rows)}, table, labels)
    wrappers = some.sampled_from(["layers", "statistics", "rates", "data"])
    wrapped = some.builds(lambda name, rows: {name: rows}, wrappers, table | by_label)
    more = some.dictionaries(some.sampled_from(["limits", "bound", "experiment", "target_ratio", "model"]), values)
    return some.one_of(table, by_label, wrapped, some.builds(lambda rows, more: more | {"layers": rows}, table, more))


a_rate = some.floats(0, 1) | some.sampled_from([0, 1, 0.5, "0.25", "0,3", None, 1e-9])
a_value = some.floats(0, 1e308) | some.sampled_from([0, 1e-300, 5e-324, "1e-5", None])
nearly_rates = nearly({"mlp_rate": a_rate}, {"attention_rate": a_rate, "rate": a_rate, "note": numbers})
nearly_statistics = nearly(
    {"mean": a_value}, {"std": a_value, "norm": a_value, "max": a_value, "numel": some.integers(0, 2**40)}
)
contents = some.one_of(documents.map(json.dumps), tables, headed, some.text()).map(lambda text: text.encode("utf-8"))
anything = contents | some.binary()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("replays")


def judged(folder: Path, statistics: bytes, rates: bytes) -> None:
    for name, content in {"statistics": statistics, "rates": rates}.items():
        (folder / name).write_bytes(content)
    try:
        report = replay(folder / "statistics", folder / "rates", Diagnosis()).report
    except PrunescopeError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        event("one sentence")
        return
    event("a report")
    layers = report.extreme_pruning_layers
    shown = [rate for layer in layers for rate in (layer.attention_rate, layer.mlp_rate, layer.pruning_rate)]
    shown += list(report.checks.spread.values())
    assert all(rate is None or 0 <= rate <= 1 for rate in shown)
    assert all(map(math.isfinite, report.gradient_statistics.mean_range or ()))
    assert report.diagnosis


@given(rates=anything)
@example(rates=b'{"layers": {"mlp": {"rate": null}}}')
@example(rates=b'{"experiment": "taylor_T0_20_c4_max500", "layers": [0.9, 0.1]}')
@example(rates=b'{"experiment": "taylor_T0_20_c4_protect99", "layers": [0.9, 0.1]}')
@example(rates=b'{"experiment": "\\ud800", "model": "\\ud800", "layers": [0.9, 0.1]}')
@example(rates=b'{"limits": {"protect": [77]}, "layers": [0.9, 0.1]}')
@example(rates=b'{"layers": [{"layer": 0, "mlp_rate": 1, "mlp_params": 0, "mlp_removed": 0}]}')
@example(rates=b'{"layers": [{"\\ud800": 1, "layer": "\\ud800"}]}')
def test_any_rates_beside_statistics(folder, rates):
    judged(folder, json.dumps(FINE).encode(), rates)


@given(statistics=anything)
@example(
    statistics=b'{"h.0.a": {"mean": 1e308, "norm": 1e308, "std": 1e308}, "h.0.b": {"mean": 1e308, "norm": 1, "std": 1}}'
)
@example(statistics=b'{"h.0.a": {"mean": 0, "norm": 0, "std": 0}, "h.0.b": {"mean": 1, "norm": 1, "std": 1}}')
def test_any_statistics_beside_rates(folder, statistics):
    judged(folder, statistics, json.dumps(RATES).encode())


@given(statistics=nearly_statistics.map(json.dumps), rates=nearly_rates.map(json.dumps))
def test_files_that_are_right_or_nearly_so(folder, statistics, rates):
    judged(folder, statistics.encode(), rates.encode())
