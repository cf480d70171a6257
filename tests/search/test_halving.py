"""The search loop on measurements that are made up: what it finds, and that it can be killed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pytest

from prunescope.config.candidates import Deciding
from prunescope.config.names import rename, split_name
from prunescope.config.patches import at, leaves, merge
from prunescope.config.sections import Settings
from prunescope.criteria import CRITERIA
from prunescope.errors import BudgetError
from prunescope.files import canonical
from prunescope.search.halving import GROUP, NO_NUMBER, Halving, Tried, best, importances
from prunescope.search.knobs import CAP, CRITERION, KNOBS, Space

PLAIN = Deciding.within(Settings(method={"criterion": "auto"}))
PLANTED = {"corrections.attention_weight": 2.0, "corrections.power": 0.6, "limits.max_rate": 0.5}


@dataclass(frozen=True)
class Fake:
    """A cut whose plan is the patch itself."""

    plan: Mapping

    @property
    def digest(self) -> str:
        return canonical(self.plan)


def distance(patch: Mapping) -> float:
    """How far settings are from the planted optimum; one criterion is best."""
    found = {"corrections.attention_weight": 1.0, "corrections.power": 1.0, "limits.max_rate": 1.0} | dict(
        leaves(patch)
    )
    far = sum(abs(math.log(found[path] / value)) for path, value in PLANTED.items())
    return 0.1 + far + (found[CRITERION] != "gate")


class Killed(Exception):
    pass


class Stub:
    """Measures each plan once, as the cache on the disk does; `kill`: raise when so many were measured."""

    def __init__(self, kill: float = math.inf) -> None:
        self.known: dict[tuple[str, int], float] = {}
        self.kill = kill

    def __call__(self, plans: Mapping[str, Mapping], rung: int) -> dict[str, float]:
        for digest, plan in plans.items():
            if (digest, rung) not in self.known:
                if len(self.known) >= self.kill:
                    raise Killed
                self.known[digest, rung] = distance(plan) + 0.01 * rung
        return {digest: self.known[digest, rung] for digest in plans}


def search(measure, told=PLAIN, trials=96, seed=0, decide=Fake, candidates=(), **more) -> tuple[list[Tried], Space]:
    space = Space.of(told, CRITERIA)
    halving = Halving(space, decide, partial(space.patch, settings=told), measure, 3, seed)
    return halving.run(space.starts(candidates), trials, **more), space


def test_the_planted_optimum_is_found():
    tried, space = search(Stub(), trials=160)
    start = min(one.values[-1] for one in tried if one.start and len(one.values) == 3)
    found = best(tried, 3)
    assert found.values[-1] < 0.6 * start
    assert at(found.patch, CRITERION) == "gate"
    shares = importances(tried, space)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) in {CRITERION, *PLANTED}


def test_a_third_goes_on_to_more_windows_and_the_best_start_to_all():
    tried, _ = search(Stub(), trials=3 * GROUP)
    reached = [sum(len(one.values) > rung for one in tried) for rung in range(3)]
    assert reached[0] == 3 * GROUP and reached[1] >= 3 * 6 and 3 * 2 <= reached[2] < GROUP
    starts = [one for one in tried if one.start]
    assert min(starts, key=lambda one: one.values[0]).values[2:]


def test_the_same_seed_finds_the_same_and_another_does_not():
    first, again, other = (search(Stub(), trials=40, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert [one.places for one in first] != [one.places for one in other]


@pytest.mark.parametrize("kill", [0, 20, 55])
def test_a_search_that_was_killed_goes_on_to_the_same_result(kill):
    expected = search(Stub(), trials=60)[0]
    measure = Stub(kill)
    with pytest.raises(Killed):
        search(measure, trials=60)
    measure.kill = math.inf
    before = dict(measure.known)
    assert search(measure, trials=60)[0] == expected
    assert before.items() <= measure.known.items()


def test_what_the_user_has_set_never_moves():
    told = {"limits": {"max_rate": 0.4, "early_layers": {"count": 3}}, "corrections": {"power": 2, "clip": (5, 95)}}
    settings = Deciding.within(Settings(method={"criterion": "auto", "combine": "share"}, **told))
    tried, space = search(Stub(), settings, trials=40)
    fixed = {"method.combine", CAP, "limits.early_layers.max_rate", "corrections.power", "corrections.clip"}
    assert set(space.fixed) == fixed
    assert not any(path in fixed for one in tried for path, _ in leaves(one.patch))
    assert not any(at(one.patch, "method.temperature") for one in tried)  # under share it decides nothing


def test_only_criteria_that_were_scored_and_remove_groups_are_searched():
    assert Space.of(PLAIN, ["shortgpt", "gate", "wanda"]).criteria == ("gate", "wanda")


def test_settings_that_cannot_be_kept_are_told_and_not_fatal():
    def decide(patch):
        if at(patch, CAP) is not None:
            raise BudgetError("too tight")
        return Fake(patch)

    def measure(plans, rung):
        return {digest: math.inf if plan["method"]["criterion"] == "wanda" else 1.0 for digest, plan in plans.items()}

    tried, _ = search(measure, trials=40, decide=decide)
    assert {one.reason for one in tried} == {"", "too tight", NO_NUMBER}
    assert all(bool(one.values) != bool(one.reason) for one in tried)
    assert len(tried) == 40 and best(tried, 3)


def test_time_ends_it_after_a_group():
    assert len(search(Stub(), seconds=1e-9)[0]) == GROUP
    assert len(search(Stub(), trials=5)[0]) == 5


def test_candidates_of_the_configuration_are_starts_where_the_space_has_them():
    known = {"corrections": {"attention_weight": 2.0, "clip": [5, 95]}}
    unknown = [{"limits": {"protect": [0]}}, {"limits": {"max_rate": 0.123}}]
    tried, space = search(Stub(), trials=GROUP, candidates=[known, *unknown])
    starts = [one for one in tried if one.start]
    assert len(starts) == 2 * len(space.criteria) + 2
    assert dict(leaves(starts[-1].patch)) == {
        CRITERION: "taylor", "corrections.attention_weight": 2.0, "corrections.clip": (5.0, 95.0),
    }  # fmt: skip


def test_every_value_is_valid_and_names_can_say_it():
    space, told = Space.of(PLAIN, CRITERIA), PLAIN.model_dump(mode="json")
    for path, value in [(knob.path, value) for knob in KNOBS for value in knob.values if value is not None]:
        places = space.places({CRITERION: "gate", "method.temperature": 1.0, path: value})
        assert space.values(places)[path] == value
        patch = space.patch(places, PLAIN)
        Deciding.model_validate(merge(told, patch))
        assert rename(split_name("auto_20_wiki"), patch), (path, value)
