"""The base class of what JSON files hold, and the types of their numbers."""

import math
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Number = int | float
"""A number that stays an integer where it was one."""


class Document(BaseModel):
    """What a JSON file, or a part of one, holds.

    An unknown key is an error. Strict JSON has no NaN: what is unknown or undefined is None. A field that was not set
    is left out of the file; one that was set to None is written as ``null``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Spread(Document):
    """A document that writes the keys of one of its fields, `spread`, beside its other fields."""

    spread: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, content: Any) -> Any:
        others = cls.model_fields.keys() - {cls.spread}
        if not isinstance(content, dict) or cls.spread in content or not others <= content.keys():
            return content
        gathered = {name: value for name, value in content.items() if name not in others}
        return {cls.spread: gathered} | {name: content[name] for name in others}

    @model_serializer(mode="wrap")
    def _spread(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return {**content.pop(self.spread)} | content


def without_nan(value: Any) -> Any:
    """Return `value` with None for every number that JSON cannot hold, in lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


Known = Annotated[float | None, BeforeValidator(without_nan)]
"""A number, or None where it is unknown; NaN and infinity become None."""

Evidence = Annotated[dict[str, Any], BeforeValidator(without_nan)]
"""JSON whose keys depend on its kind; NaN and infinity become None."""

InFull = PlainSerializer(lambda section: section.model_dump(mode="json"))
"""For a section of the configuration: written with its defaults."""
