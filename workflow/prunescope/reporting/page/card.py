"""The protocol card: everything that must be the same before two evaluations may be compared."""

from pathlib import Path
from typing import Any

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.record import StepRecord
from prunescope.files import read_json
from prunescope.steps.reporting import PageSpec


def protocol_card(spec: PageSpec, facts: ModelFacts, directory: Path) -> dict[str, Any]:
    """Return the card of an evaluated experiment, collected from the files of its steps.

    Keys: ``parent``, ``pruning`` (both ratio denominators), ``calibration``, ``recovery`` if the model was trained
    after pruning, and ``evaluation`` (sources, splits, hashes of the tokens, leakage), ``seeds``, ``compute`` (device
    and dtype by step), ``hardware``, ``versions``, ``git_sha``.
    """
    perplexity = read_json(directory / "evaluation/perplexity.json")
    settings = perplexity["settings"]
    record = StepRecord.read(directory / "records/evaluation.json")
    return {
        "experiment": f"{spec.model}/{spec.experiment}",
        "parent": {"origin": facts.origin, "revision": facts.revision, "license": spec.parent_license},
        "pruning": _pruning(read_json(directory / "analysis/pruning_summary.json"), spec),
        "calibration": _drawn(spec, "calibration") | {"dataset": spec.dataset, "license": spec.data_license},
        **({"recovery": _drawn(spec, "recovery_text")} if "recovery_text" in spec.shared else {}),
        "evaluation": _evaluation(spec, perplexity),
        "seeds": {"calibration": spec.settings.calibration.seed, "bootstrap": settings["interval"]["seed"]},
        "compute": _compute(spec, directory),
        "hardware": settings["hardware"],
        "versions": record.versions,
        "git_sha": record.git_sha,
    }


def _pruning(summary: dict[str, Any], spec: PageSpec) -> dict[str, Any]:
    return {
        "asked_of_total": spec.settings.method.ratio,
        "removed_of_total": summary["ratio_of_total"],
        "removed_of_decoder": summary["ratio_of_decoder"],
        "parameters_before": summary["total_parameters"],
        "parameters_after": summary["remaining_parameters"],
    }


def _drawn(spec: PageSpec, step: str) -> dict[str, Any]:
    """Return where the tokens of a step come from."""
    manifest = read_json(Path(spec.shared[step]) / "manifest.json")
    texts = {
        name: {key: value for key, value in text.items() if key != "document_ids"}
        for name, text in manifest.pop("texts").items()
    }
    return manifest | {"texts": texts}


def _evaluation(spec: PageSpec, perplexity: dict[str, Any]) -> dict[str, Any]:
    manifest = read_json(Path(spec.shared["evaluation_text"]) / "manifest.json")
    card = {}
    for dataset, protocols in perplexity["pruned"].items():
        (leakage,) = {result["leakage"] for result in protocols.values()}
        measured = ("tokens", "windows", "sha256", "bos", "dtype")
        card[dataset] = manifest[dataset] | {
            "max_tokens": spec.settings.evaluation.max_tokens,
            "leakage": leakage,
            "protocols": {name: {key: result[key] for key in measured} for name, result in protocols.items()},
        }
    return card


def _compute(spec: PageSpec, directory: Path) -> dict[str, dict[str, str]]:
    """Return device and dtype of every step that computed with a model."""
    files = {step: Path(folder) / "record.json" for step, folder in spec.shared.items()}
    files |= {step: directory / f"records/{step}.json" for step in spec.steps}
    tags = {step: StepRecord.read(file).tags for step, file in files.items()}
    return {
        step: {key: found[key] for key in ("device", "dtype") if key in found}
        for step, found in tags.items()
        if "device" in found
    }
