"""Pages: templates that are filled (`*.j2` beside this module), and Markdown as HTML that stands alone."""

import base64
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt


def render(name: str, **values: Any) -> str:
    """Fill a template; in HTML what is filled in is escaped."""
    pages = Environment(
        loader=PackageLoader("prunescope", "reporting"),
        autoescape=lambda template: ".html." in (template or ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return pages.get_template(name).render(values)


def as_html(markdown: str, title: str, folder: Path) -> str:
    """Return a page of Markdown (CommonMark with tables) as one HTML document: its figures are inside.

    Args:
        folder: where the paths of its figures (PNG) start.
    """
    parser = MarkdownIt("js-default")
    parser.add_render_rule("image", _inside)
    return render("standalone.html.j2", title=title, body=parser.render(markdown, {"folder": folder}))


def encoded(file: Path) -> str:
    """Return a file in base64, for a ``data:`` address."""
    return base64.b64encode(file.read_bytes()).decode("ascii")


def _inside(_renderer: Any, tokens: Any, index: int, _options: Any, env: Any) -> str:
    """Put a figure in; of an image that is no PNG below the page's folder, the words that stand for it."""
    token, folder = tokens[index], env["folder"].resolve()
    figure = (folder / token.attrs["src"]).resolve()
    if not figure.is_relative_to(folder) or figure.suffix != ".png":
        return escape(token.content)
    content = encoded(figure)
    return f'<img alt="{escape(token.content)}" src="data:image/png;base64,{content}">'
