"""What the cases of `diagnosis.py` say: which are sick, what the first recommendation did, and the table of it.

The measure is the geometric mean of the perplexities on the test windows of all texts. The *best known cut* of a model
at a ratio is the best of all plans that any case measured there, whichever criterion, text or number of windows it
comes from. A case is *healthy* if it is within `TOLERANCE` of that, else *sick*.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from prunescope.markdown import table

TOLERANCE = 1.05
"""A cut this close to the best known one has nothing that a report should call severe."""

CLOSE = 1.03
"""How close a recommendation is to come to the best candidate of the trial."""


@dataclass(frozen=True)
class Case:
    """An experiment of a model."""

    model: str
    experiment: str

    def __str__(self) -> str:
        return f"{self.model}/{self.experiment}"


@dataclass(frozen=True)
class Advice:
    """The first command of a report.

    Attributes:
        experiment: what it runs. kind: `measured` by the trial, or the code of the remedy.
        ratio, low, high: what the trial promises.
        plan: digest of the plan that it leads to. less: whether it removes less. error: why it cannot be run.
    """

    experiment: str
    kind: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    plan: str | None = None
    less: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Row:
    """What was found of a case.

    Attributes:
        ratio: removed. without, findings: severity by code, of the report without and with the trial.
        rules, trial: the first command of either. verdict: of the trial's best setting.
        tested: perplexity on the test split by digest of the plan, by text.
        candidates: digests of the experiment's plan, first, and of the candidates near the best. dense: digest.
    """

    case: Case
    ratio: float
    seconds: float
    without: dict[str, str]
    findings: dict[str, str]
    rules: Advice | None
    trial: Advice | None
    verdict: str | None
    tested: dict[str, dict[str, float]]
    candidates: list[str]
    dense: str

    @classmethod
    def of(cls, told: dict) -> "Row":
        """Return the row of a line of JSON."""
        advice = {name: Advice(**told[name]) if told[name] else None for name in ("rules", "trial")}
        return cls(**told | advice | {"case": Case(**told["case"])})

    def perplexity(self, plan: str) -> float:
        """Return the geometric mean over the texts."""
        return math.exp(fmean(math.log(value) for value in self.tested[plan].values()))

    @property
    def own(self) -> str:
        return self.candidates[0]

    @property
    def best(self) -> float:
        """Of the experiment and the candidates of its trial."""
        return min(map(self.perplexity, self.candidates))

    @property
    def as_large(self) -> set[str]:
        """The plans that remove as much as the experiment."""
        return {*self.candidates, *(one.plan for one in self.both if one and one.plan and not one.less)}

    def effect(self, advice: Advice | None) -> float | None:
        """Return what a recommendation did: its perplexity over the experiment's; None where it did nothing."""
        if advice is None or advice.plan is None:
            return None
        return self.perplexity(advice.plan) / self.perplexity(self.own)

    @property
    def line(self) -> str:
        """The row in short, for the terminal."""
        told = [
            f"{advice.experiment} x{self.effect(advice) or math.nan:.3f}" if advice else "-" for advice in self.both
        ]
        return f"{self.case}: {self.perplexity(self.own):.1f}; trial {told[1]}; rules {told[0]}; {self.seconds:.0f} s"

    @property
    def both(self) -> tuple[Advice | None, Advice | None]:
        return self.rules, self.trial


@dataclass(frozen=True)
class Rows:
    """The rows of a file, the newest of each case."""

    path: Path

    def read(self) -> list[Row]:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        return [*{row.case: row for row in map(Row.of, map(json.loads, lines))}.values()]

    def add(self, row: Row) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


