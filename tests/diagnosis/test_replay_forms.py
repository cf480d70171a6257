"""Numbers as other programs write them: one case in many forms, and what no form makes right."""

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from test_replay import files_of

from prunescope.diagnosis.inputs import read_rates, read_statistics
from prunescope.diagnosis.report import replay
from prunescope.errors import DataError
from prunescope.importance.statistics import GradientStatistics

NAME = "model.layers.{}.mlp.up_proj.weight"
PATHS = dict(zip(("statistics", "rates"), files_of("T0"), strict=True))
MEANS = {int(layer): row["mean"] for layer, row in json.loads(PATHS["statistics"].read_text())["layers"].items()}
SUMMARY = json.loads(PATHS["rates"].read_text())
ROWS = SUMMARY["layers"]
NAMES = {name: SUMMARY[name] for name in ("model", "experiment")}


def table(rows, separator=",", comma=False):
    """Return rows as CSV; `comma`: with decimal commas."""
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{k: str(v).replace(".", ",") if comma else v for k, v in row.items()} for row in rows])
    return out.getvalue()


STATISTICS = {
    "by_parameter": json.dumps({NAME.format(layer): {"mean": [mean]} for layer, mean in MEANS.items()}),
    "by_parameter_in_batches": json.dumps(
        {
            "note": "from another tool",
            "statistics": {
                f"transformer.h.{layer}.mlp.c_fc.weight": {"mean": [mean] * 3} for layer, mean in MEANS.items()
            },
        }
    ),
    "a_list_in_order": json.dumps({"layers": [{"mean": mean} for mean in MEANS.values()]}),
    "named_layers_and_text": json.dumps(
        {f"layer_{layer}": {"grad_mean": f"{mean:e}"} for layer, mean in MEANS.items()}
    ),
    "json_lines": "\n".join(json.dumps({"layer_idx": layer, "mean": mean}) for layer, mean in MEANS.items()),
    "columns": json.dumps({"mean": {f"layers.{layer}": mean for layer, mean in MEANS.items()}}),
    "tabs": table([{"Layer": layer, "gradient_mean": mean} for layer, mean in MEANS.items()], "\t"),
}
RATES = {
    "list": json.dumps(ROWS),
    "layer_idx": json.dumps(
        [{"layer_idx": row["layer"], **{k: v for k, v in row.items() if k != "layer"}} for row in ROWS]
    ),
    "nested": json.dumps(
        {
            "rates": {
                f"model.layers.{row['layer']}": {
                    "attention": {"rate": row["attention_rate"]},
                    "mlp": {"rate": str(row["mlp_rate"])},
                    "pruning_rate": row["rate"],
                }
                for row in ROWS
            }
        }
    ),
    "by_block": json.dumps(
        {f"{row['layer']}.mlp": row["mlp_rate"] for row in ROWS}
        | {f"model.layers.{row['layer']}.self_attn": row["attention_rate"] for row in ROWS}
        | {str(row["layer"]): row["rate"] for row in ROWS}
    ),
    "semicolons_and_commas": "\ufeff" + table(ROWS, ";", comma=True),
    "an_index_column": "," + "\n".join(f"{i - 1}," * (i > 0) + line for i, line in enumerate(table(ROWS).splitlines())),
    "long": table(
        [
            {"layer": row["layer"], "module": kind, "sparsity": row[name]}
            for row in ROWS
            for kind, name in {"attn": "attention_rate", "ffn": "mlp_rate", "": "rate"}.items()
        ]
    ),
    "percent": table(
        [{"Layer Index": row["layer"]} | {f"{k} [%]": f"{100 * row[k]:.6g}" for k in list(row)[1:]} for row in ROWS]
    ),
    "percent_signs": json.dumps([row | {k: f"{100 * row[k]:.6g} %" for k in list(row)[1:]} for row in ROWS]),
    "percent_unsaid": json.dumps([row | {k: round(100 * row[k], 4) for k in list(row)[1:]} for row in ROWS]),
}


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def found(statistics, rates):
    findings = replay(statistics, rates, **NAMES).report.diagnosis
    return [(one.code, one.severity, one.layers, [remedy.command for remedy in one.remedies]) for one in findings]


@pytest.mark.parametrize("form", STATISTICS)
def test_the_published_case_in_any_form_of_statistics(form, tmp_path):
    path = write(tmp_path, "statistics.txt", STATISTICS[form])
    means = read_statistics(path).layers["mean"]
    assert means.to_dict() == pytest.approx(MEANS)
    assert found(path, PATHS["rates"]) == found(PATHS["statistics"], PATHS["rates"])


