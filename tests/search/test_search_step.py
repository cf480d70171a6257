"""The search step on a tiny model: what it leaves, and that all that follows reads what was found."""

import math
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax
from transformers import PreTrainedModel

from prunescope.artifacts.folders import ExperimentFolder, SearchTextFolder
from prunescope.artifacts.manifests import TrialManifest
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.candidates import Deciding
from prunescope.config.names import parse_name
from prunescope.config.patches import merge
from prunescope.config.sections import Settings
from prunescope.diagnosis import trials
from prunescope.errors import DataError
from prunescope.importance.decision import score_and_select
from prunescope.models.loading import load_checkpoint
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.fitted import load_fitted
from prunescope.pruning.refit import refit
from prunescope.pruning.repair import fit_projections
from prunescope.search import find, gauge
from prunescope.steps.importance import ImportanceSpec, RefitTold, SearchSpec
from prunescope.steps.job import Job
from prunescope.steps.repair import RefitSpec
from prunescope.steps.trial import TrialSpec
from prunescope.trial import measured, refitted
from prunescope.trial.measured import Meter
from tiny import mask_model, tiny_model, tiny_tokens
from trials import PLAIN, ready

WINDOWS = {"wiki": 6, "hansard": 3}


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    for module in (find, trials):
        monkeypatch.setattr(module, "Meter", partial(Meter, dtype="float64"))
    monkeypatch.setattr(gauge, "RUNGS", (2, 4))


@pytest.fixture
def tiny(tmp_path):
    made = ready(tmp_path)
    text = SearchTextFolder(tmp_path / "search_text")
    parts = tiny_tokens(5 + sum(WINDOWS.values()))[5:].to(torch.int32).split([*WINDOWS.values()])
    text.windows.write({name: part.contiguous() for name, part in zip(WINDOWS, parts, strict=True)})
    manifest = made.text.manifest.read()
    text.manifest.write(manifest.model_copy(update={"sha256": dict.fromkeys(WINDOWS, "2" * 64)}))
    return made


def search_job(tiny, name: str, trials: int = 32) -> Job:
    settings = Settings(**merge(PLAIN.model_dump(), parse_name(name, ["wiki"])[1]))
    refit = settings.repair.refit
    told = {"trials": trials, "seed": 0, "ridge": refit.middle, "refit": RefitTold.of(refit)}
    spec = SearchSpec(model="tiny", experiment=name, **told, **dict(Deciding.within(settings)))
    steps = ("model", "gradients", "removal", "trial_text", "search_text", *(["gram"] if refit.enabled else []))
    return Job(spec, ExperimentFolder(tiny.root / name), {step: tiny.root / step for step in steps})


def decided(job: Job) -> Job:
    """Select by what was found, and return the job of the trial."""
    told = {"model": "tiny", "experiment": job.spec.experiment, **dict(Deciding.within(job.spec))}
    score_and_select(Job(ImportanceSpec(**told), job.folder, job.inputs))
    spec = TrialSpec(**told, extreme_rate=0.5, early_layers=2, plain=Deciding.within(PLAIN))
    return Job(spec, job.folder, job.inputs)


@torch.no_grad()
def test_what_is_found_is_the_closest_of_what_was_measured(tiny):
    job = search_job(tiny, "auto_20_wiki")
    find.find_settings(job)
    found, table = job.folder.search.read(), job.folder.searched.read()
    assert found.rungs == [2, 4, 6] and found.trials == len(table) == 32
    whole = table[table["kl_6"].notna()]
    assert len(whole) == found.whole
    assert found.winner.kl == whole["kl_6"].min() == whole.set_index("trial")["kl_6"][found.winner.trial]
    assert found.runner_up.plan != found.winner.plan and found.runner_up.kl >= found.winner.kl
    assert found.start.kl >= found.winner.kl and found.gain.ratio <= 1.2
    assert found.impossible == (table["reason"] != "").sum()
    decided(job)
    plan = PruningPlan.read(job.folder.plan.path, tiny.facts)
    assert measured.plan_digest(plan) == found.winner.plan
    windows, dense, pruned = job.input(SearchTextFolder).windows.read(), tiny_model(), tiny_model()
    mask_model(pruned, plan)
    means = []
    for name, closeness in found.winner.texts.items():
        logits = [
            [model(one[None].long(), use_cache=False).logits[0] for one in windows[name]] for model in (dense, pruned)
        ]
        loss = np.array(
            [
                [cross_entropy(out[:-1], one[1:].long()).item() for out, one in zip(outs, windows[name], strict=True)]
                for outs in logits
            ]
        )
        means.append(np.mean([
            kl_div(log_softmax(two, -1), log_softmax(one, -1), log_target=True, reduction="batchmean").item()
            for one, two in zip(*logits, strict=True)
        ]))  # fmt: skip
        assert closeness.kl == pytest.approx(means[-1])
        assert closeness.perplexity == pytest.approx(math.exp(loss[1].mean()))
        assert closeness.ratio == pytest.approx(math.exp(loss[1].mean() - loss[0].mean()))
    assert found.winner.kl == pytest.approx(np.mean(means))


def checkpoint_of(job: Job, tiny) -> PreTrainedModel:
    """Return the model that an experiment ends with, by its own steps."""
    told = {"model": "tiny", "experiment": job.spec.experiment}
    inputs = {step: tiny.root / step for step in ("model", "refit_text")}
    fit_projections(Job(RefitSpec(**told, **job.spec.refit.model_dump()), job.folder, inputs))
    plan = PruningPlan.read(job.folder.plan.path, tiny.facts)
    target = job.folder.path / "model"
    write_checkpoint(tiny.facts, plan, target, fitted=load_fitted(job.folder.fitted.path, "refit"))
    return load_checkpoint(target, torch.float64, torch.device("cpu"))


