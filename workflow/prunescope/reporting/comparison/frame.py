"""The numbers of experiments as one frame, read from their folders."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from prunescope.artifacts.diagnosis import Severity
from prunescope.artifacts.folders import CheckpointFolder, ExperimentFolder
from prunescope.artifacts.measured import BASELINE, PRUNED, RECOVERED
from prunescope.artifacts.perplexity import Results, geomean
from prunescope.errors import DataError
from prunescope.reporting.dtypes import read_dtypes
from prunescope.steps.reporting import MEASURED

SEVERITIES: tuple[Severity, ...] = tuple(reversed(get_args(Severity)))
UNPRUNED = "(unpruned)"
RATIO = "perplexity ratio"
"""To the unpruned model, of the checkpoint that the experiment ends with: geometric mean of all texts and protocols."""

Row = dict[str, Any]
"""Column -> number or text."""


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
        folders: of the experiments, by name.
        numbers: a row per experiment (index: name): parameters and rates in [0, 1], counts of findings, bytes,
            perplexities with their intervals, and all that the optional steps measured.
        unpruned: perplexities of the unpruned model or models, the same columns.
        settings: a column per setting that differs, as text (index: name).
        measurements: of all experiments, in the order of the files.
        dtypes: dtype by step, by experiment.
    """

    folders: Mapping[str, ExperimentFolder]
    numbers: pd.DataFrame
    unpruned: pd.DataFrame
    settings: pd.DataFrame
    measurements: tuple[Measurement, ...]
    dtypes: Mapping[str, Mapping[str, str]]

    def table(self) -> pd.DataFrame:
        """Return all of it, the unpruned model first; the index is the column ``experiment``."""
        rows = self.numbers.join(self.settings) if len(self.settings.columns) else self.numbers
        columns = [*self.settings.columns, *self.numbers.columns]
        return pd.concat([self.unpruned, rows])[columns].convert_dtypes().rename_axis("experiment")


def read_comparison(directories: Iterable[Path]) -> Comparison:
    """Read experiments, named by their folder or a file in it; of ``results/M/*`` other folders are passed over.

    An experiment is called by its name or, where there are several models, ``model/name``.

    Raises:
        DataError: there is none, or a file of one is missing.
    """
    found = find_experiments(directories)
    models = {folder.path.resolve().parent for folder in found}
    named = {
        f"{folder.path.resolve().parent.name}/{folder.path.name}" if len(models) > 1 else folder.path.name: folder
        for folder in found
    }
    if not named:
        raise DataError("no experiment to compare; give folders such as results/{model}/{experiment}")
    unpruned: dict[str, Row] = {}
    measured: dict[Measurement, None] = {}
    for name, folder in named.items():
        title = "/".join([*name.split("/")[:-1], UNPRUNED])
        # Experiments of one model may have been measured on different texts.
        unpruned[title] = {RATIO: 1.0} | _measured_values(folder, BASELINE) | unpruned.get(title, {})
        measured |= dict.fromkeys(_measurements(folder.perplexity.read().pruned))
    return Comparison(
        folders=named,
        numbers=_frame({name: _numbers(folder) | _measured_values(folder, PRUNED) for name, folder in named.items()}),
        unpruned=_frame(unpruned),
        settings=differing(_frame({name: settings_of(folder) for name, folder in named.items()})),
        measurements=tuple(measured),
        dtypes={name: read_dtypes(folder) for name, folder in named.items()},
    )


def find_experiments(paths: Iterable[Path]) -> list[ExperimentFolder]:
    """Return each experiment once; shared folders (``_...``) and sweeps are none."""
    others = [path for path in paths if not (path.name.startswith("_") or (path.is_dir() and not _inside(path)))]
    return list({folder.path.resolve(): folder for folder in map(ExperimentFolder.containing, others)}.values())


def _inside(path: Path) -> bool:
    return any(ExperimentFolder(folder).begun for folder in (path, *path.parents))


def differing(settings: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that have more than one value; what an experiment does not have counts as one."""
    texts = settings.fillna("none")
    return texts.loc[:, texts.nunique() > 1]


def settings_of(folder: ExperimentFolder) -> dict[str, str]:
    """Return the settings of an experiment by path, as text; none where it has not said them."""
    settings = folder.identity.read().params if folder.identity.exists() else {}
    # As text: beside a setting that others lack, a whole number would become a float.
    return {path: "none" if value is None else str(value) for path, value in settings.items()}


def _frame(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index")


def _numbers(folder: ExperimentFolder) -> Row:
    summary = folder.summary.read()
    return {
        "removed of all": summary.ratio_of_total,
        RATIO: geomean(folder.final_perplexity.ratio),
        "removed of decoder": summary.ratio_of_decoder,
        "remaining parameters": summary.remaining_parameters,
        "attention rate": summary.attention_rate,
        "MLP rate": summary.mlp_rate,
        "highest layer rate": summary.highest_rate,
        "rate spread": summary.rate_spread,
        **_diagnosed(folder),
        "checkpoint bytes": CheckpointFolder(folder.checkpoint.path).stored_bytes,
    }


def _diagnosed(folder: ExperimentFolder) -> Row:
    columns = ("extreme layers", "extreme layer indices", *(f"{severity} findings" for severity in SEVERITIES))
    if not folder.diagnosis.exists():  # a plan that a person applied is not diagnosed
        return dict.fromkeys(columns)
    report = folder.diagnosis.read()
    indices = " ".join(str(layer.layer_idx) for layer in report.extreme_pruning_layers)
    return dict(zip(columns, (report.num_extreme_layers, indices, *map(report.count, SEVERITIES)), strict=True))


def _measured_values(folder: ExperimentFolder, model: str) -> Row:
    """Return perplexities, and all that the optional steps measured, of a model: `BASELINE` or `PRUNED`.

    Beside those of the pruned model, as ``trained ...``, those of what recovery made of it.
    """
    report = folder.perplexity.read()
    results = report.baseline if model == BASELINE else report.pruned
    row: Row = {}
    for measured in _measurements(results):
        result = results[measured.text][measured.protocol]
        low, high = result.interval or (math.nan, math.nan)
        row |= {measured.column: result.perplexity, measured.bounds[0]: low, measured.bounds[1]: high}
    if model == PRUNED and folder.recovered_perplexity.exists():
        trained = folder.recovered_perplexity.read().recovered
        row |= {
            f"trained {found.column}": trained[found.text][found.protocol].perplexity
            for found in _measurements(trained)
        }
    for file in MEASURED:
        if (entry := folder.named(file)).exists():
            numbers = entry.read()
            row |= {f"{file.made_by} {name}": value for name, value in numbers.flat(model).items()}
            if model == PRUNED:
                row |= {f"trained {file.made_by} {name}": value for name, value in numbers.flat(RECOVERED).items()}
    return row


def _measurements(results: Results) -> list[Measurement]:
    return [Measurement(text, protocol) for text, protocols in results.items() for protocol in protocols]