@dataclass(frozen=True)
class Judged:
    """A row beside all others of its model and ratio.

    Attributes:
        known: perplexity of the best known cut.
    """

    row: Row
    known: float

    @property
    def own(self) -> float:
        return self.row.perplexity(self.row.own)

    @property
    def sick(self) -> bool:
        return self.own > TOLERANCE * self.known

    def after(self, tried: bool) -> float | None:
        """Return the perplexity of the first recommendation, of the report with the trial or without."""
        effect = self.row.effect(self.row.trial if tried else self.row.rules)
        return None if effect is None else effect * self.own

    def helped(self, tried: bool) -> bool:
        """Whether it is lower, at the same ratio: to remove less is no remedy."""
        after = self.after(tried)
        return after is not None and after < self.own and not self.less(tried)

    def less(self, tried: bool) -> bool:
        """Whether the first recommendation is to remove less."""
        advice = self.row.trial if tried else self.row.rules
        return advice is not None and advice.less

    def harmed(self, tried: bool) -> bool:
        """Whether it is higher."""
        after = self.after(tried)
        return after is not None and after > self.own

    def close(self, tried: bool) -> bool:
        """Whether it comes close to the best candidate of the trial, or is lower."""
        after = self.after(tried)
        return after is not None and after <= CLOSE * self.row.best and not self.less(tried)

    def alarmed(self, tried: bool) -> bool:
        """Whether the report has a high or critical finding."""
        return bool(severe(self.row.findings if tried else self.row.without))


def judged(rows: Iterable[Row]) -> list[Judged]:
    """Judge rows."""
    rows, known = list(rows), dict[tuple[str, float], float]()
    for row in rows:
        place = (row.case.model, row.ratio)
        known[place] = min(known.get(place, math.inf), *map(row.perplexity, row.as_large))
    return [Judged(row, known[row.case.model, row.ratio]) for row in rows]


def severe(findings: dict[str, str]) -> list[str]:
    """Return the codes of high and critical findings."""
    return [code for code, severity in findings.items() if severity in ("high", "critical")]


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the summary and a table of all cases for each model."""
    found = judged(rows)
    models = dict.fromkeys(one.row.case.model for one in found)
    tables = [_cases(model, [one for one in found if one.row.case.model == model]) for model in models]
    return "\n\n".join([_summary(found), *tables])


def _summary(found: Sequence[Judged]) -> str:
    sick, healthy = [one for one in found if one.sick], [one for one in found if not one.sick]
    rows = [
        (f"sick ({len(sick)}): the first recommendation lowers the perplexity", sick, Judged.helped),
        (f"... and is at most {100 * (CLOSE - 1):.0f} % above the best candidate", sick, Judged.close),
        (f"healthy ({len(healthy)}): a finding is high or critical", healthy, Judged.alarmed),
        ("... the first recommendation raises the perplexity", healthy, Judged.harmed),
    ]
    told = [
        [name, *(_share([says(one, tried) for one in group]) for tried in (True, False))] for name, group, says in rows
    ]
    return table(("cases", "with the trial", "without"), told, "lrr")


def _share(values: Sequence[bool]) -> str:
    return f"{sum(values)} ({100 * sum(values) / len(values):.0f} %)" if values else "-"


COLUMNS = {
    "experiment": "l",
    "perplexity": "r",
    "of best known": "r",
    "high findings without, with": "r",
    "first without": "l",
    "did": "r",
    "first with the trial": "l",
    "promised": "r",
    "did ": "r",
    "of best candidate": "r",
}


def _cases(model: str, found: Sequence[Judged]) -> str:
    dense = found[0].row.perplexity(found[0].row.dense)
    ordered = sorted(found, key=lambda one: (one.row.ratio, one.own))
    title = f"### {model}\n\nUnpruned: {dense:,.1f}."
    return f"{title}\n\n{table([*COLUMNS], map(_cells, ordered), ''.join(COLUMNS.values()))}"


def _cells(one: Judged) -> tuple[str, ...]:
    row, trial = one.row, one.row.trial
    promised = trial is not None and trial.ratio is not None
    of_best = one.after(True)
    return (
        f"`{row.case.experiment}`",
        f"{one.own:,.1f}",
        f"{one.own / one.known:.2f}" + ("" if one.sick else " (healthy)"),
        f"{len(severe(row.without))}, {len(severe(row.findings))}",
        *_followed(row, row.rules),
        _followed(row, trial)[0],
        f"{trial.ratio:.2f} [{trial.low:.2f}, {trial.high:.2f}]" if promised else "",
        _followed(row, trial)[1],
        "" if of_best is None else f"{of_best / row.best:.2f}",
    )


def _followed(row: Row, advice: Advice | None) -> tuple[str, str]:
    if advice is None:
        return "-", ""
    effect = row.effect(advice)
    did = "cannot be run" if effect is None else f"{effect:.2f}"
    return f"`{advice.experiment}`", f"{did} (removes less)" if advice.less else did
