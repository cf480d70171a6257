"""What the image is built from is all of the package, though nobody here can pull the image that it begins with."""

import re
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_every_package_and_every_file_of_the_build_is_copied(project, dockerfile):
    found = project["tool"]["setuptools"]["packages"]["find"]
    packages = {name.partition(".")[0] for name in find_packages(str(ROOT / "workflow"), include=found["include"])}
    needed = {f"workflow/{name}" for name in packages}
    needed |= {
        "pyproject.toml",
        "requirements.lock",
        project["project"]["readme"],
        *project["project"]["license-files"],
    }
    copied = {source for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.M) for source in line.split()}
    assert copied == needed
    assert {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")} == needed


def test_the_extras_are_those_of_the_project(project, dockerfile):
    (extras,) = re.findall(r"/src\[([\w,]+)\]", dockerfile)
    assert set(extras.split(",")) <= project["project"]["optional-dependencies"].keys()
