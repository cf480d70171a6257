"""The two text steps: what they write, and that it does not depend on anything but the spec."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs import facts_of, job
from prunescope.artifacts.folders import CalibrationFolder, EvaluationTextFolder, RefitTextFolder
from prunescope.config.sections import DatasetSource
from prunescope.data import evaluation_text
from prunescope.data.calibration import calibrate, shares, tokens_sha256
from prunescope.data.documents import Document
from prunescope.data.evaluation_text import cut_evaluation_text, tokenize
from prunescope.data.refit_text import draw_refit_text
from prunescope.data.tokenizer import load_encoder
from prunescope.errors import ConfigError, DataError
from prunescope.steps.sources import CorpusSpec
from prunescope.steps.texts import CalibrationSpec, EvaluationTextSpec, RefitTextSpec, TextSpec

BOS = 1


EMBEDDED = {
    "wheel": "tiny-text==1.0",
    "sha256": "0" * 64,
    "member": "x",
    "member_sha256": "0" * 64,
    "reader": "hansard_csv",
}
TEXT = TextSpec(source=DatasetSource(embedded=EMBEDDED, license="CC0"))


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    """The corpora of three texts: thirty documents for calibration, ten for test; the first letter tells which."""
    lines = [
        {"id": f"{split}{number:02}", "split": split, "text": split[0] * (40 + number)}
        for split, count in (("calibration", 30), ("test", 10))
        for number in range(count)
    ]
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "one", "two"):
        path = Path(CorpusSpec.reading(name, TEXT.source).file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, lines)) + "\n")


def calibration(**changes) -> CalibrationSpec:
    settings = {"dataset": "tiny", "texts": {"tiny": TEXT}, "samples": 6, "seq_len": 32, "seed": 0}
    return CalibrationSpec(**settings | changes)


def draw(tokenizer, output, context=64, **changes) -> CalibrationFolder:
    calibrate(job(calibration(**changes), output, model=facts_of(tokenizer, context)))
    return CalibrationFolder(output)


def test_the_encoder_adds_nothing_and_does_not_warn(tokenizer, caplog, capsys):
    encode = load_encoder(tokenizer)
    assert len(encode("x" * 100)) == 100
    assert BOS not in encode("x" * 100)
    assert "longer than" not in caplog.text + capsys.readouterr().err


def test_an_unknown_tokenizer(tmp_path):
    with pytest.raises(DataError, match=r"no tokenizer could be loaded from '.*nowhere'"):
        load_encoder(tmp_path / "nowhere")


@pytest.mark.usefixtures("corpora")
def test_calibration_files(tokenizer, tmp_path):
    written = draw(tokenizer, tmp_path / "tiny_n6_s32-00000000")
    tokens = written.samples.read()["input_ids"].numpy()
    assert tokens.shape == (6, 32)
    assert tokens.dtype == np.int32
    allowed = load_encoder(tokenizer)("c\n")
    assert set(np.unique(tokens)) == set(allowed)

    manifest = written.manifest.read()
    text = manifest.texts["tiny"]
    assert manifest.sha256 == tokens_sha256(tokens)
    assert manifest.documents == len(text.document_ids) >= 4
    assert all(name.startswith("calibration") for name in text.document_ids)
    assert (manifest.source, manifest.tokens, manifest.bos) == ("tiny-text==1.0", 192, False)
    assert text.split == "calibration"

    record = written.record.read()
    assert (record.step, record.key) == ("calibration", "tiny_n6_s32-00000000")
    assert record.metrics == {"calibration/tokens": 192, "calibration/documents": manifest.documents}
    assert record.params == {"dataset": "tiny", "samples": 6, "seq_len": 32, "seed": 0}


@pytest.mark.usefixtures("corpora")
def test_calibration_is_reproducible_and_seeded(tokenizer, tmp_path):
    manifests = [draw(tokenizer, tmp_path / str(run), seed=seed).manifest.read() for run, seed in enumerate((0, 0, 1))]
    one, again, other = (manifest.texts["tiny"].document_ids for manifest in manifests)
    assert one == again
    assert one != other


@pytest.mark.usefixtures("corpora")
def test_too_little_text_names_the_dataset_and_writes_nothing(tokenizer, tmp_path):
    with pytest.raises(DataError, match="dataset 'tiny': the calibration text fills"):
        draw(tokenizer, tmp_path / "out", samples=1000)
    assert not (tmp_path / "out").exists()


def test_an_embedded_text_needs_its_corpus(tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"dataset 'tiny': the corpus of 'tiny-text==1.0' has not been built"):
        draw(tokenizer, tmp_path / "out")


def cut(tokenizer, output, context=1024, protocols=("w8", "w64", "w12s4")) -> EvaluationTextFolder:
    spec = EvaluationTextSpec(texts={"tiny": TEXT}, protocols=protocols, max_tokens=128)
    cut_evaluation_text(job(spec, output, model=facts_of(tokenizer, context)))
    return EvaluationTextFolder(output)


@pytest.mark.usefixtures("corpora")
def test_evaluation_files(tokenizer, tmp_path):
    written = cut(tokenizer, tmp_path / "tiny-00000000")
    windows = {name: tensor.numpy() for name, tensor in written.windows.read().items()}
    assert {name: tensor.shape for name, tensor in windows.items()} == {
        "tiny/w8": (16, 8),
        "tiny/w64": (2, 64),
        "tiny/w12s4": (2, 64),
    }
    assert {tensor.dtype for tensor in windows.values()} == {np.dtype(np.int32)}
    assert set(np.unique(windows["tiny/w8"])) <= set(load_encoder(tokenizer)("t\n"))

    manifest = written.manifest.read()["tiny"]
    assert (manifest.source, manifest.split, manifest.documents) == ("tiny-text==1.0", "test", 10)
    assert manifest.tokens == sum(40 + number for number in range(10)) + 2 * 9
    assert manifest.whole_split is True
    assert manifest.tokens_used == {"w8": 128, "w64": 128, "w12s4": 128}
    assert written.record.read().key == "tiny-00000000"


@pytest.mark.usefixtures("corpora")
def test_a_short_evaluation_text_names_the_dataset(tokenizer, tmp_path):
    with pytest.raises(DataError, match="dataset 'tiny': a window of 1024 tokens does not fit"):
        cut(tokenizer, tmp_path / "out", protocols=("w1024",))


@pytest.mark.usefixtures("corpora")
def test_a_text_that_is_too_short_tells_the_size_of_its_splits(tokenizer, tmp_path):
    there = r"\(what there is: calibration 1,635 tokens in 30 documents; validation 0 tokens in 0 documents; test 445 "
    with pytest.raises(DataError, match=rf"'tiny': a window of 1024 .* give more text {there}tokens in 10 documents\)"):
        cut(tokenizer, tmp_path / "out", protocols=("w1024",))
    with pytest.raises(DataError, match=rf"'tiny': the calibration text fills .* give more text {there}"):
        draw(tokenizer, tmp_path / "out", samples=1000)


def test_only_the_split_that_is_read_of_a_hub_dataset_is_counted(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/a.jsonl").write_text('{"text": "ten bytes!"}\n')
    source = DatasetSource(hub="a/b", path=str(tmp_path / "copy"), files={"train": "a.jsonl"})
    with pytest.raises(DataError, match=r"\(what there is: train 10 tokens in 1 document\)"):
        draw(tokenizer, tmp_path / "out", texts={"tiny": TextSpec(source=source)})


def test_the_manifests_tell_how_many_documents_were_divided(tokenizer, tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"{number} " * (4000 if number < 3 else 40))
    local = TextSpec(source=DatasetSource(local=f"{tmp_path}/*.txt"))
    facts = facts_of(tokenizer, 1024)
    calibrate(job(calibration(texts={"tiny": local}), tmp_path / "calibration", model=facts))
    spec = EvaluationTextSpec(texts={"tiny": local}, protocols=("w8",), max_tokens=64)
    cut_evaluation_text(job(spec, tmp_path / "test", model=facts))
    drawn = CalibrationFolder(tmp_path / "calibration").manifest.read().texts["tiny"]
    tested = EvaluationTextFolder(tmp_path / "test").manifest.read()["tiny"]
    assert (drawn.divided, tested.divided) == (3, 3)
    assert tested.documents > 3


@pytest.mark.usefixtures("corpora")
def test_manifests_of_other_texts_are_as_they_were(tokenizer, tmp_path):
    written = draw(tokenizer, tmp_path / "out").manifest
    assert "divided" not in written.path.read_text()
    assert written.read().texts["tiny"].divided == 0


def test_tokenizing_in_batches_changes_nothing(monkeypatch):
    documents = [Document(str(number), "x" * number) for number in range(1, 30)]
    whole, count = tokenize(documents, lambda text: list(text.encode()))
    monkeypatch.setattr(evaluation_text, "BATCH_CHARACTERS", 50)
    batched, _ = tokenize(documents, lambda text: list(text.encode()))
    assert count == 29
    assert np.array_equal(whole, batched)
    assert bytes(whole.tolist()).decode() == "\n\n".join(document.text for document in documents)


def test_a_stream_stops_after_enough_tokens(monkeypatch):
    monkeypatch.setattr(evaluation_text, "BATCH_CHARACTERS", 50)
    endless = (Document(str(number), "x" * 10) for number in itertools.count())
    tokens, count = tokenize(endless, lambda text: list(text.encode()), enough=200)
    assert 200 <= len(tokens) < 300
    assert count == 20


def test_importing_the_steps_is_cheap():
    code = (
        "import sys, prunescope.data.calibration, prunescope.data.evaluation_text, prunescope.data.embedded;"
        "print({'torch', 'transformers', 'datasets', 'mlflow', 'snakemake', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.usefixtures("corpora")
def test_a_mixture_draws_by_weight(tokenizer, tmp_path):
    mixture = {"texts": {"one": TEXT, "two": TEXT}, "weights": {"one": 3, "two": 1}}
    written = draw(tokenizer, tmp_path / "out", dataset="mixed", **mixture, samples=8)
    manifest = written.manifest.read()
    assert {name: text.windows for name, text in manifest.texts.items()} == {"one": 6, "two": 2}
    assert manifest.source == "tiny-text==1.0 + tiny-text==1.0"
    assert written.samples.read()["input_ids"].shape == (8, 32)


@pytest.mark.parametrize(
    ("samples", "weights", "expected"),
    [(10, [1, 1], [5, 5]), (10, [9, 1], [8, 2]), (5, [100, 1], [4, 1]), (7, [1, 1, 1], [3, 2, 2])],
)
def test_shares_add_up_and_leave_no_text_out(samples, weights, expected):
    names = [f"t{i}" for i in range(len(weights))]
    told = calibration(
        texts=dict.fromkeys(names, TEXT), weights=dict(zip(names, weights, strict=True)), samples=samples
    )
    assert list(shares(told).values()) == expected


def test_a_mixture_needs_a_sample_per_text():
    told = calibration(texts={"one": TEXT, "two": TEXT}, samples=1)
    with pytest.raises(ConfigError, match="fewer than the 2 texts"):
        shares(told)


def test_a_window_longer_than_the_model_takes(tokenizer, tmp_path):
    said = r"calibration\.seq_len = 32: longer than the model's window; allowed: 8 to 16"
    with pytest.raises(ConfigError, match=said):
        draw(tokenizer, tmp_path / "out", context=16)
    with pytest.raises(ConfigError, match=r"evaluation\.protocols: window = 64: longer than .*; allowed: 8 to 32"):
        cut(tokenizer, tmp_path / "out", context=32)


@pytest.mark.usefixtures("corpora")
def test_the_refit_begins_with_the_calibration_windows_and_takes_what_there_is(tokenizer, tmp_path):
    calibrated = draw(tokenizer, tmp_path / "calibration").samples.read()["input_ids"]

    def drawn(**changes) -> RefitTextFolder:
        spec = RefitTextSpec(**dict(calibration(**changes)))
        draw_refit_text(job(spec, tmp_path / "refit", model=facts_of(tokenizer)))
        return RefitTextFolder(tmp_path / "refit")

    folder = drawn(samples=1000)
    tokens = folder.samples.read()["input_ids"]
    assert folder.manifest.read().samples == len(tokens) < 100
    assert tokens[: len(calibrated)].equal(calibrated)
    with pytest.raises(DataError, match=r"fills one window of 32 tokens, and the refit holds one out"):
        drawn(samples=1)
