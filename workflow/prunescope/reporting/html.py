"""Markdown pages as HTML files that stand alone: their figures are inside, nothing is fetched."""

import base64
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from prunescope.reporting.templates import render


def as_html(markdown: str, title: str, folder: Path) -> str:
    """Return a page of Markdown (CommonMark with tables) as one HTML document.

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
    token = tokens[index]
    content = encoded(env["folder"] / token.attrs["src"])
    return f'<img alt="{escape(token.content)}" src="data:image/png;base64,{content}">'
