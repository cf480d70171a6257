"""Pages show what comes from configuration, data and models as text: no markup, no script, no file of this machine."""

from html.parser import HTMLParser

import pytest

from prunescope.artifacts.continuations import Continuations
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.markdown import literal
from prunescope.reporting.page.words import words_section
from prunescope.reporting.rendering import as_html, render

WILD = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)> [x](javascript:alert(4)) "
    "![secret](../secret.png) ![secret](/etc/passwd)"
)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "pre", "code", "table",
    "thead", "tbody", "tr", "th", "td", "img", "a", "ul", "ol", "li", "b", "strong", "em", "div", "span", "section",
    "details", "summary", "br", "hr", "figure", "footer", "small", "dl", "dt", "dd",
}  # fmt: skip


class Found(HTMLParser):
    """The tags of a page, and attributes that run or fetch something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.active: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.active += [(name, value) for name, value in attrs if name.startswith("on")]
        links = [(name, value) for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self.active += [(name, value) for name, value in links if not (value or "").startswith(("data:image/", "#"))]


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder := tmp_path / "page").mkdir()
    (folder / "figure.png").write_bytes(b"figure")
    return folder


def test_a_page_of_markdown_holds_no_markup_of_its_own(secret):
    found = Found(page := as_html(f"# {WILD}\n\n{WILD}\n\n![a figure](figure.png)", title=WILD, folder=secret))
    assert found.tags <= TAGS and found.active == []
    assert "Zmlnd" in page  # "fig": the figure is in it
    assert "c2Vjcm" not in page and "root:" not in page  # "secr"


def test_what_models_write_is_text(secret):
    folder = ExperimentFolder(secret)
    folder.words.write(Continuations(prompts=[WILD], tokens=5, texts={"pruned": [WILD]}, left_out={"baseline": WILD}))
    found = Found(as_html(words_section(folder, trained=False), title="", folder=secret))
    assert found.tags <= TAGS and found.active == []


def test_literal_text_means_nothing_in_markdown(secret):
    shown = f"{WILD} [there](https://example.org) ![a figure](figure.png) **bold** `code`"
    assert {"a", "img", "strong", "code"} <= Found(as_html(shown, title="", folder=secret)).tags
    found = Found(as_html(literal(shown), title="", folder=secret))
    assert not found.tags & {"a", "img", "strong", "code", "script", "svg"}


def test_templates_of_html_escape_what_is_filled_in():
    page = render("standalone.html.j2", title=WILD, body="")
    assert "<script>" not in page and "<img" not in page
