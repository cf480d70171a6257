"""Folders of experiments as the pipeline leaves them, with numbers that are easy to follow."""

from pathlib import Path

import numpy as np
import pandas as pd

from prunescope.artifacts.card import CalibrationTokens, Compute, Parent, ProtocolCard, Removed, Seeds
from prunescope.artifacts.diagnosis import Checks, DiagnosisReport, ExtremeLayer, Finding, GradientScale, OverallRates
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.measured import Measured
from prunescope.artifacts.passes import LayerStatistics, StatisticsFile
from prunescope.artifacts.perplexity import (
    EvaluationSettings,
    Hardware,
    IntervalSettings,
    Perplexity,
    PerplexityReport,
    Ratio,
)
from prunescope.artifacts.summary import LayerRates, PruningSummary
from prunescope.config.sections import Diagnosis, Limits, Settings

COST = {"attention": 30, "mlp": 10}
GROUPS = {"attention": 2, "mlp": 4}
HARDWARE = Hardware(device_name="a CPU", cpu="a CPU", cpu_count=2, threads=2, system="Linux")
DTYPES = {"gradients": "float32", "baseline": "float32", "evaluation": "float32"}


def write(
    root: Path, name: str, perplexity: dict, ratio=0.2, removed=((0, "mlp", 0),), mean=(4.0, 2.0, 1.0), losses=None,
    model="M", scores=None, dtypes=None, **settings,
) -> Path:  # fmt: skip
    """Write one experiment.

    Args:
        perplexity: ``{"a w8": 20.0}`` or, with an interval, ``{"a w8": (20.0, 18.0, 22.0)}``.
        removed: groups as (layer, block, group). mean: of the gradients of each layer.
        losses: summed losses per window of the one text and protocol. scores: of all groups, ascending by default.
        dtypes: by step, where they are not `DTYPES`.
    """
    folder = ExperimentFolder(root / model / name)
    gone = pd.MultiIndex.from_tuples(removed)
    rows = [(layer, block, group) for layer in range(len(mean)) for block in GROUPS for group in range(GROUPS[block])]
    table = pd.DataFrame(rows, columns=["layer", "block", "group"])
    table["cost"] = table["block"].map(COST)
    table["removed"] = pd.MultiIndex.from_frame(table[["layer", "block", "group"]]).isin(gone)
    table["score"] = np.arange(len(table), dtype=float) if scores is None else scores
    folder.table.write(whole(table, ExperimentFolder.table))
    folder.summary.write(summary(table, model, name, ratio))
    layers = {layer: dict.fromkeys(LayerStatistics.model_fields, value) for layer, value in enumerate(mean)}
    folder.statistics.write(StatisticsFile(parameters={}, layers=layers))
    folder.diagnosis.write(report())
    baseline = dict.fromkeys(perplexity, 10.0)
    before, after = results(baseline), results(perplexity)
    folder.perplexity.write(PerplexityReport(baseline=before, pruned=after, ratio=ratios(before, after), settings=HOW))
    params = {"dataset": "a", "method.ratio": ratio, "method.temperature": 0.0} | settings
    write_identity(folder, params, model)
    folder.card.write(card(f"{model}/{name}", DTYPES | (dtypes or {})))
    folder.checkpoint.path.mkdir()
    (folder.checkpoint.path / "model.safetensors").write_bytes(b"0" * 2_000_000)
    if losses is not None:
        write_losses(folder, next(iter(perplexity)), losses)
    return folder.path


def write_identity(folder: ExperimentFolder, params: dict, model="M", key="k") -> None:
    identity = {"key": key, "model": model, "experiment": folder.path.name, "dataset": "a", "shared": {}}
    folder.identity.write(Identity(**identity, steps={}, settings=Settings(), params=params))


def measured(**models) -> Measured:
    """What an optional step measured of each model."""
    return Measured(models=models, settings={})


HOW = EvaluationSettings(
    device="cpu",
    dtype="float32",
    hardware=HARDWARE,
    spans_spread="evenly",
    bos=False,
    documents_joined_by="\n",
    interval=IntervalSettings(level=0.95, draws=10, seed=0),
)


