"""The evaluation texts of the configuration, read by the real code from local copies in the hub's layout."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from jobs import facts_of, job
from prunescope.artifacts.folders import EvaluationTextFolder
from prunescope.config.resolve import load_config
from prunescope.config.sections import DatasetSource
from prunescope.data.calibration import tokens_sha256
from prunescope.data.evaluation_text import cut_evaluation_text
from prunescope.data.tokenizer import load_encoder
from prunescope.steps.texts import EvaluationTextSpec, TextSpec


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def wikitext(folder):
    rows = ["", " = One = \n", "", " " + "alpha " * 20 + "\n", " = Two = \n", " " + "beta " * 20 + "\n"]
    write_parquet(folder / "wikitext-2-raw-v1/test-00000-of-00001.parquet", text=rows)
    return " = One = \n\n" + " " + "alpha " * 20 + "\n\n" + " = Two = \n " + "beta " * 20


def ptb(folder):
    rows = [f"mr. <unk> is n years old and says {number}" for number in range(9)]
    write_parquet(folder / "penn_treebank/test/0000.parquet", sentence=rows)
    return "\n\n".join(rows)


def c4(folder):
    rows = [f"Validation page {number} of the crawl." for number in range(9)]
    (folder / "en").mkdir(parents=True)
    with gzip.open(folder / "en/c4-validation.00000-of-00008.json.gz", "wt") as lines:
        lines.writelines(json.dumps({"text": row, "url": "u", "timestamp": "t"}) + "\n" for row in rows)
    return "\n\n".join(rows)


def write_parquet(path, **columns):
    path.parent.mkdir(parents=True)
    pd.DataFrame(columns).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "make", "split"), [("wikitext2", wikitext, "test"), ("ptb", ptb, "test"), ("c4", c4, "validation")]
)
def test_a_hub_text_is_evaluated_on_its_held_out_split(name, make, split, tokenizer, tmp_path):
    text = make(tmp_path / "copy")
    source = load_config().datasets[name].model_copy(update={"path": str(tmp_path / "copy")})
    spans, manifest = cut(name, source, tokenizer, tmp_path)
    encoded = load_encoder(tokenizer)(text)
    assert (manifest.split, manifest.tokens) == (split, len(encoded))
    assert manifest.sha256 == tokens_sha256(np.array(encoded, np.int32))
    assert spans[f"{name}/w12s4"].tolist() == [encoded[: 12 + (len(encoded) - 12) // 4 * 4]]


def test_a_local_text_is_evaluated_on_the_documents_of_its_test_split(tokenizer, tmp_path):
    texts = [f"Document number {number} of my own." for number in range(60)]
    pd.DataFrame({"body": texts}).to_json(tmp_path / "mine.jsonl", orient="records", lines=True)
    source = DatasetSource(local=f"{tmp_path}/*.jsonl", text="body")
    spans, manifest = cut("mine", source, tokenizer, tmp_path)
    assert manifest.split == "test"
    assert 3 < manifest.documents < 30
    assert spans["mine/w8"].shape == (manifest.tokens // 8, 8)


def cut(name, source, tokenizer, folder):
    texts = {name: TextSpec(source=source)}
    spec = EvaluationTextSpec(texts=texts, protocols=("w8", "w12s4"), max_tokens=100_000)
    cut_evaluation_text(job(spec, folder / "out", model=facts_of(tokenizer)))
    written = EvaluationTextFolder(folder / "out")
    return written.windows.read(), written.manifest.read()[name]
