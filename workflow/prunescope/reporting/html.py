"""Markdown pages as HTML files that stand alone: their figures are inside, nothing is fetched."""

import base64
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

STYLE = """
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; font: 15px/1.55 system-ui, sans-serif; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
td, th { border: 1px solid #ddd; padding: 0.3rem 0.6rem; }
td[style*="right"] { white-space: nowrap; }
thead:not(:has(th:not(:empty))) { display: none; }
img { max-width: 100%; }
code, pre { background: #f5f5f5; }
pre { padding: 0.7rem; overflow-x: auto; }
"""


def as_html(markdown: str, title: str, folder: Path) -> str:
    """Return a page of Markdown (CommonMark with tables) as one HTML document.

    Args:
        folder: where the paths of its figures (PNG) start.
    """
    parser = MarkdownIt("js-default")
    parser.add_render_rule("image", _inside)
    body = parser.render(markdown, {"folder": folder})
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}</body></html>\n'


def encoded(file: Path) -> str:
    """Return a file in base64, for a ``data:`` address."""
    return base64.b64encode(file.read_bytes()).decode("ascii")


def _inside(_renderer: Any, tokens: Any, index: int, _options: Any, env: Any) -> str:
    token = tokens[index]
    content = encoded(env["folder"] / token.attrs["src"])
    return f'<img alt="{escape(token.content)}" src="data:image/png;base64,{content}">'
