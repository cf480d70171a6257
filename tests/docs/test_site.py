"""The documentation builds, strictly: every page is in the navigation, every link and anchor leads somewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "mkdocs.yml",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "benchmarks/README.md",
)
# A link to add, by file, and what the warning says.
DEAD_LINKS = {
    "README.md": ("[x](docs/nowhere.md)", "README.md links to docs/nowhere.md"),
    "CHANGELOG.md": ("[x](config/README.md#nowhere)", "'configuration.md#nowhere'"),
    "config/README.md": ("![x](../docs/images/nowhere.png)", "'images/nowhere.png'"),
    "docs/evaluation.md": ("[x](#nowhere)", "'#nowhere'"),
    "docs/remedies.md": ("[x](evaluation.md#nowhere)", "'evaluation.md#nowhere'"),
    "docs/sweeps.md": ("[x](index.md)", "docs/sweeps.md links to index.md"),  # in the site, but not in the repository
}


def copy_sources(folder: Path) -> Path:
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return folder


def build(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=variables)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = copy_sources(tmp_path_factory.mktemp("docs"))
    done = build(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_pages_outside_docs_are_in_the_site(site):
    for page, said in {
        "index": "smaller for good",
        "configuration": "width_multiple",
        "benchmarks": "engines.py",
    }.items():
        assert said in (site / f"{page}.html").read_text()


def test_links_between_files_are_links_between_pages(site):
    assert 'href="configuration.html#experiment-names"' in (site / "experiments.html").read_text()
    assert 'href="truth.html"' in (site / "index.html").read_text()


def test_reading_fetches_nothing(site):
    page = (site / "tutorial.html").read_text()
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="http' not in page


def test_what_leads_nowhere_is_an_error(tmp_path):
    folder = copy_sources(tmp_path)
    (folder / "docs/forgotten.md").write_text("# In no navigation\n")
    for page, (link, _) in DEAD_LINKS.items():
        with (folder / page).open("a") as file:
            file.write(f"\n{link}\n")
    done = build(folder)
    assert done.returncode != 0
    for warning in ("forgotten.md", *(warning for _, warning in DEAD_LINKS.values())):
        assert warning in done.stderr