def results(perplexity: dict) -> dict[str, dict[str, Perplexity]]:
    content: dict = {}
    for said, value in perplexity.items():
        text, protocol = said.split()
        value, *interval = value if isinstance(value, tuple) else (value,)
        content.setdefault(text, {})[protocol] = Perplexity(
            perplexity=value, interval=tuple(interval) or None, loss=float(np.log(value)), tokens=7, windows=1,
            window=8, stride=0, sha256="0", bos=False, dtype="float32",
        )  # fmt: skip
    return content


def ratios(before: dict, after: dict) -> dict[str, dict[str, Ratio]]:
    return {
        text: {
            name: Ratio(ratio=one.perplexity / before[text][name].perplexity, interval=None)
            for name, one in found.items()
        }
        for text, found in after.items()
    }


def whole(table: pd.DataFrame, file) -> pd.DataFrame:
    """Return a table with all columns of its file; those that no test looks at are 0."""
    missing = [column.name for column in file.format.columns if column.name not in table]
    return table.assign(**dict.fromkeys(missing, 0))


def summary(table: pd.DataFrame, model: str, name: str, ratio: float) -> PruningSummary:
    layers = []
    for layer, groups in table.groupby("layer"):
        row = {"layer": layer}
        for block, part in groups.groupby("block"):
            row |= {f"{block}_params": int(part["cost"].sum()), f"{block}_rate": float(part["removed"].mean())}
            row[f"{block}_removed"] = int(part["cost"][part["removed"]].sum())
        rate = float((groups["cost"] * groups["removed"]).sum() / groups["cost"].sum())
        layers.append(LayerRates(**row, rate=rate))
    lists = {key: [] for key in ("layers_dropped", "layer_wise", "negative_deltas", "bound", "collapsed")}
    counts = {"total_parameters": 1000, "decoder_parameters": 660, "removed_parameters": 200, "rounding_unit": 10}
    return PruningSummary(
        model=model, experiment=name, target_ratio=ratio, ratio_of_total=ratio, ratio_of_decoder=1.5 * ratio,
        remaining_parameters=800, attention_rate=0.5, mlp_rate=0.125, limits=Limits(), tau=None, layers=layers,
        **counts, **lists,
    )  # fmt: skip


def report() -> DiagnosisReport:
    """A report of three findings and two extreme layers."""
    words = dict.fromkeys(("issue", "description", "recommendation", "code"), "said")
    unknown = dict.fromkeys(ExtremeLayer.model_fields, None)
    rates = OverallRates(attention_rate=0.5, mlp_rate=0.125, rate=0.2)
    return DiagnosisReport(
        extreme_pruning_layers=[ExtremeLayer(**unknown | {"layer_idx": layer, "which": []}) for layer in (0, 2)],
        num_extreme_layers=2,
        gradient_statistics=GradientScale(**dict.fromkeys(GradientScale.model_fields, None)),
        diagnosis=[
            Finding(**words, severity=severity, layers=[], evidence={}, remedy=None, remedies=[])
            for severity in ("critical", "high", "high")
        ],
        checks=Checks(
            spikes=[], spearman=None, spread={}, attention_vs_mlp=rates, score_ratio=None, stability=None
        ),
        language="en",
        thresholds=Diagnosis(),
    )  # fmt: skip


def card(experiment: str, dtypes: dict[str, str]) -> ProtocolCard:
    tokens = {"source": "files", "revision": None, "documents": 1, "sha256": "0" * 64, "tokens": 8, "samples": 1}
    return ProtocolCard(
        experiment=experiment,
        parent=Parent(origin="there", revision=None, license=None),
        pruning=Removed(**dict.fromkeys(Removed.model_fields, 0)),
        calibration=CalibrationTokens(**tokens, seq_len=8, seed=0, bos=False, texts={}, dataset="a", license=None),
        evaluation={},
        seeds=Seeds(calibration=0, bootstrap=0),
        compute={step: Compute(device="cpu", dtype=dtype) for step, dtype in dtypes.items()},
        hardware=HARDWARE,
        versions={"python": "3.11"},
        git_sha=None,
    )


def write_losses(folder: ExperimentFolder, measurement: str, losses) -> None:
    text, protocol = measurement.split()
    rows = {"dataset": text, "protocol": protocol, "window": np.arange(len(losses)), "tokens": 7, "pruned": losses}
    folder.windows.write(whole(pd.DataFrame(rows), ExperimentFolder.windows))
