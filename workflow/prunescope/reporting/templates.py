"""Pages as jinja2 templates: the files `*.j2` beside this module."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(name: str, **values: Any) -> str:
    """Fill a template; in HTML what is filled in is escaped."""
    pages = Environment(
        loader=PackageLoader("prunescope", "reporting"),
        autoescape=lambda template: ".html." in (template or ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return pages.get_template(name).render(values)
