"""The experiment's own page (README.md and .html), its resolved configuration and what tracking needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.patches import flatten
from prunescope.errors import DataError
from prunescope.files import read_json, write_json, write_text
from prunescope.reporting.diagnosis_page import write_diagnosis_page
from prunescope.reporting.html import as_html
from prunescope.reporting.page.card import protocol_card
from prunescope.reporting.page.evaluation import efficiency_table, perplexity_table, recovered_table, zeroshot_table
from prunescope.reporting.page.exports import exports_section
from prunescope.reporting.page.model_card import how_to_load, render_card
from prunescope.reporting.page.recovery import trained_on
from prunescope.reporting.page.sections import findings_list, protocol_table, settings_table
from prunescope.steps.planned import RECOVERED, final_folder
from prunescope.steps.reporting import PageSpec

IDENTITY, PARAMS = "experiment.json", "params"
"""What the page step was told, and in it the settings as tracking shows them."""

OPTIONAL = {"zeroshot": zeroshot_table, "efficiency": efficiency_table}
"""Sections of the page for the optional steps, drawn from ``evaluation/{step}.json``."""


def write_page(spec: PageSpec, facts: ModelFacts, directory: Path) -> None:
    """Write ``README.md`` and ``.html``, ``config.yaml``, ``experiment.json`` and ``evaluation/card.json``.

    And ``analysis/diagnosis.html``, and ``model/README.md``, the card of the checkpoint: perplexity, which it tells, is
    known only now. A trained checkpoint gets one too.
    """
    told = spec.model_dump(mode="json")
    settings = told["settings"]
    identity = {"key": spec.key, "model": spec.model, "experiment": spec.experiment}
    write_text(
        directory / "config.yaml",
        yaml.safe_dump(identity | {"dataset": spec.dataset} | settings, sort_keys=False, allow_unicode=True),
    )
    write_json(directory / IDENTITY, told | {PARAMS: {"dataset": spec.dataset} | flatten(settings)})
    write_json(directory / "evaluation/card.json", protocol_card(spec, facts, directory))
    write_diagnosis_page(directory)
    _write_readme(spec, facts, directory)
    scores = perplexity_table(read_json(directory / "evaluation/perplexity.json"))
    write_text(directory / "model/README.md", _card(spec, facts, directory, "model", scores))
    if RECOVERED in spec.steps:
        scores = recovered_table(read_json(directory / "evaluation/recovered.json"))
        write_text(directory / RECOVERED / "README.md", _card(spec, facts, directory, RECOVERED, scores))


def refresh_page(directory: Path) -> None:
    """Write ``README.md`` and ``.html`` again, with what was made on request since then.

    Raises:
        DataError: the page was never written.
    """
    told = read_json(directory / IDENTITY)
    try:
        spec = PageSpec.model_validate({name: value for name, value in told.items() if name != PARAMS})
    except ValidationError as error:
        raise DataError(f"{directory / IDENTITY} is of another version; run snakemake {directory} first") from error
    facts = ModelFacts.read(Path(spec.shared["model"]) / "model.json")
    _write_readme(spec, facts, directory)


def _write_readme(spec: PageSpec, facts: ModelFacts, directory: Path) -> None:
    page = render_page(spec, facts, directory)
    write_text(directory / "README.md", page)
    write_text(directory / "README.html", as_html(page, f"{spec.model} / {spec.experiment}", directory))


def render_page(spec: PageSpec, facts: ModelFacts, directory: Path) -> str:
    """Return the page as Markdown: what was done, the numbers, the findings, how to load it."""
    summary = read_json(directory / "analysis/pruning_summary.json")
    diagnosis = read_json(directory / "analysis/gradient_diagnosis.json")
    perplexity = read_json(directory / "evaluation/perplexity.json")
    sections = [
        f"# {spec.model} / {spec.experiment}",
        settings_table(spec, facts, summary),
        "## Perplexity\n\n" + perplexity_table(perplexity),
        *(_recovery(spec, directory) if RECOVERED in spec.steps else []),
        *(_optional(directory, step, draw) for step, draw in OPTIONAL.items() if step in spec.steps),
        "## Diagnosis\n\n" + findings_list(diagnosis),
        "![Gradient analysis](visualization/gradient_analysis.png)",
        "![Pruning rates](visualization/pruning_rates.png)",
        "![Importance](visualization/importance_heatmap.png)",
        *(["![Before and after](visualization/before_after.png)"] if spec.settings.report.reference else []),
        "## Protocol\n\n" + protocol_table(read_json(directory / "evaluation/card.json")),
        "## Load it\n\n" + how_to_load(f"{directory}/{final_folder(spec.steps)}"),
        exports_section(directory),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _optional(directory: Path, step: str, draw: Callable[[dict[str, Any]], str]) -> str:
    return draw(read_json(directory / f"evaluation/{step}.json"))


def _recovery(spec: PageSpec, directory: Path) -> list[str]:
    table = recovered_table(read_json(directory / "evaluation/recovered.json"))
    return ["## Recovery", trained_on(spec, directory), table]


def _card(spec: PageSpec, facts: ModelFacts, directory: Path, folder: str, scores: str) -> str:
    what = settings_table(spec, facts, read_json(directory / "analysis/pruning_summary.json"))
    return render_card(
        spec,
        facts,
        PruningPlan.read(directory / "analysis/plan.json", facts),
        sum(file.stat().st_size for file in (directory / folder).glob("*.safetensors")),
        what=what,
        scores=scores,
        trained=trained_on(spec, directory) if folder == RECOVERED else None,
    )
