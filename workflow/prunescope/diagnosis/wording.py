"""How a language is put to use: templates, named formats, and how numbers read in any language."""

import math
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunescope.diagnosis.remedies import Remedy
from prunescope.diagnosis.rules import Observation


@dataclass(frozen=True)
class Text:
    """Words of a finding: title, what was seen, what to do about it."""

    issue: str
    description: str
    recommendation: str


class _Words(string.Formatter):
    """`str.format` with named formats: ``{rate:percent}``, ``{layers:layers}``."""

    def __init__(self, formats: Mapping[str, Callable[[Any], str]]):
        self.formats = formats

    def format_field(self, value: Any, format_spec: str) -> str:
        named = self.formats.get(format_spec)
        return named(value) if named else super().format_field(value, format_spec)


@dataclass(frozen=True)
class Language:
    """The words of one language.

    Attributes:
        findings: templates by code, filled with the evidence and `layers`.
        remedies: a template by kind of remedy, filled with the values of its patch.
        compare: the sentence that offers remedies. joiner: what stands between them.
        exhausted: the sentence when no remedy is left.
        labels: words of the plots and tables. formats: how numbers and lists are said.
    """

    findings: Mapping[str, Text]
    remedies: Mapping[str, str]
    compare: str
    joiner: str
    exhausted: str
    labels: Mapping[str, str]
    formats: Mapping[str, Callable[[Any], str]] = field(repr=False)

    def describe(self, seen: Observation, remedies: Iterable[Remedy]) -> Text:
        """Fill the templates of an observation; the remedies are named in the recommendation."""
        template, words = self.findings[seen.code], _Words(self.formats)
        numbers = seen.evidence | {"layers": seen.layers}
        recommendation = words.format(template.recommendation, **numbers)
        offers = [self._offer(remedy, words) for remedy in remedies]
        if offers:
            recommendation += " " + self.compare.format(self.joiner.join(offers))
        elif seen.severity != "info":
            recommendation += " " + self.exhausted
        return Text(
            issue=words.format(template.issue, **numbers),
            description=words.format(template.description, **numbers),
            recommendation=recommendation,
        )

    def _offer(self, remedy: Remedy, words: _Words) -> str:
        what = words.format(self.remedies[remedy.kind], **_leaves(remedy.patch))
        return f"{remedy.experiment} ({what})" if remedy.experiment else what


def _leaves(patch: Mapping[str, Any]) -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in patch.items():
        leaves |= _leaves(value) if isinstance(value, dict) else {key: value}
    return leaves


def percent(rate: float) -> str:
    """Say a rate; 100 % is said of nothing that keeps a part."""
    if 0.995 <= rate < 1:
        return f"{math.floor(rate * 1000) / 10} %"
    return f"{100 * rate:.0f} %"


def percents(rates: Iterable[float]) -> str:
    """Say the range of some rates, as one number when they read the same."""
    ordered = sorted(rates)
    low, high = percent(ordered[0]), percent(ordered[-1])
    return high if low == high else f"{low.removesuffix(' %')}-{high}"


def times(ratio: float) -> str:
    """Say a ratio with the digits that matter."""
    return f"{ratio:,.0f}" if ratio >= 1000 else f"{ratio:.3g}"


def runs(layers: Iterable[int]) -> str:
    """Say layer numbers; four or more in a row become a range: ``2, 3, 7-12``."""
    groups: list[list[int]] = []
    for layer in sorted(layers):
        if groups and layer == groups[-1][-1] + 1:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    parts = [[f"{g[0]}-{g[-1]}"] if len(g) > 3 else [str(layer) for layer in g] for g in groups]
    return ", ".join(part for group in parts for part in group)
