"""A diagnosis of numbers alone: of a published case, or of files that someone sent."""

from pathlib import Path

from prunescope.config.sections import Diagnosis
from prunescope.diagnosis.findings import DiagnosisReport, diagnose
from prunescope.diagnosis.inputs import read_evidence
from prunescope.diagnosis.situation import Context
from prunescope.diagnosis.words import LANGUAGES

DEFAULTS = Diagnosis()


def replay(
    statistics: Path,
    rates: Path,
    thresholds: Diagnosis = DEFAULTS,
    language: str = "en",
    model: str = "model",
    experiment: str = "replay",
) -> DiagnosisReport:
    """Diagnose from two files, without a model, a table or settings.

    The settings in force are those that the experiment's name declares, and else the defaults.

    Args:
        statistics: `gradient_statistics.json`; `layers` with `mean` alone are enough.
        rates: `pruning_summary.json` or `.csv`; `layer` and one of `RATES` are enough. Its own names win
            over `model` and `experiment`.
        language: of the report, a key of `LANGUAGES`.

    Raises:
        DataError: a file is missing or is not what it should be.
    """
    evidence = read_evidence(statistics, rates)
    context = Context(evidence.rates.model or model, evidence.rates.experiment or experiment)
    return diagnose(evidence, thresholds, context, LANGUAGES[language])
