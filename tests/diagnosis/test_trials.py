"""The trial of other settings: what is tried, what each does, and that a plan is measured once."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from prunescope.artifacts.folders import ModelFolder, TrialTextFolder
from prunescope.artifacts.manifests import TrialManifest
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.trials import Trials
from prunescope.config.candidates import Deciding
from prunescope.config.names import split_name, stripped
from prunescope.diagnosis import trials as step
from prunescope.diagnosis.candidates import proposals
from prunescope.evaluation.bootstrap import DRAWS, SEED
from prunescope.trial import measured
from prunescope.trial.cuts import Scores
from prunescope.trial.measured import Meter, nothing, plan_digest
from tiny import mask_model, tiny_model
from trials import TEXTS, ready

NAME = "taylor_T1_tau0_20_wiki"


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    monkeypatch.setattr(step, "Meter", partial(Meter, dtype="float64"))


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """How many interventions each sweep measured."""
    counts: list[int] = []

    def counting(adapter, windows, interventions, *rest, **told):
        counts.append(len(interventions))
        return measure(adapter, windows, interventions, *rest, **told)

    measure = measured.measure
    monkeypatch.setattr(measured, "measure", counting)
    return counts


@pytest.fixture
def tiny(tmp_path):
    return ready(tmp_path)


def tried(job) -> Trials:
    step.measure(job)
    return job.folder.trials.read()


def test_where_no_text_is_held_out_nothing_is_tried(tiny):
    tiny.text.manifest.write(TrialManifest(texts={}, sha256={}, left_out={"c4": "too short"}))
    found = tried(tiny.job(NAME))
    assert found == Trials(texts={}, left_out={"c4": "too short"}, measured=0, rank=0, candidates=[])


def naive(job, plan: PruningPlan | None) -> dict[str, np.ndarray]:
    """The loss of each window by masking the weights of a model, by text."""
    model = tiny_model()
    if plan:
        mask_model(model, plan)
    windows = job.input(TrialTextFolder).windows.read()
    return {
        name: np.array(
            [
                cross_entropy(model(one[None], use_cache=False).logits[0, :-1], one[1:]).item()
                for one in windows[name].long()
            ]
        )
        for name in TEXTS
    }


@torch.no_grad()
def test_every_candidate_loses_what_the_masked_model_loses(tiny):
    job = tiny.job(NAME)
    found = tried(job)
    scores = Scores.read(job, Deciding.within(job.spec), tiny.facts)
    dense, own = naive(job, None), naive(job, PruningPlan.read(job.folder.plan.path, tiny.facts))
    assert {name: text.dense for name, text in found.texts.items()} == pytest.approx(
        {name: math.exp(dense[name].mean()) for name in TEXTS}
    )
    assert len(found.ranked) >= 8
    for candidate in found.ranked:
        plan = scores.cut(candidate.patch).plan
        assert candidate.plan == plan_digest(plan)
        loss = naive(job, plan)
        for name, effect in candidate.texts.items():
            assert effect.perplexity == pytest.approx(math.exp(loss[name].mean()), rel=1e-9)
            assert effect.ratio == pytest.approx(math.exp(loss[name].mean() - own[name].mean()), rel=1e-9)
        logs = [math.log(effect.ratio) for effect in candidate.texts.values()]
        assert candidate.ratio == pytest.approx(math.exp(np.mean(logs)))


@torch.no_grad()
def test_a_refitted_experiment_is_compared_with_refitted_candidates(tiny):
    plain, job = tiny.job(NAME), tiny.refitted().job(f"{NAME}_refit")
    before, found = tried(plain), tried(job)
    assert before.ridge is None and found.ridge == 0.1
    kl = {one.plan: one.distance.kl for one in before.ranked}
    changed = [one.plan for one in found.ranked if one.distance.kl != kl[one.plan]]
    assert {one.plan for one in found.ranked} == set(kl) and len(changed) >= len(kl) - 1
    assert before == tried(plain)  # what was measured of the refitted ones is kept apart
    assert len([*tiny.root.glob("trial_text/measured/*")]) == 2


def divergence(job, plan: PruningPlan) -> dict[str, np.ndarray]:
    """KL(dense || masked) of each window, by text."""
    dense, masked = tiny_model(), tiny_model()
    mask_model(masked, plan)
    windows = job.input(TrialTextFolder).windows.read()
    found = {}
    for name in TEXTS:
        said = [[model(windows[name].long(), use_cache=False).logits.log_softmax(-1)] for model in (dense, masked)]
        (wanted,), (here,) = said
        found[name] = (wanted.exp() * (wanted - here)).sum(-1).mean(-1).numpy()
    return found


@torch.no_grad()
def test_distances_are_those_of_the_masked_models(tiny):
    job = tiny.job(NAME)
    found = tried(job)
    scores = Scores.read(job, Deciding.within(job.spec), tiny.facts)
    own = divergence(job, PruningPlan.read(job.folder.plan.path, tiny.facts))
    for candidate in found.ranked[:4]:
        kl = divergence(job, scores.cut(candidate.patch).plan)
        distance, means = candidate.distance, [kl[name].mean() for name in TEXTS]
        assert distance.kl == pytest.approx(np.mean(means), rel=1e-6)
        before = np.mean([own[name].mean() for name in TEXTS])
        assert distance.change == pytest.approx(np.mean(means) - before, abs=1e-7)
        assert distance.low <= distance.change <= distance.high


@torch.no_grad()
def test_intervals_are_paired_by_window(tiny):
    job = tiny.job(NAME)
    found = tried(job)
    (candidate, *_) = (one for one in found.ranked if one.kind != "experiment")
    plan = Scores.read(job, Deciding.within(job.spec), tiny.facts).cut(candidate.patch).plan
    loss, own = naive(job, plan)["wiki"], naive(job, PruningPlan.read(job.folder.plan.path, tiny.facts))["wiki"]
    random = np.random.default_rng(SEED)
    draws = []
    for _ in range(DRAWS):
        chosen = random.integers(len(loss), size=len(loss))
        draws.append(math.exp(loss[chosen].mean() - own[chosen].mean()))
    low, high = np.quantile(np.log(draws), [0.025, 0.975])
    effect = candidate.texts["wiki"]
    assert (effect.low, effect.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert effect.low <= effect.ratio <= effect.high


def test_candidates_are_ranked_and_the_experiment_is_one_of_them(tiny):
    job = tiny.job(NAME)
    found = tried(job)
    distances = [one.distance.kl for one in found.ranked]
    assert distances == sorted(distances)
    (own,) = (one for one in found.ranked if one.kind == "experiment")
    assert (own.name, own.experiment, own.ratio, own.patch) == ("taylor_T1_tau0", NAME, 1, {})
    assert (own.distance.change, own.distance.low, own.distance.high) == (0, 0, 0)
    assert found.rank == 1 + sum(one.distance.change < 0 for one in found.ranked)
    assert found.measured == len(distances) == len({one.plan for one in found.ranked})
    assert found.left_out == {"talk": "too short"}
    metrics = job.folder.named(type(job.folder).record, step="trial").read().metrics
    assert metrics == {"trial/best_ratio": found.best.ratio, "trial/rank": found.rank, "trial/measured": found.measured}


@torch.no_grad()
def test_half_of_the_text_is_measured_by_the_settings_of_the_experiment(tiny):
    job = tiny.job("taylor_T0_20_wiki")
    less = tried(job).less_text
    plan = Scores.by_first_half(job, Deciding.within(job.spec), tiny.facts).cut({}).plan
    half, own = naive(job, plan), naive(job, PruningPlan.read(job.folder.plan.path, tiny.facts))
    logs = [half[name].mean() - own[name].mean() for name in TEXTS]
    assert (less.samples, less.of) == (4, 8)
    assert less.ratio == pytest.approx(math.exp(np.mean(logs)), rel=1e-9)
    kl = [divergence(job, plan)[name].mean() for name in TEXTS]
    assert less.distance.kl == pytest.approx(np.mean(kl), rel=1e-6)
    # c / n of the loss is due to chance: 4 -> 8 windows give c / 8, 8 -> 16 half of that, 8 -> 32 three quarters.
    assert (less.gain(2), less.gain(4)) == (0.5, 0.75)


def test_no_half_is_measured_of_a_criterion_without_one(tiny):
    assert tried(tiny.job("wanda_T0_20_wiki")).less_text is None


def test_a_setting_that_cuts_the_same_is_told_and_not_measured(tiny):
    found = tried(tiny.job(NAME, {"method": {"tau": 0.01}}))
    (same,) = (one for one in found.candidates if one.kind == "configured")
    assert (same.same_as, same.texts, same.ratio) == ("taylor_T1_tau0", {}, None)


def test_what_cannot_be_kept_is_listed_with_the_reason(tiny):
    found = tried(tiny.job("taylor_T0_20_wiki", {"limits": {"min_rate": 0.9}}, prior=False))
    reasons = {one.name: one.reason for one in found.candidates if one.reason}
    assert "method.ratio = 0.2 cannot be reached" in reasons["taylor_T0_max30"]
    assert "limits.min_rate" in reasons["taylor_T0_min90"]
    assert reasons["taylor_T1_tau0"] == "needs the removal prior, which the experiment does without"
    assert reasons["taylor_T0_share"] == "needs the removal prior, which the experiment does without"
    assert not {one.name for one in found.ranked} & set(reasons)


def test_each_criterion_is_tried_without_what_the_name_changes(tiny):
    job = tiny.job(f"{NAME}_log_depth50_protect3_n4")
    scores = Scores.read(job, Deciding.within(job.spec), tiny.facts)
    found = {one.label: one for one in proposals(job.spec, step.situation(job), scores.criteria)}
    plain = found["gate_T0_n4"]
    assert str(plain.name) == "gate_T0_20_wiki_n4"
    settings = scores.changed(plain.patch)
    assert (settings.method.criterion, settings.method.temperature, settings.method.ratio) == ("gate", 0, 0.2)
    assert (settings.corrections, settings.limits) == (job.spec.plain.corrections, job.spec.plain.limits)
    assert scores.changed(found["gate_T0_n4_max50"].patch).limits.max_rate == 0.5
    assert "shortgpt_T0_n4" in found and "shortgpt_T0_n4_max50" not in found
    assert all(one.patch.keys() <= {"method", "corrections", "limits"} for one in found.values())


def test_uniform_widths_stay_whatever_is_tried(tiny):
    job = tiny.job("taylor_T1_tau0_20_wiki_uniform")
    scores = Scores.read(job, Deciding.within(job.spec), tiny.facts)
    found = {one.label: one for one in proposals(job.spec, step.situation(job), scores.criteria)}
    assert {one.kind for one in found.values()} & {"cap", "protect", "cap_early", "collapse"} == set()
    assert {"gate_T0_uniform", "wanda_T0_uniform"} <= found.keys()
    assert not any(label.startswith("shortgpt") for label in found)
    for one in found.values():
        assert scores.changed(one.patch).limits.widths == "uniform"
        kept = {(len(plan.kept), plan.facts.block) for plan in scores.cut(one.patch).plan.blocks}
        assert len(kept) == 2


def test_a_change_that_contradicts_uniform_widths_says_so(tiny):
    job = tiny.job(
        "taylor_T1_tau0_20_wiki_uniform", {"limits": {"protect": [0]}}, {"method": {"criterion": "shortgpt"}}
    )
    _, protect, whole = (
        step._decide(Scores.read(job, Deciding.within(job.spec), tiny.facts), one)[1]
        for one in [
            step.Proposal("experiment", {}),
            *(step.Proposal("configured", patch) for patch in job.spec.candidates),
        ]
    )
    assert "widths = uniform keeps the same in all layers, and protect treats some otherwise" in protect
    assert "limits.widths = uniform narrows all layers alike" in whole


def test_an_experiment_that_no_name_declares_says_what_changes(tiny):
    job = tiny.job(NAME)
    spec = job.spec.model_copy(update={"experiment": "mine"})
    found = proposals(spec, step.situation(step.Job(spec, job.folder, job.inputs)), ["gate"])
    assert {one.name for one in found} == {None}
    assert "max_rate = 0.5" in {one.label for one in found}


def test_a_plan_is_measured_once_whatever_experiment_asks(tiny, counted):
    first = tried(tiny.job(NAME))
    plans = {one.plan for one in first.ranked}
    assert counted == [len(plans) + 2]  # and the dense model, and by half of the text
    again = tried(tiny.job(NAME))
    assert again == first and len(counted) == 1
    other = tried(tiny.job("gate_T0_20_wiki"))
    new = {one.plan for one in other.ranked} - plans
    assert counted[1:] == [len(new)]
    assert 0 < len(new) < other.measured
    known = {one.plan: one.texts["wiki"].perplexity for one in first.ranked}
    for one in other.ranked:
        assert one.texts["wiki"].perplexity == known.get(one.plan, one.texts["wiki"].perplexity)


@pytest.mark.parametrize("content", ["", "{}", '{"loss": {"wiki": [1.0]}, "divergence": {"wiki": [1.0]}}'])
def test_a_damaged_entry_is_measured_again(tiny, counted, content):
    first = tried(tiny.job(NAME))
    entry, *_ = tiny.text.path.glob("measured/*/*.json")
    right = json.loads(entry.read_text())
    entry.write_text(content)
    again = tried(tiny.job(NAME))
    assert counted[1:] == [1]
    # The last bits depend on what is measured together.
    for kind, texts in json.loads(entry.read_text()).items():
        assert all(values == pytest.approx(right[kind][name], rel=1e-12) for name, values in texts.items())
    assert [one.plan for one in again.ranked] == [one.plan for one in first.ranked]
    assert [one.ratio for one in again.ranked] == pytest.approx([one.ratio for one in first.ranked], rel=1e-12)


def test_other_windows_are_other_conditions(tiny, counted):
    tried(tiny.job(NAME))
    manifest = tiny.text.manifest.read()
    tiny.text.manifest.write(manifest.model_copy(update={"sha256": dict.fromkeys(TEXTS, "1" * 64)}))
    tried(tiny.job(NAME))
    assert counted[0] == counted[1]


def test_a_digest_stands_for_what_is_removed(tiny):
    facts = ModelFolder(tiny.root / "model").facts.read()
    job = tiny.job(NAME)
    plan = PruningPlan.read(job.folder.plan.path, facts)
    assert (
        plan_digest(plan) == plan_digest(PruningPlan.read(job.folder.plan.path, facts)) != plan_digest(nothing(facts))
    )


def test_options_of_some_sections_can_be_stripped_from_a_name():
    name = split_name("taylor_T1_tau0_20_wiki_n64_share_early30_first8_clip5_fp32")
    assert str(stripped(name, ("method", "corrections", "limits"))) == "taylor_T1_tau0_20_wiki_n64_fp32"
