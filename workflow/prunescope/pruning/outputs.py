"""The pruning step: gate on the diagnosis, cut, write the checkpoint."""

from pathlib import Path

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.record import recording
from prunescope.errors import DataError, PrunescopeError
from prunescope.files import read_json, write_json
from prunescope.pruning.apply import write_applied
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.specs import PruningSpec


class CriticalDiagnosis(PrunescopeError):
    """The diagnosis is critical and the configuration says to stop."""


def write_pruned(spec: PruningSpec, facts: ModelFacts, directory: Path, fail_on_critical: bool = False) -> None:
    """Cut the weights by ``analysis/plan.json`` and write ``model/``.

    Args:
        fail_on_critical: stop at a critical finding; it changes no checkpoint, so that it is not in the spec.

    Raises:
        CriticalDiagnosis: there is a critical finding, and it is to stop the run.
    """
    if fail_on_critical:
        check_diagnosis(directory / "analysis/gradient_diagnosis.json")
    plan = PruningPlan.read(directory / "analysis/plan.json", facts)
    with recording(spec.step, spec.record_key, directory / "records/pruning.json") as record:
        provenance = {
            "experiment": spec.experiment,
            "parent_origin": facts.origin,
            "parent_revision": facts.revision,
        }
        written = write_checkpoint(facts, plan, directory / "model", provenance)
        size = sum(file.stat().st_size for file in (directory / "model").glob("*.safetensors"))
        record.metrics |= {"prune/checkpoint_parameters": written, "prune/checkpoint_bytes": size}


def check_diagnosis(report: Path) -> None:
    """Stop before any weight is cut when the diagnosis is critical.

    Raises:
        CriticalDiagnosis: names the findings and the report.
    """
    critical = [finding for finding in read_json(report)["diagnosis"] if finding["severity"] == "critical"]
    if critical:
        issues = "; ".join(finding["issue"] for finding in critical)
        raise CriticalDiagnosis(f"diagnosis.on_critical = fail: {issues}; no weight was cut, the report is {report}")


def write_by_plan(plan: Path, like: Path, output: Path) -> None:
    """Cut the model of the experiment in `like` by a plan that a person may have edited.

    Writes ``analysis/plan.json``, ``pruning_summary.json`` and ``.csv``, ``model/`` and ``experiment.json`` into
    `output`.

    Raises:
        DataError: `output` is the experiment itself.
        PrunescopeError: the plan does not fit the model.
    """
    if output.resolve() == like.resolve():
        raise DataError(
            f"{output} is the experiment that the plan is applied like, and would be lost; give a new folder"
        )
    about = read_json(like / "experiment.json")
    facts = ModelFacts.read(Path(about["shared"]["model"]) / "model.json")
    write_applied(facts, plan, like / "analysis/importance_table.parquet", output, output.name)
    edited = PruningPlan.read(output / "analysis/plan.json", facts)
    provenance = {"experiment": output.name, "plan": str(plan), "parent_origin": facts.origin}
    write_checkpoint(facts, edited, output / "model", provenance | {"parent_revision": facts.revision})
    kept = {name: about[name] for name in ("model", "shared", "dataset", "settings")}
    identity = {"experiment": output.name, "params": about["params"] | {"plan": str(plan)}}
    write_json(output / "experiment.json", kept | identity)
