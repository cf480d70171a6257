"""The words of the report and of the plots: one file of templates per language, `en.yaml` says how to write them."""

from collections.abc import Callable
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, Template

from prunescope.config.patches import leaves
from prunescope.diagnosis.words import numbers

FILTERS = {
    "runs": numbers.runs,
    "rate": numbers.rate,
    "rates": numbers.rates,
    "factor": numbers.factor,
    "ends": numbers.ends,
    "by_layers": numbers.by_layers,
    "by_kind": numbers.by_kind,
    "number": format,
}


class Language:
    """The words of one language, read when the first of them is needed.

    Attributes:
        code: as in the configuration (`report.language`), and the name of the file.
    """

    def __init__(self, code: str):
        self.code = code

    @cached_property
    def words(self) -> dict[str, Any]:
        """The content of the file."""
        text = Path(__file__).with_name(f"{self.code}.yaml").read_text(encoding="utf-8")
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

    @property
    def cjk(self) -> bool:
        """Whether its characters need a font of their own."""
        return self.words["cjk"]

    @property
    def labels(self) -> dict[str, str]:
        """The words of plots and tables; those with a value in them are for `label`."""
        return self.words["labels"]

    def label(self, name: str, /, **values: Any) -> str:
        """Return a label with `values` in it."""
        return self._fill(self.labels[name], values)

    def value(self, name: str, value: Any) -> str:
        """Say a value by an entry of `values`."""
        return self._fill(self.words["values"][name], {"value": value})

    def percent(self, rate: float) -> str:
        return self.value("percent", rate)

    def finding(self, code: str, part: str, numbers: dict[str, Any]) -> str:
        """Return a part of a finding: its ``issue``, ``description`` or ``recommendation``."""
        return self._fill(self.words["findings"][code][part], numbers)

    def change(self, kind: str, patch: dict[str, Any]) -> str:
        """Say what a remedy changes."""
        values = {path.rsplit(".", 1)[-1]: value for path, value in leaves(patch)}
        return self._fill(self.words["remedies"][kind], values)

    def effect(self, name: str, /, **values: Any) -> str:
        """Say what a remedy does, or what measuring it would take, by an entry of `effects`."""
        return self._fill(self.words["effects"][name], values)

    def headline(self, name: str, values: dict[str, Any]) -> str:
        """Say which setting is best, by an entry of `headlines`."""
        return self._fill(self.words["headlines"][name], values)

    def story(self, name: str, /, **values: Any) -> str:
        """Return a word or a line of what is said at the end of a run."""
        return self._fill(self.words["story"][name], values)

    def offer(self, what: str, experiment: str | None, effect: str | None) -> str:
        """Offer a remedy, by the name of its experiment if it has one, with what was measured of it."""
        return self._fill(self.words["sentences"]["offer"], {"what": what, "experiment": experiment, "effect": effect})

    def advice(self, recommendation: str, **beside: Any) -> str:
        """Return a recommendation and what is said beside it.

        Args:
            beside: `offers` to compare; whether the remedies are `exhausted`; how many were measured `in_vain`, and
                the severity that the finding was `lowered_from`, if it was.
        """
        return self._fill(self.words["sentences"]["advice"], {"recommendation": recommendation} | beside)

    def _fill(self, template: str, values: dict[str, Any]) -> str:
        return self._compiled(template).render(values)

    @cached_property
    def environment(self) -> Environment:
        """What the templates are compiled in."""
        environment = Environment(undefined=StrictUndefined)
        said = FILTERS | {"kind": self.words["kinds"].__getitem__}
        said |= {name: partial(self.value, name) for name in self.words["values"]}
        environment.filters |= {name: partial(self._or_unknown, say) for name, say in said.items()}
        return environment

    @cached_property
    def _compiled(self) -> Callable[[str], Template]:
        return cache(self.environment.from_string)

    def _or_unknown(self, say: Callable[..., Any], value: Any, *arguments: Any) -> Any:
        return self.words["unknown"] if value is None else say(value, *arguments)


ENGLISH, CHINESE = Language("en"), Language("zh")
LANGUAGES = {language.code: language for language in (ENGLISH, CHINESE)}
