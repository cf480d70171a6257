"""Synthetic experiments shaped like SmolLM2-135M: 30 layers, 3 attention groups, 1536 channels."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from jobs import job
from prunescope.artifacts.diagnosis import ComparedStability
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.passes import StatisticsFile
from prunescope.artifacts.search import Closeness, Found, Gain, Search
from prunescope.artifacts.summary import BoundLimit, LayerRates, NegativeDelta, PruningSummary
from prunescope.artifacts.trials import Candidate, Distance, Effect, Trials, TriedText
from prunescope.config.resolve import load_config, resolve
from prunescope.config.sections import Corrections, Diagnosis, Limits, Method, Report, Trial
from prunescope.diagnosis.evidence import (
    NO_TEXTS,
    RATES,
    STATISTICS,
    Evidence,
    Rates,
    Statistics,
    join_evidence,
)
from prunescope.diagnosis.report import diagnose_experiment
from prunescope.steps.diagnosis import DiagnosisSpec
from prunescope.steps.planned import Planned

LAYERS, GROUPS, CHANNELS = 30, 3, 1536
COST = {"attention": 576 * 64 * 8, "mlp": 3 * 576}
TOTAL = 134_515_008


def make_evidence(
    mean=1.0,
    norm=1.0,
    attention=0.2,
    mlp=0.2,
    rate=0.2,
    importance=math.nan,
    count=30,
    scores=None,
    stability=None,
    texts=NO_TEXTS,
    **rates,
) -> Evidence:
    """Evidence with `count` layers; an argument is one value for all layers or one value per layer.

    Args:
        scores: mean score by block name. stability: correlation by layer.
    """
    index = pd.RangeIndex(count, name="layer")
    statistics = pd.DataFrame(dict.fromkeys(STATISTICS, 1.0) | {"mean": mean, "norm": norm}, index=index, dtype=float)
    decided = pd.DataFrame(dict(zip(RATES, (attention, mlp, rate), strict=True)), index=index, dtype=float)
    for block, said in (("attention", attention), ("mlp", mlp)):
        decided[f"{block}_params"] = 100.0
        decided[f"{block}_removed"] = 100.0 * np.asarray(said)
    found = stability and ComparedStability(criterion="taylor", samples=32, layers=stability)
    evidence = join_evidence(Statistics(statistics, (), ()), Rates(decided, **rates), None, found, texts)
    evidence.layers["importance"] = pd.Series(importance, index=index, dtype=float)
    return replace(evidence, scores=pd.Series(scores or {}, dtype=float))


def with_values(values: dict[int, float], default: float = 0.2, count: int = 30) -> list[float]:
    """One value per layer: `default`, but for those in `values`."""
    return [values.get(layer, default) for layer in range(count)]


def not_finite(evidence: Evidence, parameters=("model.layers.3.weight",), layers=(3,)) -> Evidence:
    statistics = replace(evidence.statistics, non_finite=parameters, non_finite_layers=layers)
    return replace(evidence, statistics=statistics)


def write_experiment(root: Path, name: str, profile: np.ndarray, seed: int = 0, ratio: float = 0.2) -> Path:
    """Write what selection leaves of an experiment whose layer l has gradients of size `profile[l]`."""
    folder = ExperimentFolder(root / "SmolLM2-135M" / name)
    table = _table(profile, np.random.default_rng(seed), ratio)
    folder.table.write(table)
    summary = _summary(table, name, ratio)
    folder.summary.write(summary)
    folder.rates.write(pd.DataFrame([dict(layer) for layer in summary.layers]))
    folder.statistics.write(_statistics(profile))
    found, tried = search()
    folder.search.write(found)
    folder.searched.write(tried)
    folder.trials.write(trials({"gate_T0_max50": 0.3, name: 1.0, "taylor_T1_tau0_share": 2.5}, own=name))
    return folder.path


def trials(ratios: dict[str, float], own: str, texts=("wiki", "hansard"), perplexity=100.0) -> Trials:
    """Trials of settings with these ratios, of which `own` is the experiment; and one that was not measured."""
    candidates = []
    for setting, ratio in sorted(ratios.items(), key=lambda pair: pair[1]):
        low, high = (1.0, 1.0) if setting == own else (0.9 * ratio, 1.2 * ratio)
        effect = Effect(perplexity=perplexity * ratio, ratio=ratio, low=low, high=high, kl=ratio)
        kind = "experiment" if setting == own else "criterion"
        told = {"name": setting, "kind": kind, "patch": {}, "experiment": setting, "command": f"snakemake {setting}"}
        distance = Distance(kl=ratio, change=ratio - 1, low=low - 1, high=high - 1)
        effects = dict.fromkeys(texts, effect)
        candidates.append(Candidate(**told, plan=setting, texts=effects, ratio=ratio, distance=distance))
    reason = "needs the removal prior, which the experiment does without"
    no = Candidate(name="share", kind="share", patch={}, experiment=None, command=None, reason=reason)
    tried = dict.fromkeys(texts, TriedText(windows=4, tokens=508, dense=20.0))
    rank = 1 + sum(ratio < 1 for ratio in ratios.values())
    return Trials(texts=tried, left_out={}, measured=len(ratios), rank=rank, candidates=[*candidates, no])


def search(texts=("wiki", "hansard"), **update) -> tuple[Search, pd.DataFrame]:
    """What a search of four settings found, and its table: the third, which no start is."""
    settings = ("taylor", "wanda", "gate", "magnitude")
    losses = {
        f"kl_{windows}": values for windows, values in {4: [0.9, 1.2, 0.5, 2.0], 9: [0.8, np.nan, 0.4, np.nan]}.items()
    }
    start = [True, True, False, False]
    tried = pd.DataFrame({"trial": range(4), "start": start, "method.criterion": settings, "plan": settings, **losses})

    def of(number: int) -> Found:
        ratio = 1 + tried["kl_9"][number]
        closeness = Closeness(perplexity=20 * ratio, ratio=ratio, kl=tried["kl_9"][number])
        patch = {"method": {"criterion": settings[number], "temperature": 0.3}}
        name, told = f"{settings[number]}_T0.3_20_wiki", dict.fromkeys(texts, closeness)
        plan = settings[number]
        return Found(
            trial=number, patch=patch, experiment=name, plan=plan, kl=closeness.kl, ratio=ratio, texts=told
        )  # fmt: skip

    found = Search(
        method=Method(criterion="gate", temperature=0.3),
        corrections=Corrections(),
        limits=Limits(),
        winner=of(2),
        runner_up=of(0),
        start=of(0),
        gain=Gain(ratio=0.78, low=0.7, high=0.85),
        trials=4,
        impossible=0,
        whole=2,
        stopped=False,
        fixed=["limits.max_rate"],
        rungs=[4, 9],
        importance={"method.criterion": 0.75, "method.temperature": 0.25},
        texts=dict.fromkeys(texts, TriedText(windows=9, tokens=63, dense=20.0)),
        left_out={},
    )
    return found.model_copy(update=update), tried.assign(reason="")


def _table(profile: np.ndarray, random: np.random.Generator, ratio: float) -> pd.DataFrame:
    parts = []
    for layer, size in enumerate(profile):
        for block, count, shift in (("attention", GROUPS, 1.5), ("mlp", CHANNELS, 1.0)):
            score = 1e-6 * size * shift * random.lognormal(0, 0.5, count)
            rows = {"layer": layer, "block": block, "group": np.arange(count), "score": score}
            parts.append(pd.DataFrame(rows | {"cost": COST[block]}))
    table = pd.concat(parts, ignore_index=True)
    table["saliency"], table["prior"] = table["score"] * table["cost"], math.nan
    order = table["score"].rank(method="first").astype(int)
    spent = table.sort_values("score")["cost"].cumsum().reindex(table.index)
    return table.assign(rank=order, removed=spent <= ratio * TOTAL)


def _summary(table: pd.DataFrame, name: str, ratio: float) -> PruningSummary:
    rows = []
    for layer, groups in table.groupby("layer"):
        row: dict = {"layer": layer}
        for block in ("attention", "mlp"):
            part = groups[groups["block"] == block]
            params, removed = int(part["cost"].sum()), int(part["cost"][part["removed"]].sum())
            row |= {f"{block}_params": params, f"{block}_removed": removed, f"{block}_rate": removed / params}
        gone = row["attention_removed"] + row["mlp_removed"]
        rows.append(LayerRates(**row, rate=gone / (row["attention_params"] + row["mlp_params"])))
    removed, params = (
        {block: sum(getattr(row, f"{block}_{what}") for row in rows) for block in ("attention", "mlp")}
        for what in ("removed", "params")
    )
    gone, decoder = sum(removed.values()), sum(params.values())
    return PruningSummary(
        model="SmolLM2-135M",
        experiment=name,
        target_ratio=ratio,
        total_parameters=TOTAL,
        decoder_parameters=decoder,
        removed_parameters=gone,
        remaining_parameters=TOTAL - gone,
        ratio_of_total=gone / TOTAL,
        ratio_of_decoder=gone / decoder,
        rounding_unit=COST["mlp"],
        attention_rate=removed["attention"] / params["attention"],
        mlp_rate=removed["mlp"] / params["mlp"],
        limits=Limits(max_rate=0.6 if "max60" in name else None),
        layers_dropped=[],
        tau=None,
        layer_wise=[],
        negative_deltas=[NegativeDelta(layer=7, block="attention", delta=-0.003)],
        bound=[BoundLimit(limit="limits.max_rate", blocks=["3.mlp", "7.attention"])] if "max" in name else [],
        collapsed=[],
        layers=rows,
    )


def _statistics(profile: np.ndarray) -> StatisticsFile:
    layers, parameters = {}, {}
    for layer, size in enumerate(profile):
        mean = 1e-5 * float(size)
        values = {"mean": mean, "std": 1.6 * mean, "norm": 2000 * mean, "max": 300 * mean, "min": 0.0}
        layers[layer] = values
        name = f"model.layers.{layer}.mlp.up_proj.weight"
        parameters[name] = {key: [value, value] for key, value in values.items()}
    return StatisticsFile(parameters=parameters, layers=layers)


def write_diagnosis(spec, directory):
    """Run the step on an experiment."""
    return diagnose_experiment(job(spec, directory))


def spec(directory, language="en", trials=False, **thresholds) -> DiagnosisSpec:
    """The spec as the pipeline makes it: the settings in force are those that the name declares.

    Args:
        trials: whether other settings were tried.
    """
    config = load_config(Path(__file__).parents[1] / "config/config.yaml")
    experiment = resolve(config, "SmolLM2-135M", directory.name)
    update = {"diagnosis": Diagnosis(**thresholds), "report": Report(language=language)}
    update["trial"] = Trial(enabled=trials)
    changed = experiment.settings.model_copy(update=update)
    experiment = experiment.model_copy(update={"settings": changed})
    return Planned(experiment).tasks["diagnosis"].spec
