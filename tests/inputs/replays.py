"""Replays: statistics and rates as other tools write them."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from inputs.case import Case
from inputs.editing import written

FIXTURES = Path(__file__).parents[1] / "fixtures"
STATISTICS, RATES = (json.loads((FIXTURES / f"mistral_T0_{what}.json").read_text()) for what in ("statistics", "rates"))
LAYERS = STATISTICS["layers"]
ROWS = RATES["layers"]
COLUMNS = ("attention_rate", "mlp_rate", "rate")
FOUND = "layers 2, 3, 4 lose 99 % of their MLP"


def case(
    name: str,
    statistics: Any = None,
    rates: Any = None,
    refused: str | None = None,
    csv: bool = False,
    shows: str = FOUND,
) -> Case:
    """Have files of statistics and rates; None: the published ones."""
    names = ("statistics.json", "rates.csv" if csv else "rates.json")
    contents = (STATISTICS if statistics is None else statistics, RATES if rates is None else rates)
    edits = tuple(written(file, content, ".") for file, content in zip(names, contents, strict=True))
    command = ("prunescope", "diagnose", "--statistics", names[0], "--rates", names[1])
    return Case(name, edits, refused, "diagnose", last=None, command=command, shows=shows)


def rows(change) -> list[dict[str, Any]]:
    return [{name: change(value) if name in COLUMNS else value for name, value in row.items()} for row in ROWS]


def renamed(old: str, new: str, of: list[dict[str, Any]] = ROWS) -> list[dict[str, Any]]:
    return [{new if name == old else name: value for name, value in row.items()} for row in of]


def table(content: list[dict[str, Any]], delimiter: str = ",", index: bool = False) -> str:
    out = io.StringIO()
    content = [{"": number} | row for number, row in enumerate(content)] if index else content
    writer = csv.DictWriter(out, content[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(content)
    return out.getvalue()


PARAMETERS = {f"model.layers.{layer}.mlp.up_proj.weight": {"mean": [of["mean"]]} for layer, of in LAYERS.items()}
SPOILED = [ROWS[0] | {"mlp_rate": 99}, *ROWS[1:]]

CASES = [
    case("the published case"),
    case("statistics by parameter, without `layers`", PARAMETERS),
    case(
        "statistics by parameter, one number each", {name: {"mean": of["mean"][0]} for name, of in PARAMETERS.items()}
    ),
    case("statistics by parameter under `parameters`", {"parameters": PARAMETERS}),
    case("parameters without `model.`", {name.removeprefix("model."): of for name, of in PARAMETERS.items()}),
    case("`layers` as a list", {"layers": [{"layer": int(layer)} | of for layer, of in LAYERS.items()]}),
    case("layers called `layer_3`", {"layers": {f"layer_{layer}": of for layer, of in LAYERS.items()}}),
    case("statistics as text", {"layers": {layer: {"mean": str(of["mean"])} for layer, of in LAYERS.items()}}),
    case("rates as percent", rates=rows(lambda rate: 100 * rate)),
    case("rates as text with a percent sign", rates=rows(lambda rate: f"{100 * rate:.1f}%")),
    case("rates as text", rates=rows(str)),
    case("rates by layer alone", rates={str(row["layer"]): row["rate"] for row in ROWS}, shows="layers 2, 3, 4"),
    case("a column `layer_idx`", rates=renamed("layer", "layer_idx")),
    case("CSV", rates=table(ROWS), csv=True),
    case("CSV with a column `Layer`", rates=table(renamed("layer", "Layer")), csv=True),
    case(
        "CSV with semicolons and decimal commas", rates=table(rows(lambda r: str(r).replace(".", ",")), ";"), csv=True
    ),
    case("CSV with tabs", rates=table(ROWS, "\t"), csv=True),
    case("CSV with a byte-order mark", rates="\ufeff" + table(ROWS), csv=True),
    case("CSV with an index column", rates=table(ROWS, index=True), csv=True),
    case("one rate of 99 among fractions", rates=SPOILED, refused="99"),
    case("a rate of 250", rates=[ROWS[0] | {"mlp_rate": 250}, *ROWS[1:]], refused="250"),
    case("a negative rate", rates=[ROWS[0] | {"mlp_rate": -0.2}, *ROWS[1:]], refused="-0.2"),
    case("rates that are all null", rates=rows(lambda rate: None), refused="rate"),
    case("a layer twice", rates=[*ROWS, ROWS[3]], refused="3"),
    case("a layer that is no number", rates=[ROWS[0] | {"layer": "last"}, *ROWS[1:]], refused="last"),
    case("no rate column", rates=[{"layer": row["layer"], "loss": 0.2} for row in ROWS], refused="rate"),
    case("rates that are a number", rates=3, refused=r"rates\.json"),
    case("rates in an empty file", rates="", refused=r"rates\.json"),
    case("rates in an empty CSV file", rates="", refused=r"rates\.csv", csv=True),
    case("a CSV file that is binary", rates=b"\xff\xfe\x00\x01" * 20, refused=r"rates\.csv", csv=True),
    case(
        "statistics that are NaN everywhere",
        {"layers": {layer: {"mean": float("nan")} for layer in LAYERS}},
        refused=r"statistics\.json",
    ),
    case("statistics that are negative", {"layers": {layer: {"mean": -1.0} for layer in LAYERS}}, refused="mean"),
    case("statistics that are a list of numbers", [1, 2, 3], refused=r"statistics\.json"),
    case("statistics of text", {"layers": dict.fromkeys(LAYERS, "none")}, refused=r"statistics\.json"),
    case("`layers` is a number", {"layers": 32}, refused=r"statistics\.json"),
    case(
        "statistics of other layers than the rates",
        {"layers": {str(50 + int(n)): of for n, of in LAYERS.items()}},
        refused="layer",
    ),
]
