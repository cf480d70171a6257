"""Whether a ratio can be reached under the limits: known from the model's facts alone."""

from prunescope.artifacts.facts import ModelFacts
from prunescope.config.sections import Limits, Method
from prunescope.errors import BudgetError
from prunescope.importance.limits import Lane, RemovalUnit, lanes_of, minimum_paths, removal_unit


def check_feasible(facts: ModelFacts, method: Method, limits: Limits) -> None:
    """Raise what `select` would raise.

    Raises:
        ConfigError: limits contradict one another or the criterion.
        BudgetError: the limits leave too little, force too much, or no whole layer fits the ratio.
    """
    feasible_lanes(facts, method.ratio, limits, removal_unit(method.criterion))


def feasible_lanes(facts: ModelFacts, ratio: float, limits: Limits, unit: RemovalUnit) -> list[Lane]:
    """Return the lanes of a model, on which ``ratio * total parameters`` can be spent.

    Raises:
        ConfigError, BudgetError: as `check_feasible`.
    """
    lanes = lanes_of(facts.blocks, limits, unit)
    budget = budget_of(facts, ratio)
    least = sum(lane.parameters(lane.least) for lane in lanes)
    if budget > most_parameters(lanes):
        raise BudgetError(_too_high(ratio, _fraction(facts, most_parameters(lanes)), _binding(lanes)))
    if budget < least:
        raise BudgetError(
            f"method.ratio = {ratio:g} is too low: {' and '.join(minimum_paths(limits))} takes at least "
            f"{_fraction(facts, least):.4f} of all parameters; raise the ratio or lower the minimum"
        )
    if unit == "layer" and budget < rounding_unit(lanes):
        raise BudgetError(
            f"method.ratio = {ratio:g} removes nothing: method.criterion = shortgpt removes whole layers, and one has "
            f"{_fraction(facts, rounding_unit(lanes)):.4f} of all parameters; raise the ratio or change the criterion"
        )
    return lanes


def budget_of(facts: ModelFacts, ratio: float) -> int:
    """Return how many parameters should go."""
    return round(ratio * facts.total_parameters)


def rounding_unit(lanes: list[Lane]) -> int:
    """Return the parameters of the smallest full unit: what the budget may miss at most while one is free."""
    return min(lane.unit_parameters for lane in lanes)


def most_parameters(lanes: list[Lane]) -> int:
    """Return how many parameters the limits leave to selection."""
    return sum(lane.parameters(lane.most) for lane in lanes)


def _fraction(facts: ModelFacts, parameters: int) -> float:
    return parameters / facts.total_parameters


def _binding(lanes: list[Lane]) -> list[str]:
    return sorted({lane.limit for lane in lanes if lane.limit})


def _too_high(ratio: float, largest: float, limits: list[str]) -> str:
    why = f"under {' and '.join(limits)}" if limits else "because embeddings, norms and head are not pruned"
    what_to_do = "lower the ratio or relax the limit" if limits else "lower the ratio"
    return (
        f"method.ratio = {ratio:g} cannot be reached {why}: "
        f"at most {largest:.4f} of all parameters can go; {what_to_do}"
    )
