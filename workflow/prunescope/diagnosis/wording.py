"""How a language is put to use: templates, named formats, and how numbers read in any language."""

import math
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prunescope.config.patches import leaves
from prunescope.diagnosis.remedies import Remedy
from prunescope.diagnosis.rules import Observation

# A sentence names the first remedies; the report lists all of them.
NAMED = 3


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
        code: as in the configuration (`report.language`). cjk: whether its characters need a CJK font.
        findings: templates by code, filled with the evidence and `layers`.
        remedies: a template by kind of remedy, filled with the values of its patch.
        compare: the sentence that offers remedies; offer: one of them, by name; joiner: what stands between.
        exhausted: the sentence when no remedy is left. gap: what stands between sentences.
        labels: words of the plots and tables. formats: how numbers and lists are said.
    """

    code: str
    findings: Mapping[str, Text]
    remedies: Mapping[str, str]
    compare: str
    offer: str
    joiner: str
    exhausted: str
    gap: str
    labels: Mapping[str, str]
    formats: Mapping[str, Callable[[Any], str]] = field(repr=False)
    cjk: bool = False

    def describe(self, seen: Observation, remedies: tuple[Remedy, ...], exhausted: bool = False) -> Text:
        """Fill the templates of an observation; the first remedies are named in the recommendation."""
        template, words = self.findings[seen.code], _Words(self.formats)
        numbers = seen.evidence | {"layers": seen.layers}
        recommendation = words.format(template.recommendation, **numbers)
        offers = [self._offer(remedy) for remedy in remedies[:NAMED]]
        if offers:
            recommendation += self.gap + self.compare.format(self.joiner.join(offers))
        elif exhausted and seen.severity != "info":
            recommendation += self.gap + self.exhausted
        return Text(
            issue=words.format(template.issue, **numbers),
            description=words.format(template.description, **numbers),
            recommendation=recommendation,
        )

    def change(self, remedy: Remedy) -> str:
        """Say what a remedy changes."""
        values = {path.rsplit(".", 1)[-1]: value for path, value in leaves(remedy.patch)}
        return _Words(self.formats).format(self.remedies[remedy.kind], **values)

    def percent(self, rate: float) -> str:
        return self.formats["percent"](rate)

    def _offer(self, remedy: Remedy) -> str:
        what = self.change(remedy)
        return self.offer.format(experiment=remedy.experiment, what=what) if remedy.experiment else what


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
    if ratio < 1000:
        return f"{ratio:.3g}"
    return f"{ratio:,.5g}" if ratio < 99_999 else f"{ratio:,.0f}"


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


def spans(values: Iterable[float], between: str) -> str:
    """Say the range of some correlations by the template `between`, as one number when they read the same."""
    ordered = sorted(values)
    low, high = f"{ordered[0]:.2f}", f"{ordered[-1]:.2f}"
    return high if low == high else between.format(low, high)


def by_layers(losses: Mapping[str, Mapping[str, float]]) -> dict[tuple[int, ...], dict[str, list[float]]]:
    """Turn rates by block and layer into rates by layers and block: blocks that concern the same layers together.

    The total of a layer is left out where its attention or MLP is there already.
    """
    apart = {layer for block in ("attention", "mlp") for layer in losses.get(block, {})}
    grouped: dict[tuple[int, ...], dict[str, list[float]]] = {}
    for block, rates in losses.items():
        said = {int(layer): rate for layer, rate in rates.items() if block != "total" or layer not in apart}
        if said:
            grouped.setdefault(tuple(said), {})[block] = list(said.values())
    return grouped


def by_kind(blocks: Iterable[str]) -> dict[str, list[int]]:
    """Turn blocks such as ``3.mlp`` into layers by kind of block."""
    kinds: dict[str, list[int]] = {}
    for block in blocks:
        layer, kind = block.split(".")
        kinds.setdefault(kind, []).append(int(layer))
    return kinds


def parameter_names(names: list[str], shown: int = 3) -> tuple[list[str], int]:
    """Return the first names, and how many are left out."""
    return names[:shown], max(len(names) - shown, 0)
