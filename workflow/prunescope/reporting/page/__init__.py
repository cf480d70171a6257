"""The experiment's own page (README.md and .html), its resolved configuration and what tracking needs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import yaml

from prunescope.artifacts.folders import CheckpointFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.measured import Measured
from prunescope.config.patches import flatten
from prunescope.errors import DataError
from prunescope.reporting.diagnosis_page import write_diagnosis_page
from prunescope.reporting.dtypes import computed_in
from prunescope.reporting.figures.subtitle import experiment_name
from prunescope.reporting.page.card import protocol_card
from prunescope.reporting.page.exports import exports_section
from prunescope.reporting.page.measured import efficiency_table, measured_table, zeroshot_table
from prunescope.reporting.page.model_card import render_card
from prunescope.reporting.page.perplexity import perplexity_table, recovered_table
from prunescope.reporting.page.search import search_section
from prunescope.reporting.page.sections import protocol_table, repaired, settings_table, trained_on
from prunescope.reporting.page.trials import trials_section
from prunescope.reporting.page.words import words_section
from prunescope.reporting.remedies import next_line
from prunescope.reporting.rendering import as_html, render
from prunescope.steps.diagnosis import figures as drawn_figures
from prunescope.steps.importance import SearchSpec
from prunescope.steps.job import Job
from prunescope.steps.reporting import MEASURED, PageSpec
from prunescope.steps.table import TABLE

PageJob = Job[PageSpec, ExperimentFolder]

TABLES: dict[str, tuple[str, Callable[[Measured], str]]] = {
    "zeroshot": ("Zero-shot", zeroshot_table),
    "efficiency": ("Efficiency", efficiency_table),
}
"""How the page shows what an optional step measured: title and table; any other: its name and `measured_table`."""
FIGURES = {
    "gradient_analysis": "Gradient analysis",
    "pruning_rates": "Pruning rates",
    "importance_heatmap": "Importance",
    "trials": "Other settings",
    "search": "Search",
}


def write_page(job: PageJob) -> None:
    """Write the page, the resolved configuration, the identity, the protocol card and the page of the report.

    And the model card of each checkpoint: perplexity, which it tells, is known only now.
    """
    job = _as_decided(job)
    spec, folder = job.spec, job.folder
    identity = identity_of(spec)
    folder.identity.write(identity)
    names = {"key": spec.key, "model": spec.model, "experiment": spec.experiment, "dataset": spec.dataset}
    settings = identity.model_dump(mode="json")["settings"]
    folder.config.write(yaml.safe_dump(names | settings, sort_keys=False, allow_unicode=True))
    folder.card.write(protocol_card(job))
    write_diagnosis_page(folder)
    _write_readme(job)
    _write_model_card(job, folder.checkpoint.path, perplexity_table(folder.perplexity.read()))
    if folder.recovered_perplexity.file.made_by in spec.steps:
        scores = recovered_table(folder.recovered_perplexity.read())
        _write_model_card(job, folder.recovered.path, scores, trained_on(job))


def _as_decided(job: PageJob) -> PageJob:
    """Fill the settings that a search found in, so that page and identity say what was done."""
    decided = dict(job.folder.decided(job.spec.settings))
    return replace(job, spec=job.spec.model_copy(update={"settings": job.spec.settings.model_copy(update=decided)}))


def refresh_page(folder: ExperimentFolder) -> None:
    """Write the page again, with what was made on request since then.

    Raises:
        DataError: the page was never written.
    """
    told = folder.identity.read()
    if told.key is None:
        raise DataError(f"{folder.path} holds a plan that was applied by hand, which has no page")
    folder.key_of(ModelFolder)
    known = {name: getattr(told, name) for name in PageSpec.model_fields if name != "inputs"}
    spec = PageSpec(inputs=told.shared, **known)
    _write_readme(Job.of(TABLE[PageSpec.step], spec, folder.path))


def identity_of(spec: PageSpec) -> Identity:
    """Return the content of ``experiment.json``."""
    told = {name: value for name, value in spec if name != "inputs"}
    identity = Identity(version=PageSpec.version, **told, params={})
    settings = identity.model_dump(mode="json")["settings"]
    return identity.model_copy(update={"params": {"dataset": spec.dataset} | flatten(settings)})


def _write_readme(job: PageJob) -> None:
    page = render_page(job)
    job.folder.page.write(page)
    job.folder.html.write(as_html(page, experiment_name(job.folder), job.folder.path))


def render_page(job: PageJob) -> str:
    """Return the page as Markdown: what was done, the numbers, the findings, how to load it."""
    spec, folder = job.spec, job.folder
    searched = SearchSpec.step in spec.steps
    drawn = drawn_figures(spec.settings, searched)
    figures = {ExperimentFolder.figure.path.format(plot=name): FIGURES[name] for name in drawn}
    if spec.settings.report.reference:
        figures[ExperimentFolder.before_after.path] = "Before and after"
    trained = folder.recovered_perplexity.file.made_by in spec.steps
    repair = repaired(job)
    report = folder.diagnosis.read()
    return render(
        "page.md.j2",
        spec=spec,
        settings=settings_table(spec, job.input(ModelFolder).facts.read(), folder.summary.read()),
        perplexity=perplexity_table(folder.perplexity.read()),
        words=words_section(folder, trained),
        repair=repair,
        recovery=f"{trained_on(job)}\n\n{recovered_table(folder.recovered_perplexity.read())}" if trained else None,
        measured=_measured(job),
        search=search_section(folder.search.read(), folder.trials.read() if folder.trials.exists() else None)
        if searched
        else None,
        trials=trials_section(folder.trials.read(), bool(repair)) if spec.settings.trial.enabled else None,
        report=report,
        run=next_line(report),
        figures=figures,
        protocol=protocol_table(folder.card.read()),
        path=folder.final.path,
        stock=CheckpointFolder(folder.final.path).stock,
        exports=exports_section(folder),
    )


def _measured(job: PageJob) -> dict[str, str]:
    """Return what optional steps measured: title -> table."""
    sections = {}
    for file in MEASURED:
        if file.made_by in job.spec.steps:
            title, table = TABLES.get(file.made_by, (file.made_by.replace("_", " ").capitalize(), measured_table))
            entry = job.folder.named(file)
            with entry.complete():
                sections[title] = table(entry.read())
    return sections


def _write_model_card(job: PageJob, checkpoint: Path, scores: str, trained: str | None = None) -> None:
    facts, folder = job.input(ModelFolder).facts.read(), job.folder
    card = render_card(
        job.spec,
        facts,
        folder.plan.read().plan(facts, folder.plan.path),
        CheckpointFolder(checkpoint),
        what=settings_table(job.spec, facts, folder.summary.read()),
        scores=f"{scores}\n\n{computed_in(folder.card.read())}",
        repaired=repaired(job),
        trained=trained,
        words=words_section(folder, trained is not None),
    )
    CheckpointFolder(checkpoint).card.write(card)
