"""Errors in a configuration as one sentence: the config path, the value and what is allowed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from prunescope.config.files import CONFIG_FILE, Origin
from prunescope.errors import ConfigError, did_you_mean

Model = TypeVar("Model", bound=BaseModel)

BOUNDS = {
    "exclusiveMinimum": "greater than {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "less than {}",
    "maximum": "at most {}",
    "minItems": "at least {} item(s)",
}


def validated(model: type[Model], content: Any, where: str | Origin) -> Model:
    """Validate the content of a section; `where` names the file or files, or the experiment, that it is from.

    Raises:
        ConfigError: with the first value that is not valid, as one sentence.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(sentence(error, model, where)) from None


@contextmanager
def said_of(where: str) -> Iterator[None]:
    """Put `where` before the sentence of a `ConfigError`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that no model or dataset has this name, and which have a similar one."""
    return f"unknown {kind} '{name}'; {did_you_mean(name, known)} ({kind}s are declared in {CONFIG_FILE}: {kind}s)"


def sentence(error: ValidationError, model: type[BaseModel], where: str | Origin) -> str:
    """Describe the first error of a validation; `where` as of `validated`."""
    first = error.errors(include_url=False)[0]
    names = [str(part) for part in first["loc"]]
    node, path = _walk(model.model_json_schema(), names)
    where = where.of(path) if isinstance(where, Origin) else where
    # The branches of a union fail one by one; that is one mistake.
    places = {
        tuple(part for part in item["loc"] if isinstance(part, (str, int)))[: len(first["loc"]) - 1]
        for item in error.errors()
    }
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = node.get("properties", model.model_fields)
        return f"{where}: unknown key '{path}'; {did_you_mean(names[-1], known)}{more}"
    if first["type"] == "missing":
        return f"{where}: {path} is missing{more}"
    said = first["msg"].removeprefix("Value error, ")
    reason = said if first["type"] == "value_error" else _kind(first, node) or _allowed(node) or said
    shown = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{where}: {path}{shown}: {reason}{more}" if path else f"{where}: {reason}{more}"


def _kind(error: Mapping[str, Any], node: dict[str, Any]) -> str:
    """Say what shape is wanted where another was given; empty when the shape is right."""
    if error["type"] in ("tuple_type", "list_type"):
        return "must be a list, such as [a, b]"
    if error["type"] in ("model_type", "dict_type", "model_attributes_type"):
        keys = ", ".join(node.get("properties", ()))
        return f"must be a section{f' with keys among {keys}' if keys else ''}; leave it out for the defaults"
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] == "[key]":
        return f"a name may hold only what {error['ctx']['pattern']} matches"
    return ""


def _walk(schema: dict[str, Any], names: list[str]) -> tuple[dict[str, Any], str]:
    """Follow a location through the schema; parts that are no keys (union branches) are left out of the path."""
    definitions, node, path = schema.get("$defs", {}), schema, []
    for name in names:
        node = _dereference(node, definitions)
        properties = node.get("properties", {})
        if name in properties:
            node = properties[name]
        elif name.isdigit() and "items" in node:
            node = node["items"]
        elif (values := values_of(node)) is not None:
            node = values
        elif properties:
            path.append(name)
            break
        else:
            continue
        path.append(name)
    return _dereference(node, definitions), ".".join(path)


def values_of(node: dict[str, Any]) -> dict[str, Any] | None:
    """Return the schema of the values of a mapping, or None when the node is no mapping."""
    for values in (node.get("additionalProperties"), *node.get("patternProperties", {}).values()):
        if isinstance(values, dict):
            return values
    return None


def _dereference(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for branch in node.get("anyOf", node.get("allOf", [])):
        if "$ref" in branch or branch.get("type") != "null":
            return {**_dereference(branch, definitions), "branches": node.get("anyOf", [])}
    if "$ref" in node:
        node = definitions[node["$ref"].rsplit("/", 1)[-1]]
    return node


def _allowed(node: dict[str, Any]) -> str:
    """Say which values a schema node allows, or an empty text when only the type is known."""
    if "enum" in node or "const" in node:
        return "allowed: " + ", ".join(map(str, node.get("enum", [node.get("const")])))
    bounds = [text.format(f"{node[key]:g}") for key, text in BOUNDS.items() if key in node]
    branches = node.get("branches", [])
    words = [str(branch["const"]) for branch in branches if "const" in branch]
    words += [str(word) for branch in branches for word in branch.get("enum", [])]
    kind = {"integer": "a whole number ", "number": "a number "}.get(node.get("type", ""), "")
    if not bounds and not words:
        return ""
    text = f"must be {kind}{' and '.join(bounds)}".rstrip()
    return text + (f", or {' or '.join(words)}" if words else "")
