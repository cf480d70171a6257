"""What came of an experiment in ten lines: the end of a run, and what `prunescope diagnose` says first."""

import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len

from prunescope.artifacts.diagnosis import DiagnosisReport, TrialCheck
from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder
from prunescope.artifacts.perplexity import changes, geomean, times
from prunescope.artifacts.summary import PruningSummary
from prunescope.config.names import known_name, rename
from prunescope.diagnosis.words import LANGUAGES, Language
from prunescope.reporting.console import wrap
from prunescope.reporting.remedies import next_line

Rows = Iterator[tuple[str, str]]
"""What stands to the left, and what is said of it."""
BROWSER = "make ui"
REPAIRS = {"repair": {"refit": {"enabled": True}, "scales": {"enabled": True}}}
"""What gave most without training (docs/quality.md)."""


def ending(experiments: Sequence[ExperimentFolder], comparisons: Sequence[ComparisonFolder]) -> str:
    """Return the end of a run: the story of its one experiment, or a line for each, and where they are compared."""
    if len(experiments) == 1 and not comparisons:
        return story(experiments[0])
    blocks = [overview(experiments)] if experiments else []
    return "\n\n".join([*blocks, *map(_compared, comparisons)])


def story(folder: ExperimentFolder) -> str:
    """Return what was cut, what it cost, the first finding, the best setting that was tried, and what to open.

    Raises:
        DataError: the experiment is not finished, or a file is damaged.
    """
    report = folder.diagnosis.read()
    rows = [*_told(folder, report, LANGUAGES[report.language])]
    return "\n".join([_title(folder), *_aligned(rows)])


def _told(folder: ExperimentFolder, report: DiagnosisReport, language: Language) -> Rows:
    words = language.words["story"]
    yield words["removed"], _cut(folder.summary.read(), language)
    if folder.perplexity.exists():
        yield from _once(words["perplexity"], changes(folder.final_perplexity))
    yield words["finding"], _finding(report, language)
    if report.checks.trial is not None:
        yield words["best"], _best(report.checks.trial, language)
        if _gains(report.checks.trial) and (command := next_line(report)):
            yield words["run"], command
    if repaired := repaired_name(folder, report):
        yield words["repair"], language.story("repaired", name=repaired)
    if folder.page.exists():
        yield words["page"], str(folder.page.path)
    yield words["more"], f"prunescope diagnose {shlex.quote(str(folder.path))} --all"
    if folder.tracked.exists() and not folder.tracked.read().pending:
        yield "MLflow", BROWSER


def _title(folder: ExperimentFolder) -> str:
    return f"{folder.path.absolute().parent.name} / {folder.path.absolute().name}"


def _aligned(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield lines that fit the terminal; what is to be copied is never broken."""
    width, columns = max(cell_len(left) for left, _ in rows), shutil.get_terminal_size((120, 24)).columns
    for left, said in rows:
        copied = said.startswith(("snakemake ", "prunescope "))
        for line in [said] if copied else wrap(said, max(columns - width - 4, 20)):
            yield f"  {left}{' ' * (width - cell_len(left))}  {line}"
            left = ""


def _once(left: str, lines: Iterable[str]) -> Rows:
    for line in lines:
        yield left, line
        left = ""


def _cut(summary: PruningSummary, language: Language) -> str:
    most = max(summary.layers, key=lambda layer: layer.rate)
    return language.story(
        "cut",
        ratio=summary.ratio_of_total,
        before=_parameters(summary.total_parameters),
        after=_parameters(summary.remaining_parameters),
        attention=summary.attention_rate,
        mlp=summary.mlp_rate,
        layer=most.layer,
        highest=most.rate,
    )


def _finding(report: DiagnosisReport, language: Language) -> str:
    if not report.diagnosis:
        return language.words["story"]["nothing_found"]
    first, others = report.diagnosis[0], len(report.diagnosis) - 1
    return language.story("found", severity=language.labels[first.severity], issue=first.issue, others=others)


def _gains(trial: TrialCheck) -> bool:
    """Return whether the best setting promises something in the digits that are shown."""
    ratio = trial.best.ratio
    return trial.verdict == "better" or (trial.verdict == "unclear" and (ratio is None or round(ratio, 2) < 1))


def _best(trial: TrialCheck, language: Language) -> str:
    best = trial.best
    if not _gains(trial) or best.ratio is None:
        return language.story("own", measured=trial.measured)
    interval = None if best.low is None or best.high is None else [f"{best.low:.2f}", f"{best.high:.2f}"]
    name = best.experiment or best.name
    clear = trial.verdict == "better"
    said = {"name": name, "ratio": f"{best.ratio:.2f}", "interval": interval, "clear": clear}
    return language.story("better", measured=trial.measured, **said)


def repaired_name(folder: ExperimentFolder, report: DiagnosisReport) -> str | None:
    """Return the name of the best setting with its repairs; None where it has some, or no name can say it."""
    trial = report.checks.trial
    if trial is None or next_line(report) is None or folder.fitted.exists() or folder.scaled.exists():
        return None
    better = trial.best.experiment if _gains(trial) else None
    name = known_name(better or folder.path.name)
    repaired = rename(name, REPAIRS) if name else None
    return str(repaired) if repaired else None


def _parameters(count: int) -> str:
    """Return a number of parameters for people: ``134.5 M``."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)


def overview(experiments: Iterable[ExperimentFolder]) -> str:
    """Return a line per experiment below the name of its model, the least damaged first; then the unfinished ones."""
    models: dict[str, list[ExperimentFolder]] = {}
    for folder in experiments:
        models.setdefault(folder.path.absolute().parent.name, []).append(folder)
    return "\n\n".join("\n".join(_standing(model, folders)) for model, folders in models.items())


def _standing(model: str, folders: Sequence[ExperimentFolder]) -> Iterator[str]:
    """Yield what was removed, how many times higher perplexity is (mean of all texts), and that of the first text."""
    width = max(len(folder.path.name) for folder in folders)
    yield f"{model:<{width + 2}}  removed  x unpruned"
    finished = [(folder, folder.final_perplexity) for folder in folders if folder.finished]
    for folder, report in sorted(finished, key=lambda one: geomean(one[1].ratio)):
        removed, worse = folder.summary.read().ratio_of_total, times(geomean(report.ratio))
        yield f"  {folder.path.name:<{width}}  {removed:7.1%}  {worse:>10}  {next(changes(report))}"
    for folder in folders:
        if not folder.finished:
            yield f"  {folder.path.name:<{width}}  unfinished: snakemake --cores all {folder.path}"


def _compared(folder: ComparisonFolder) -> str:
    said = folder.recommendation.read()
    rows = [("compared", str(folder.page.path)), ("MLflow", BROWSER)]
    return "\n".join([*_aligned(rows), *(f"  {sentence}" for sentence in said.sentences[:1])])
