"""Settings that are worth a trial: all remedies that need no other pass, other criteria, caps, balances, configured."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from prunescope.config.candidates import DECIDES, Deciding, needs_no_pass
from prunescope.config.names import Name, stripped
from prunescope.config.patches import Patch, differences, leaves, merge, nested
from prunescope.criteria import OF_WHOLE_LAYERS
from prunescope.diagnosis.changes import Change
from prunescope.diagnosis.rules import RULES
from prunescope.diagnosis.situation import Situation
from prunescope.files import canonical
from prunescope.steps.trial import TrialSpec

CAPS = (0.3, 0.5, 0.7)
"""Values of `limits.max_rate` that are tried."""


BALANCES = (0.5, 2.0)
"""Factors of `corrections.attention_weight` that are tried."""


@dataclass(frozen=True)
class Proposal:
    """A setting to try.

    Attributes:
        kind: see `Candidate.kind`. patch: what it changes in the experiment. name: of the experiment that has it; None
            where no name can say it.
    """

    kind: str
    patch: Patch
    name: Name | None = None

    @property
    def label(self) -> str:
        """What it is, for people: its name without the ratio and the text, or else what it changes."""
        if self.name is None:
            return ", ".join(f"{path.partition('.')[2]} = {value}" for path, value in leaves(self.patch))
        head, tail = str(self.name).split(f"_{self.name.percent}_{self.name.dataset}", 1)
        return head + tail


def proposals(spec: TrialSpec, now: Situation, scored: Iterable[str]) -> list[Proposal]:
    """Return what is worth a trial beside the experiment itself, each change once.

    Args:
        scored: the criteria that the gradient pass scored.
    """
    patches = [*_remedies(now), *_caps(now), *_balances(now), *(("configured", patch) for patch in spec.candidates)]
    found = [Proposal(kind, patch, now.context.named(patch)) for kind, patch in patches]
    found += _criteria(spec, now, scored)
    once = {canonical(proposal.patch): proposal for proposal in reversed(found)}
    return [proposal for proposal in found if once[canonical(proposal.patch)] is proposal and proposal.patch]


def _remedies(now: Situation) -> Iterator[tuple[str, Patch]]:
    """Yield every remedy that a rule can offer and that only decides anew."""
    changes: dict[str, Change] = {change.kind: change for rule in RULES.values() for change in rule.remedies}
    for kind, change in changes.items():
        patch = change.patch(now) if change.applies(now) else None
        if patch is not None and all(needs_no_pass(path) for path, _ in leaves(patch)):
            yield kind, patch


def _caps(now: Situation) -> Iterator[tuple[str, Patch]]:
    if not now.whole_layers and not now.equal_layers:
        yield from (("cap", {"limits": {"max_rate": highest}}) for highest in CAPS)


def _balances(now: Situation) -> Iterator[tuple[str, Patch]]:
    weight = now.setting("corrections", "attention_weight")
    if weight is not None and not now.whole_layers:
        yield from (("balance", {"corrections": {"attention_weight": weight * factor}}) for factor in BALANCES)


def _criteria(spec: TrialSpec, now: Situation, scored: Iterable[str]) -> Iterator[Proposal]:
    """Yield each criterion at T = 0, without what the experiment's name changes, plain and with a general limit.

    Where all layers keep the same widths, they do so under every criterion, which no limit for single blocks changes.
    """
    assert now.context.settings is not None
    before = Deciding.within(now.context.settings).model_dump(mode="json")
    plain = spec.plain.model_dump(mode="json")
    equal: Patch = {"limits": {"widths": "uniform"}} if now.equal_layers else {}
    limit: Patch = {"limits": {"max_rate": now.thresholds.extreme_rate}}
    for criterion in scored:
        whole = criterion in OF_WHOLE_LAYERS
        if whole and now.equal_layers:
            continue
        method = {"criterion": criterion, "temperature": 0.0, "ratio": spec.method.ratio, "prior": spec.method.prior}
        for more in (equal,) if whole or now.equal_layers else ({}, limit):
            wanted = merge(plain, {"method": method}, more)
            patch = nested({path: value for path, _, value in differences(before, wanted)})
            yield Proposal("criterion", patch, _plain_name(now, criterion, more))


def _plain_name(now: Situation, criterion: str, more: Patch) -> Name | None:
    if now.context.name is None:
        return None
    bare = stripped(now.context.name, (*DECIDES, "search", "recovery"))
    name = replace(bare, criterion=criterion, temperature="0", tau=None)
    return replace(now.context, experiment=str(name)).named(more)
