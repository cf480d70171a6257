"""The page of the environment variables names every one of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def variables(*files):
    return {name for file in files for name in re.findall(r"PRUNESCOPE_[A-Z_]+", file.read_text(encoding="utf-8"))}


def test_every_variable_is_in_the_table():
    code = [file for pattern in ("*.py", "*.smk") for file in (ROOT / "workflow").rglob(pattern)]
    assert variables(ROOT / "docs/performance.md") == variables(ROOT / "Makefile", *code)
