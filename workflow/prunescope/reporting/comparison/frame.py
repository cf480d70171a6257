"""The numbers of experiments as one frame, read from their folders."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.config.patches import flatten
from prunescope.errors import DataError
from prunescope.files import read_json
from prunescope.steps.planned import OPTIONAL, RECOVERED

SEVERITIES = ("critical", "high", "info")
UNPRUNED = "(unpruned)"


@dataclass(frozen=True)
class Measurement:
    """One perplexity: of a text, by a protocol such as ``w512``."""

    text: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.text} {self.protocol}"

    @property
    def column(self) -> str:
        return f"perplexity {self}"

    @property
    def bounds(self) -> tuple[str, str]:
        """The columns of the interval; both are empty where none was measured."""
        return f"{self.column} low", f"{self.column} high"


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        directories: folders of the experiments, by name.
        numbers: a row per experiment (index: name): parameters and rates in [0, 1], counts of findings, bytes,
            perplexities with their intervals, and all that the optional steps measured.
        unpruned: perplexities of the unpruned model or models, the same columns.
        settings: a column per setting that differs, as text (index: name).
        measurements: of all experiments, in the order of the files.
    """

    directories: dict[str, Path]
    numbers: pd.DataFrame
    unpruned: pd.DataFrame
    settings: pd.DataFrame
    measurements: tuple[Measurement, ...]

    def table(self) -> pd.DataFrame:
        """Return all of it, the unpruned model first: what ``comparison.csv`` holds."""
        rows = self.numbers.join(self.settings) if len(self.settings.columns) else self.numbers
        columns = [*self.settings.columns, *self.numbers.columns]
        return pd.concat([self.unpruned, rows])[columns].convert_dtypes().rename_axis("experiment")


def read_comparison(directories: Iterable[Path]) -> Comparison:
    """Read experiments; shared folders (``_...``) and sweeps are passed over.

    An experiment is called by its name or, where there are several models, ``model/name``.

    Raises:
        DataError: there is none, or a file of one is missing.
    """
    found = [path for path in directories if not path.name.startswith("_") and (path / "analysis").is_dir()]
    models = {path.parent.resolve() for path in found}
    named = {f"{path.resolve().parent.name}/{path.name}" if len(models) > 1 else path.name: path for path in found}
    if not named:
        raise DataError("no experiment to compare; give folders such as results/{model}/{experiment}")
    unpruned: dict[str, dict[str, Any]] = {}
    for name, path in named.items():
        title = "/".join([*name.split("/")[:-1], UNPRUNED])
        # Experiments of one model may have been measured on different texts.
        unpruned[title] = _measured_values(path, "baseline") | unpruned.get(title, {})
    measured = [found for path in named.values() for found in _measured(_results(path)["pruned"])]
    return Comparison(
        directories=named,
        numbers=_frame({name: _numbers(path) | _measured_values(path, "pruned") for name, path in named.items()}),
        unpruned=_frame(unpruned),
        settings=differing(_frame({name: _settings(path) for name, path in named.items()})),
        measurements=tuple(dict.fromkeys(measured)),
    )


def differing(settings: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that have more than one value; what an experiment does not have counts as one."""
    texts = settings.fillna("none")
    return texts.loc[:, texts.nunique() > 1]


def _frame(rows: dict[str, dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index")


def _numbers(directory: Path) -> dict[str, Any]:
    summary = read_json(directory / "analysis/pruning_summary.json")
    rates = [layer["rate"] for layer in summary["layers"]]
    return {
        "removed of all": summary["ratio_of_total"],
        "removed of decoder": summary["ratio_of_decoder"],
        "remaining parameters": summary["remaining_parameters"],
        "attention rate": summary["attention_rate"],
        "MLP rate": summary["mlp_rate"],
        "highest layer rate": max(rates),
        "rate spread": max(rates) - min(rates),
        **_diagnosed(directory / "analysis/gradient_diagnosis.json"),
        "checkpoint bytes": sum(file.stat().st_size for file in (directory / "model").glob("*.safetensors")),
    }


def _diagnosed(file: Path) -> dict[str, Any]:
    names = ("extreme layers", "extreme layer indices", *(f"{severity} findings" for severity in SEVERITIES))
    if not file.is_file():  # a plan that a person applied is not diagnosed
        return dict.fromkeys(names)
    report = read_json(file)
    found = [finding["severity"] for finding in report["diagnosis"]]
    indices = " ".join(str(layer["layer_idx"]) for layer in report["extreme_pruning_layers"])
    return dict(zip(names, (report["num_extreme_layers"], indices, *map(found.count, SEVERITIES)), strict=True))


def _measured_values(directory: Path, which: str) -> dict[str, Any]:
    """Return perplexities, and all that the optional steps measured, of the model `which`: baseline or pruned.

    Beside those of the pruned model, as ``trained ...``, those of what recovery made of it.
    """
    results, row = _results(directory)[which], {}
    for measured in _measured(results):
        result = results[measured.text][measured.protocol]
        low, high = result.get("interval") or (math.nan, math.nan)
        row |= {measured.column: result["perplexity"], measured.bounds[0]: low, measured.bounds[1]: high}
    recovered = directory / f"evaluation/{RECOVERED}.json"
    if which == "pruned" and recovered.is_file():
        trained = read_json(recovered)[RECOVERED]
        row |= {
            f"trained {found.column}": trained[found.text][found.protocol]["perplexity"] for found in _measured(trained)
        }
    for step in OPTIONAL:
        file = directory / f"evaluation/{step}.json"
        found = read_json(file) if file.is_file() else {}
        row |= {f"{step} {name}": value for name, value in flatten(found.get(which, {})).items()}
        if which == "pruned":
            row |= {f"trained {step} {name}": value for name, value in flatten(found.get(RECOVERED, {})).items()}
    return row


def _results(directory: Path) -> dict[str, Any]:
    return read_json(directory / "evaluation/perplexity.json")


def _measured(results: dict[str, dict[str, Any]]) -> list[Measurement]:
    return [Measurement(text, protocol) for text, protocols in results.items() for protocol in protocols]


def _settings(directory: Path) -> dict[str, str]:
    file = directory / "experiment.json"
    settings = read_json(file)["params"] if file.is_file() else {}
    # As text: beside a setting that others lack, a whole number would become a float.
    return {path: "none" if value is None else str(value) for path, value in settings.items()}