@pytest.mark.parametrize("form", RATES)
def test_the_published_case_in_any_form_of_rates(form, tmp_path):
    path = write(tmp_path, "rates.txt", RATES[form])
    names = ["attention_rate", "mlp_rate", "rate"]
    expected = pd.DataFrame(ROWS).set_index("layer")[names]
    pd.testing.assert_frame_equal(read_rates(path).layers[names], expected, check_index_type=False)
    findings = [one for one in found(PATHS["statistics"], path) if one[0] != "rates_in_percent"]
    assert findings == found(PATHS["statistics"], PATHS["rates"])


@pytest.mark.parametrize("form", RATES)
def test_percentages_are_said_and_fractions_are_not(form, tmp_path):
    report = replay(PATHS["statistics"], write(tmp_path, "rates", RATES[form])).report
    said = [one.description for one in report.diagnosis if one.code == "rates_in_percent"]
    assert [("the highest is 99 %" in one) for one in said] == [True] * form.startswith("percent")


def test_parameters_are_pooled_as_the_gradient_step_pools_them(tmp_path):
    random = np.random.default_rng(0)
    gradients = {NAME.format(layer).replace("up", f"w{i}"): (layer, 10 * i + 7) for layer in (0, 1) for i in range(3)}
    names, layers, sizes = list(gradients), [x for x, _ in gradients.values()], [n for _, n in gradients.values()]
    values = np.array(
        [
            [[g.mean(), g.std(), np.linalg.norm(g), g.max(), g.min()] for g in np.abs(random.normal(size=(2, size)))]
            for size in sizes
        ]
    )
    ours = GradientStatistics(names, layers, np.repeat(np.array(sizes)[:, None], 2, axis=1), values)
    written = ours.by_parameter_and_layer()["parameters"]
    read = read_statistics(write(tmp_path, "statistics.json", json.dumps(written)))
    assert not read.unweighted
    assert read.layers.to_dict("index") == {
        layer: pytest.approx(expected, rel=1e-6) for layer, expected in ours.per_layer().items()
    }
    means = {
        name: {"mean": series["mean"], "shape": [size]}
        for (name, series), size in zip(written.items(), sizes, strict=True)
    }
    sized = read_statistics(write(tmp_path, "sized.json", json.dumps(means)))
    assert sized.layers["mean"].to_list() == pytest.approx(read.layers["mean"].to_list())


def test_parameters_of_unknown_size_count_the_same_and_that_is_said(tmp_path):
    numbers = {
        NAME.format(layer) + end: {"mean": layer + more} for layer in range(3) for end, more in {"": 1, "2": 2}.items()
    }
    path = write(tmp_path, "statistics.json", json.dumps(numbers))
    assert read_statistics(path).layers["mean"].to_list() == [1.5, 2.5, 3.5]
    codes = [one.code for one in replay(path, write(tmp_path, "rates.json", "[0.1, 0.2, 0.3]")).report.diagnosis]
    assert "sizes_unknown" in codes


def test_rates_follow_from_counts_and_a_row_of_totals_is_no_layer(tmp_path):
    text = 'layer,mlp_params,mlp_removed\n0,"1,000,000",250000\n1,1000,10\ntotal,1001000,250010\n'
    assert read_rates(write(tmp_path, "rates.csv", text)).layers["mlp_rate"].to_dict() == {0: 0.25, 1: 0.01}


def test_a_value_of_one_batch_that_is_not_finite_is_told(tmp_path):
    content = {NAME.format(0): {"mean": [1.0, None]}, NAME.format(1): {"mean": [1.0, 2.0]}}
    statistics = read_statistics(write(tmp_path, "statistics.json", json.dumps(content)))
    assert (statistics.non_finite, statistics.non_finite_layers) == ((NAME.format(0),), (0,))
    assert math.isnan(statistics.layers.at[0, "mean"]) and statistics.layers.at[1, "mean"] == 1.5


