"""Perplexity on the page and on the model card, as Markdown."""

from prunescope.artifacts.perplexity import Perplexity, PerplexityReport, Ratio, RecoveredReport, Results, shown
from prunescope.markdown import table

LEAKAGE = {
    "source": "{} draws on the source of `{}` too. No document is in both splits, but the domain is the "
    "same, and the loss of perplexity looks smaller on it than elsewhere.",
    "documents": "**{} uses the very split of `{}` that perplexity is measured on: its figures are no test.**",
}
INTERVALS = (
    "In brackets: 95 % bootstrap intervals over windows; that of the ratio is paired (the same windows for both "
    "models). Spans are spread evenly over each test split; compare only with numbers measured the same way."
)


def perplexity_table(report: PerplexityReport) -> str:
    """Return perplexity before and after, with intervals, and what must be known to read it."""
    rows = [
        (
            text,
            protocol,
            _with_interval(report.baseline[text][protocol]),
            _with_interval(after),
            _with_interval(report.ratio[text][protocol]),
            f"{after.tokens:,}",
        )
        for text, protocols in report.pruned.items()
        for protocol, after in protocols.items()
    ]
    numbers = table(("text", "protocol", "before", "after", "ratio", "tokens"), rows, "llrrrr")
    return "\n\n".join([numbers, INTERVALS, *_leakages(report.pruned, "Calibration")])


def recovered_table(report: RecoveredReport) -> str:
    """Return the perplexity of the trained model beside those of the pruned and the unpruned one."""
    columns = ("text", "protocol", "unpruned", "pruned", "trained", "trained / unpruned", "trained / pruned")
    shown = (report.baseline, report.pruned, report.recovered, report.ratio, report.ratio_to_pruned)
    rows = [
        (text, protocol, *(_with_interval(results[text][protocol]) for results in shown))
        for text, protocols in report.recovered.items()
        for protocol in protocols
    ]
    return "\n\n".join([table(columns, rows, "llrrrrr"), *_leakages(report.recovered, "Calibration or training")])


def _with_interval(result: Perplexity | Ratio) -> str:
    value = result.ratio if isinstance(result, Ratio) else result.perplexity
    return shown(value, result.interval)


def _leakages(results: Results, who: str) -> list[str]:
    """Return a sentence about every text that `who` knows something of."""
    kinds = {text: result.leakage for text, protocols in results.items() for result in protocols.values()}
    return [LEAKAGE[kind].format(who, text) for text, kind in kinds.items() if kind in LEAKAGE]
