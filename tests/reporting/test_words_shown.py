"""What models write, side by side: whatever they write, it is shown as it is."""

from itertools import pairwise

import pytest
from markdown_it import MarkdownIt

from prunescope.artifacts.continuations import Continuations
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.reporting.page.words import words_section

WILD = "a | b\n\n# title\n<b>*x*</b> `y` [l](u) $z$ \\| &amp;"


@pytest.fixture
def folder(tmp_path):
    return ExperimentFolder(tmp_path)


def cells(markdown):
    """The text of every cell, as a reader sees it."""
    tokens = MarkdownIt("js-default").parse(markdown)
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}
    inline = [token for before, token in pairwise(tokens) if before.type in ("th_open", "td_open")]
    return ["".join(child.content for child in token.children) for token in inline]


def test_a_row_per_prompt_and_a_column_per_model(folder):
    words = Continuations(
        prompts=["One", "Two"], tokens=5, texts={"baseline": ["a", "b"], "pruned": ["c", WILD]}, left_out={}
    )
    folder.words.write(words)
    table, said = words_section(folder, trained=False).split("\n\n")
    seen = WILD.replace("\n\n", " ⏎ ").replace("\n", " ⏎ ")
    assert cells(table) == ["", "unpruned", "pruned", "One", "a", "c", "Two", "b", seen]
    assert "5 at most" in said


def test_a_model_that_was_left_out_is_named(folder):
    words = Continuations(prompts=["One"], tokens=5, texts={"recovered": ["c"]}, left_out={"baseline": "too large"})
    folder.recovered_words.write(words)
    section = words_section(folder, trained=True)
    assert section.startswith("|  | trained |")
    assert section.endswith("The unpruned model was left out: too large.")
    folder.recovered_words.write(words.model_copy(update={"texts": {}}))
    assert words_section(folder, trained=True) == "The unpruned model was left out: too large."
    folder.words.write(Continuations(prompts=[], tokens=0, texts={}, left_out={}))
    assert words_section(folder, trained=False) is None