def test_utf_16_of_a_spreadsheet(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("Layer\tMLP %\n0\t12,5\n", encoding="utf-16")
    assert read_rates(path).layers["mlp_rate"].to_dict() == {0: 0.125}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"layer": 0, "mlp_rate": 9900}]', "mlp_rate is 9900; a rate is a fraction from 0 to 1 or a percentage"),
        ('[{"layer": 0, "mlp_rate": -0.1}]', "mlp_rate is -0.1; a rate is"),
        ('[{"layer": 0, "mlp_rate": "120%"}]', "mlp_rate is 120%; a rate is"),
        ('[{"layer": 0, "mlp_rate": null}, {"layer": 1}]', "all rates are empty"),
        ('[{"layer": 0, "mlp_rate": NaN}]', "all rates are empty"),
        ('[{"layer": 0, "rate": 0.1}, {"layer": 0, "rate": 0.2}]', "row 2: rate: layer 0 is there twice"),
        ('{"0": 0.1, "layer_0": 0.2}', "layer_0: rate: layer 0 is there twice"),
        ('{"0": 0.1, "0": 0.2}', "the key '0' is there twice"),
        ('[{"layer": -1, "rate": 0.1}]', "there is no layer -1; layers are numbered from 0 on"),
        ('[{"layer": 999999999, "rate": 0.1}]', "there is no layer 999999999"),
        ('[{"layer": "embedding", "rate": 0.1}]', "layer 'embedding' is no layer"),
        ('[{"layer": 0, "rate": "much"}]', "row 1: rate: 'much' is no number"),
        ('[{"layer": 0, "rate": true}]', "rate: True is no number"),
        ('[{"layer": 0, "rate": [0.1]}]', r"rate: \[0.1\] is no number"),
        ('[{"layer": 0, "attention_rate": 0.3, "mlp_rate": 99}]', "a percentage, and .*attention_rate is at most 0.3"),
        ('[{"layer": 0, "rate": "20%"}, {"layer": 1, "rate": 0.2}]', "write all rates in one unit"),
        ('[{"layer": 0, "mlp_params": 10, "mlp_removed": 11}]', "no more can go than is there"),
        ('[{"layer": 0, "mlp_rate": 0.5, "mlp_params": 10, "mlp_removed": 1}]', "of 10 parameters 1 are removed"),
        ('{"model.layers.0.mlp.up_proj.weight": 0.2}', "not of single weights"),
        ('{"layer": [0, 1], "rate": [0.1]}', "the lists are of different lengths"),
        ("layer,rate\n0,0,25\n", "row 1 has 3 values for 2 columns"),
        ("layer,rate,rate\n0,0.2,0.3\n", "two columns 'rate'"),
        ('{"layers": [0.1, 0.2], "collapsed": ["all"]}', "collapsed"),
        ('{"layers": [0.1, 0.2], "bound": [{"limit": "x"}]}', "bound"),
        ("[" * 100_000, "nested too deeply"),
        ("1e5", "needs a column 'layer'"),
        ("  \n", "is empty"),
        ("PK\x03\x04\0", "is no text"),
    ],
)  # fmt: skip
def test_rates_that_cannot_be_are_errors_and_no_findings(content, said, tmp_path):
    path = write(tmp_path, "rates", content)
    with pytest.raises(DataError, match=said):
        read_rates(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"layers": {"0": {"mean": -1e-5}}}', "mean is -1e-05, but statistics are of |g|"),
        ('{"layers": {"0": {"mean": null}, "1": {"mean": "nan"}}}', "no statistic of any layer is a finite number"),
        ('{"layers": [{"layer": 0, "mean": 1}, {"layer": 0, "mean": 1}]}', "layer 0 is there twice"),
        ('{"layers": {"0": 1e-5}}', "has no 'layers' with mean, std, norm"),
        ('{"lm_head.weight": {"mean": [1.0]}}', "has no 'layers' with mean, std, norm"),
        ('{"h.0.a": {"mean": [1, 2]}, "h.0.b": {"mean": [1]}}', "has 1 and 2 values per statistic"),
        ('{"h.0.a": {"mean": [1, 2], "norm": 3}}', "has 1 and 2 values per statistic"),
        ('{"h.0.a": {"mean": 1}, "h.0.b": {"norm": 1}}', "no statistic that all of its parameters have"),
        ('{"h.0.a": {"mean": "a lot"}}', "mean: 'a lot' is no number"),
    ],
)
def test_statistics_that_cannot_be_are_errors_and_no_findings(content, said, tmp_path):
    with pytest.raises(DataError) as error:
        read_statistics(write(tmp_path, "statistics", content))
    assert said in str(error.value)


def test_a_folder_and_a_binary_file_get_a_sentence(tmp_path):
    (tmp_path / "binary").write_bytes(b"PAR1\x15\x04\xff\xfe")
    with pytest.raises(DataError, match="is a folder; name the file in it"):
        read_rates(tmp_path)
    with pytest.raises(DataError, match="is no text in UTF-8"):
        read_statistics(tmp_path / "binary")


@pytest.mark.parametrize(
    ("rates", "said"),
    [({9: 0.1}, "no layer has both"), ({1: 0.1, 2: 0.2, 3: 0.3}, "one of them seems to count from 1")],
)
def test_files_that_number_layers_differently_are_not_joined(rates, said, tmp_path):
    statistics = write(tmp_path, "statistics.json", json.dumps({"layers": [{"mean": 1}] * 3}))
    with pytest.raises(DataError, match=said):
        replay(statistics, write(tmp_path, "rates.json", json.dumps(rates)))
