"""From evidence to a report: measure, apply the rules, look up and weigh remedies, say it in words."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from prunescope.artifacts.diagnosis import (
    Checks,
    DiagnosisReport,
    ExtremeLayer,
    Finding,
    GradientScale,
    OverallRates,
    Remedy,
    Severity,
)
from prunescope.artifacts.trials import Trials
from prunescope.config.patches import Patch
from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.evidence import Evidence
from prunescope.diagnosis.measures import Extreme, Measures, measure
from prunescope.diagnosis.rules import RULES, SEVERITIES, observe
from prunescope.diagnosis.rules.base import Observation, Rule
from prunescope.diagnosis.situation import Context, Situation
from prunescope.diagnosis.weighing import Weighing, in_vain
from prunescope.diagnosis.words import ENGLISH, Language

# A sentence names the first remedies; the report lists all of them.
NAMED = 3


@dataclass(frozen=True)
class Judgement:
    """A report and what it rests on."""

    report: DiagnosisReport
    situation: Situation


def diagnose(
    evidence: Evidence,
    thresholds: Diagnosis,
    context: Context,
    language: Language = ENGLISH,
    trials: Trials | None = None,
) -> Judgement:
    """Judge the evidence by the rules of `rules.RULES`, and their remedies by what was measured of other settings."""
    now = Situation(context, evidence, measure(evidence, thresholds), thresholds, trials)
    weighing = Weighing(trials, now, language) if trials else None
    findings = [_finding(*observed, now, language, weighing) for observed in observe(now)]
    report = _report(now, sorted(findings, key=lambda found: SEVERITIES.index(found.severity)), language)
    return Judgement(_with_trials(report, weighing) if weighing else report, now)


def _finding(
    rule: Rule, severity: Severity, seen: Observation, now: Situation, words: Language, weighing: Weighing | None
) -> Finding:
    found = [*suggest(rule.code, now), *(weighing.limits(rule) if weighing else ())]
    remedies = tuple(one.model_copy(update={"what": words.change(one.kind, one.patch)}) for one in found)
    remedies = weighing.ordered(remedies) if weighing else remedies
    numbers = seen.evidence | {"layers": seen.layers, "better": weighing is not None and weighing.found_better}
    lowered = severity != "info" and in_vain(remedies) > 0
    told: dict[str, Any] = {"lowered_from": severity} if lowered else {}
    return Finding(
        issue=words.finding(rule.code, "issue", numbers),
        severity="info" if lowered else severity,
        description=words.finding(rule.code, "description", numbers),
        recommendation=words.advice(
            words.finding(rule.code, "recommendation", numbers),
            offers=_offers(remedies, words),
            exhausted=severity != "info" and exhausted(rule.code, now),
            in_vain=in_vain(remedies),
            lowered_from=words.labels[severity] if lowered else None,
        ),
        code=rule.code,
        layers=seen.layers,
        evidence=seen.evidence,
        remedy=remedies[0] if remedies else None,
        remedies=remedies,
        **told,
    )


def _offers(remedies: tuple[Remedy, ...], words: Language) -> list[str]:
    worth = [remedy for remedy in remedies if remedy.worth_trying]
    return [words.offer(remedy.what, remedy.experiment, remedy.effect) for remedy in worth[:NAMED]]


# --- remedies: only what is not in force yet, can be reached, and can be configured today ---------------


def suggest(code: str, now: Situation) -> tuple[Remedy, ...]:
    """Return the remedies against the finding `code`, the first choice first and not yet in words."""
    found = ((change.kind, change.patch(now)) for change in RULES[code].remedies if change.applies(now))
    return tuple(_remedy(kind, patch, now.context) for kind, patch in found if patch is not None)


def exhausted(code: str, now: Situation) -> bool:
    """Whether there are remedies against `code`, and all of them are in force or out of reach."""
    return any(change.applies(now) for change in RULES[code].remedies) and not suggest(code, now)


def _remedy(kind: str, patch: Patch, context: Context) -> Remedy:
    name = context.named(patch)
    experiment = str(name) if name else None
    return Remedy(kind=kind, patch=patch, experiment=experiment, command=context.command(name), what="")


# --- the report: what is unknown or undefined is None ---------------------------------------------------


def _with_trials(report: DiagnosisReport, weighing: Weighing) -> DiagnosisReport:
    checks = report.checks.model_copy(update={"trial": weighing.check})
    return report.model_copy(update={"headline": weighing.headline, "checks": checks})


def _report(now: Situation, findings: list[Finding], language: Language) -> DiagnosisReport:
    measures = now.measures
    return DiagnosisReport(
        extreme_pruning_layers=[_extreme(extreme, now.evidence.layers) for extreme in measures.extreme],
        num_extreme_layers=len(measures.extreme),
        gradient_statistics=_scale(measures),
        diagnosis=tuple(findings),
        checks=Checks(
            spikes=list(measures.spikes),
            spearman=measures.spearman,
            spread={spread.block: spread.value for spread in measures.spreads},
            attention_vs_mlp=OverallRates(
                attention_rate=measures.attention_rate, mlp_rate=measures.mlp_rate, rate=measures.rate
            ),
            score_ratio=measures.scores.ratio if measures.scores else None,
            stability=now.evidence.stability,
        ),
        language=language.code,
        thresholds=now.thresholds,
    )


def _extreme(extreme: Extreme, layers: pd.DataFrame) -> ExtremeLayer:
    row = layers.loc[extreme.layer]
    return ExtremeLayer(
        layer_idx=extreme.layer,
        pruning_rate=row["rate"],
        importance=row["importance"],
        gradient_mean=row["mean"],
        gradient_norm=row["norm"],
        attention_rate=row["attention_rate"],
        mlp_rate=row["mlp_rate"],
        which=list(extreme.above),
    )


def _scale(measures: Measures) -> GradientScale:
    mean, norm = measures.mean, measures.norm
    return GradientScale(
        mean_range=(mean.low, mean.high) if mean else None,
        mean_ratio=mean.ratio if mean else None,
        norm_range=(norm.low, norm.high) if norm else None,
        norm_ratio=norm.ratio if norm else None,
    )