@torch.no_grad()
def kl_of(model, windows) -> float:
    """Return KL(dense || model), the mean of the texts."""
    dense, found = tiny_model(), []
    for text in windows.values():
        one, two = (log_softmax(each(text.long(), use_cache=False).logits, -1) for each in (dense, model))
        found.append(kl_div(two, one, log_target=True, reduction="sum").item() / text.numel())
    return np.mean(found)


def test_the_best_of_a_refitted_search_are_refitted_and_measured_as_the_checkpoint(tiny):
    job = search_job(tiny.refitted(), "auto_20_wiki_refit")
    find.find_settings(job)
    found, table = job.folder.search.read(), job.folder.searched.read().set_index("trial")
    shortlist = table[table["kl_6"].notna()].sort_values("kl_6", kind="stable").drop_duplicates("plan")["plan"][:3]
    assert found.winner.plan in {*shortlist, found.start.plan}
    assert found.winner.kl <= min(found.runner_up.kl, found.start.kl)
    for one in (found.winner, found.runner_up, found.start):
        assert one.ranked_kl == table["kl_6"][one.trial] != one.kl
        assert one.kl == pytest.approx(np.mean([text.kl for text in one.texts.values()]), rel=1e-5)
    assert "_refit" in found.winner.experiment
    decided(job)
    pruned = checkpoint_of(job, tiny)
    assert found.winner.kl == pytest.approx(kl_of(pruned, job.input(SearchTextFolder).windows.read()), rel=1e-4)
    assert not job.folder.confirming.exists()


def test_a_refit_that_was_killed_goes_on_and_finds_the_same(tiny, monkeypatch):
    job, refits = search_job(tiny.refitted(), "auto_20_wiki_refit"), []
    find.find_settings(job)
    expected = job.folder.search.path.read_bytes()
    job.folder.search.path.unlink()
    shutil.rmtree(tiny.root / "search_text/measured")

    def killed(*told):
        refits.append(told)
        if len(refits) == 2:
            raise KeyboardInterrupt
        return refit(*told)

    monkeypatch.setattr(refitted, "refit", killed)
    with pytest.raises(KeyboardInterrupt):
        find.find_settings(job)
    assert not job.folder.search.exists()
    find.find_settings(job)
    assert job.folder.search.path.read_bytes() == expected
    assert len(refits) in (4, 5)  # three or four plans, one of them twice
    find.find_settings(job)
    assert len(refits) in (4, 5)


def test_a_start_that_loses_its_numbers_in_the_refit_is_not_compared_with(tiny, monkeypatch):
    job = search_job(tiny.refitted(), "auto_20_wiki_refit")
    kl = find.Outcome._kl
    monkeypatch.setattr(find.Outcome, "_kl", lambda self, one: math.inf if one.start else kl(self, one))
    find.find_settings(job)
    found, starts = job.folder.search.read(), job.folder.searched.read().set_index("trial")["start"]
    assert found.start == found.winner and not starts[found.winner.trial] and found.gain.ratio == 1


def test_all_that_follows_reads_what_was_found(tiny):
    job = search_job(tiny, "auto_20_wiki")
    find.find_settings(job)
    found = job.folder.search.read()
    trial = decided(job)
    trials.measure(trial)
    now = trials.situation(trial)
    assert Deciding.within(now.context.settings) == found.decided != Deciding.within(trial.spec)
    own = trial.folder.trials.read().own
    assert (own.name, own.experiment, own.plan) == ("auto", "auto_20_wiki", found.winner.plan)
    plain = found.winner.experiment
    settings = Settings(**merge(PLAIN.model_dump(), parse_name(plain, ["wiki"])[1]))
    assert Deciding.within(settings) == found.decided  # the name says the same
    names = [str(one.experiment) for one in trial.folder.trials.read().candidates if one.kind == "cap"]
    assert names and not any(name.startswith("auto") for name in names)
    params = job.folder.named(ExperimentFolder.record, step="importance").read().params
    assert params["method.criterion"] == found.method.criterion


def test_a_limit_of_the_name_stands_and_is_told(tiny):
    job = search_job(tiny, "auto_20_wiki_max60", trials=16)
    find.find_settings(job)
    found = job.folder.search.read()
    assert found.fixed == ["limits.max_rate"] and found.limits.max_rate == 0.6
    assert found.winner.experiment.endswith("_max60") or "_max60_" in found.winner.experiment


def test_killed_and_run_again_it_measures_the_rest_and_finds_the_same(tiny, monkeypatch):
    job = search_job(tiny, "auto_20_wiki")
    find.find_settings(job)
    expected, entries = job.folder.search.path.read_bytes(), [*tiny.root.glob("search_text/measured/*/*.json")]
    shutil.rmtree(tiny.root / "search_text/measured")
    job.folder.search.path.unlink()
    measure, calls = measured.measure, []

    def killed(adapter, windows, interventions, *rest, **told):
        calls.append(len(interventions))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(adapter, windows, interventions, *rest, **told)

    monkeypatch.setattr(measured, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        find.find_settings(job)
    find.find_settings(job)
    assert job.folder.search.path.read_bytes() == expected
    find.find_settings(job)
    assert sum(calls[:2] + calls[3:]) == len(entries)


def test_without_a_text_it_ends_in_one_sentence(tiny):
    job = search_job(tiny, "auto_20_wiki")
    job.input(SearchTextFolder).manifest.write(TrialManifest(texts={}, sha256={}, left_out={"wiki": "too short"}))
    with pytest.raises(DataError, match=r"there is no text to search on \(wiki: too short\)"):
        find.find_settings(job)
