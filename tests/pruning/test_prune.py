"""The pruning step from files to files, and the checkpoint that an experiment ends with."""

import pytest

from prunescope.artifacts.diagnosis import Checks, DiagnosisReport, Finding, GradientScale, OverallRates
from prunescope.artifacts.folders import CheckpointFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.plan_file import PlanFile
from prunescope.config.sections import Diagnosis, Settings
from prunescope.pruning.prune import CriticalDiagnosis, prune
from prunescope.steps.job import Job
from prunescope.steps.pruning import PruningSpec
from tiny import save_source, tiny_model, uneven_plan

UNKNOWN = {"mean_range": None, "mean_ratio": None, "norm_range": None, "norm_ratio": None}


def report(severity):
    finding = Finding(
        issue="Layer 3 is gone", severity=severity, description="", recommendation="", code="x", layers=[3],
        evidence={}, remedy=None, remedies=[],
    )  # fmt: skip
    checks = Checks(
        spikes=[], spearman=None, spread={}, score_ratio=None, stability=None,
        attention_vs_mlp=OverallRates(attention_rate=None, mlp_rate=None, rate=None),
    )  # fmt: skip
    return DiagnosisReport(
        extreme_pruning_layers=[], num_extreme_layers=0, gradient_statistics=GradientScale(**UNKNOWN),
        diagnosis=[finding], checks=checks, language="en", thresholds=Diagnosis(),
    )  # fmt: skip


@pytest.fixture
def told(tmp_path):
    """Return a function that returns the step's job; the diagnosis has a finding of the severity that it is given."""
    facts = save_source(tiny_model(), tmp_path / "source")
    ModelFolder(tmp_path / "shared").facts.write(facts)
    folder = ExperimentFolder(tmp_path / "e")
    plan = uneven_plan(facts)
    folder.plan.write(PlanFile.of(plan))

    def job(severity, stop):
        folder.diagnosis.write(report(severity))
        spec = PruningSpec(model="tiny", experiment="e", stop_if_critical=stop)
        return Job(spec, folder, {"model": tmp_path / "shared"}), facts.total_parameters - plan.removed_parameters

    return job


@pytest.mark.parametrize(("severity", "stop"), [("critical", False), ("high", True)])
def test_the_step_cuts_and_records(told, severity, stop):
    job, parameters = told(severity, stop)
    prune(job)
    checkpoint = job.folder.checkpoint.path
    record = job.folder.named(ExperimentFolder.record, step="pruning").read()
    assert record.metrics == {
        "prune/checkpoint_parameters": parameters, "prune/checkpoint_bytes": CheckpointFolder(checkpoint).stored_bytes
    }  # fmt: skip
    assert record.key == job.spec.record_key
    kept = CheckpointFolder(checkpoint).kept.read()
    assert (kept.parent, kept.experiment, kept.parent_origin, kept.parent_revision) == ("tiny", "e", "test", None)
    assert "plan" not in kept.model_fields_set


def test_a_critical_finding_stops_the_step_before_it_cuts(told):
    job, _ = told("critical", stop=True)
    with pytest.raises(CriticalDiagnosis, match=r"fail: Layer 3 is gone; no weight was cut, the report is .*json"):
        prune(job)
    assert not job.folder.checkpoint.exists()


@pytest.mark.parametrize(("steps", "final"), [(None, "model"), ({}, "model"), ({"recovery": "e-1"}, "recovered")])
def test_an_experiment_ends_with_the_trained_checkpoint_where_there_is_one(tmp_path, steps, final):
    folder = ExperimentFolder(tmp_path)
    if steps is not None:
        told = {"model": "tiny", "experiment": "e", "dataset": "words", "settings": Settings()}
        folder.identity.write(Identity(**told, steps=steps, shared={}, params={}))
    assert folder.final.path == tmp_path / final
