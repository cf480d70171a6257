"""Wikipedia articles as plain prose: a dump's wiki markup reduced with the standard library."""

import html
import io
import re
from bz2 import BZ2File
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

from prunescope.data.archives import Bounded, allowed
from prunescope.data.documents import Document

SHORTEST_ARTICLE = 500
"""Characters; what is left of a disambiguation page or a stub is shorter."""

SHORTEST_PARAGRAPH = 40
"""Characters; what is left around a formula or before a list is shorter."""

_END_SECTION = re.compile(
    r"(selected )?bibliography|discography|filmography|citations|external links|footnotes|further reading|"
    r"gallery|notes( and references)?|references|see also|sources|works( cited)?",
    re.I,
)
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_CLOSED_REFERENCE = re.compile(r"<ref\b[^<>]*/>", re.I)
_NOT_PROSE = re.compile(
    r"<(ref|gallery|math|chem|timeline|table|score|code|source|syntaxhighlight|pre|imagemap)\b[^<>]*>.*?</\1\s*>",
    re.S | re.I,
)
_QUANTITY = re.compile(r"\{\{(?:convert|cvt)\|([\d.,]+)\|([^|{}]+)[^{}]*\}\}", re.I)
_TEMPLATE = re.compile(r"\{\{(?:(?!\{\{|\}\}).)*\}\}", re.S)
_TABLE = re.compile(r"^[ :]*\{\|(?:(?!^[ :]*\{\|).)*?^\s*\|\}", re.S | re.M)
_EXTERNAL_LINK = re.compile(r"\[(?:\w+:)?//[^\s\]]+ *([^\[\]]*)\]")
_LINK = re.compile(r"\[\[((?:(?!\[\[|\]\]).)*)\]\]", re.S)
_INVISIBLE_LINK = re.compile(r"\s*(?:file|image|media|category|template|[a-z]{2,3}(?:-[a-z]+)*)\s*:", re.I)
_TAG = re.compile(r"</?[a-z][^<>]*>", re.I)
_QUOTES = re.compile(r"'{2,}")
_SWITCH = re.compile(r"__[A-Z]+__")
_HEADING = re.compile(r"(={1,6})\s*(.+?)\s*\1\s*$")
_PARAGRAPH_END = re.compile(r"\n\s*\n")
_EMPTY_BRACKETS = re.compile(r" ?\([\s,;:/]*\)")
_LEADING_SEPARATOR = re.compile(r"\((?:\s*[,;])+\s*")
_SPACE_BEFORE = re.compile(r"\s+([,.;:)])")


def read_dump(compressed: bytes) -> Iterator[Document]:
    """Yield the articles of a bz2-compressed MediaWiki XML export, cleaned; `id` is the title.

    Redirects, pages outside the article namespace and articles under `SHORTEST_ARTICLE` are left out.
    """
    with BZ2File(io.BytesIO(compressed)) as file:
        for _, element in ElementTree.iterparse(Bounded(file, allowed(len(compressed)))):
            if not element.tag.endswith("}page"):
                continue
            if element.findtext("{*}ns") == "0" and element.find("{*}redirect") is None:
                text = clean(element.findtext("{*}revision/{*}text") or "")
                if len(text) >= SHORTEST_ARTICLE:
                    yield Document(element.findtext("{*}title") or "", text)
            element.clear()


def clean(markup: str) -> str:
    """Return the prose of an article, one paragraph a line, with links as their text.

    Templates, tables, references, formulas, images, lists, headings and end sections are dropped.
    """
    for pattern in (_COMMENT, _CLOSED_REFERENCE, _NOT_PROSE):
        markup = pattern.sub("", markup)
    markup = _QUANTITY.sub(r"\1 \2", markup)
    for pattern in (_TEMPLATE, _TABLE):
        markup = _replace_nested(pattern, "", markup)
    markup = _EXTERNAL_LINK.sub(r"\1", markup)
    markup = _replace_nested(_LINK, _link_text, markup)
    for pattern in (_TAG, _QUOTES, _SWITCH):
        markup = pattern.sub("", markup)
    paragraphs = map(_tidy, _PARAGRAPH_END.split("\n".join(_prose_lines(markup))))
    return "\n".join(paragraph for paragraph in paragraphs if len(paragraph) >= SHORTEST_PARAGRAPH)


def _replace_nested(pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
    """Replace from the inside out: `pattern` matches only what holds no further match."""
    count = 1
    while count:
        text, count = pattern.subn(replacement, text)
    return text


def _link_text(link: re.Match[str]) -> str:
    target, _, label = link[1].partition("|")
    # ``[[:Category:X]]`` is a visible link; without the colon it is the image or category itself.
    if _INVISIBLE_LINK.match(target):
        return ""
    return label.rpartition("|")[2] or target.lstrip(": ")


def _prose_lines(text: str) -> Iterator[str]:
    """Yield the lines of prose, and "" for each of the others, so that these end a paragraph.

    An end section lasts until the next heading of its rank.
    """
    skipped_rank = 0
    for line in map(str.strip, text.split("\n")):
        heading = _HEADING.match(line)
        if heading:
            rank = len(heading[1])
            if not skipped_rank or rank <= skipped_rank:
                skipped_rank = rank if _END_SECTION.fullmatch(heading[2]) else 0
        is_prose = not (heading or skipped_rank or line.startswith(("*", "#", ":", ";", "|", "!", "{|")))
        yield line if is_prose else ""


def _tidy(paragraph: str) -> str:
    text = " ".join(html.unescape(paragraph).split())
    text = _LEADING_SEPARATOR.sub("(", _EMPTY_BRACKETS.sub("", text))
    return _SPACE_BEFORE.sub(r"\1", text)
