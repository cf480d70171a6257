"""The refit step: fitted output projections, and how each did on held-out tokens; the gram step: what refits
before the cut rest on."""

import hashlib
import shutil
from functools import partial

from prunescope.artifacts.facts import KINDS
from prunescope.artifacts.folders import ExperimentFolder, GramFolder, ModelFolder, RefitTextFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.record import StepRecord
from prunescope.artifacts.refit import RefitReport
from prunescope.files import canonical
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import calibration_dtype, compute_tags, forward_batch, load_model
from prunescope.models.memory import in_smaller_batches
from prunescope.pruning.fitted import FittedLayers
from prunescope.pruning.gram import write_grams
from prunescope.pruning.refit import held_out_windows, refit
from prunescope.steps.gram import GramSpec
from prunescope.steps.job import Job
from prunescope.steps.repair import RefitSpec


def fit_projections(job: Job[RefitSpec, ExperimentFolder]) -> None:
    """Fit what the plan leaves of the output projections.

    Layers that are done are kept beside the result; a killed run goes on after them.

    Raises:
        NonFiniteError: the inputs of an output projection are not finite.
        PrunescopeError: the plan does not fit the model.
    """
    spec, folder = job.spec, job.folder
    facts = job.input(ModelFolder).ready()
    plan = PruningPlan.read(folder.plan.path, facts)
    windows = job.input(RefitTextFolder).samples.read()["input_ids"]
    with job.recording({"ridge": list(spec.ridge), "dtype": spec.dtype}) as record:
        model = load_model(facts.path, calibration_dtype(spec.dtype))
        record.tags |= compute_tags(model)
        told = canonical([spec.text(), record.tags, PlanFile.of(plan).removed])
        done = FittedLayers(folder.fitting.path, hashlib.sha256(told.encode()).hexdigest())
        read = open_checkpoint(facts.path).read
        work = partial(refit, adapter_for(model), windows, plan, read, spec.ridge, done)
        fits = in_smaller_batches(work, forward_batch(windows, model))
        held_out = held_out_windows(len(windows)) * windows.shape[1]
        report = RefitReport(windows.numel() - held_out, held_out, fits)
        folder.refit.write(report)
        shutil.rmtree(folder.fitted.path, ignore_errors=True)
        folder.fitting.path.rename(folder.fitted.path)
        _note(record, report, facts.layers)


def keep_grams(job: Job[GramSpec, GramFolder]) -> None:
    """Sum up XᵀPX over the windows that a refit is fitted on, without those that it holds out.

    Raises:
        NonFiniteError: the inputs of an output projection are not finite.
    """
    spec, folder = job.spec, job.folder
    samples = job.input(RefitTextFolder).samples.read()
    windows = samples["input_ids"][: -held_out_windows(len(samples["input_ids"]))]
    with job.recording(spec.model_dump(include={"dtype"})) as record:
        model = load_model(job.input(ModelFolder).ready().path, calibration_dtype(spec.dtype))
        work = partial(write_grams, adapter_for(model), windows, folder.summing.path)
        in_smaller_batches(work, forward_batch(windows, model))
        shutil.rmtree(folder.layers.path, ignore_errors=True)
        folder.summing.path.rename(folder.layers.path)
        folder.samples.write(samples)
        record.tags |= compute_tags(model)
        record.metrics = {"gram/tokens": windows.numel()}


def _note(record: StepRecord, report: RefitReport, layers: int) -> None:
    record.metrics |= {
        "refit/tokens": report.tokens,
        "refit/blocks": len(report.blocks),
        "refit/fitted_blocks": len(report.fitted),
        "refit/cut_error": report.cut_error,
        "refit/error": report.error,
    }
    for kind in KINDS:
        found = {fit.layer: fit for fit in report.blocks if fit.block == kind}
        for name in ("cut_error", "error"):
            record.curves[f"refit/{kind}_{name}"] = [
                getattr(found[layer], name) if layer in found else None for layer in range(layers)
            ]
