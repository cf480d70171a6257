"""Whether a ratio can be reached, found before any model is loaded."""

from prunescope.artifacts.facts import ModelFacts
from prunescope.config.sections import Limits, Method
from prunescope.criteria import CRITERIA
from prunescope.importance.limits import feasible_lanes
from prunescope.importance.uniform import UniformCuts


def check_feasible(facts: ModelFacts, method: Method, limits: Limits) -> None:
    """Raise what `select` would raise."""
    unit = "group" if method.searched else CRITERIA[method.criterion].unit
    if limits.widths == "uniform":
        UniformCuts(facts, method.ratio, limits, unit).allowed()
    else:
        feasible_lanes(facts, method.ratio, limits, unit)
