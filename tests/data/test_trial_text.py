"""Trial windows: of documents that neither calibration nor a test reads, whatever the text is."""

import gzip
import json
from pathlib import Path

import pytest

from jobs import facts_of, job
from prunescope.artifacts.folders import CalibrationFolder, EvaluationTextFolder, TrialTextFolder
from prunescope.config.patches import merge
from prunescope.config.resolve import parse_config, resolve
from prunescope.data import evaluation_text
from prunescope.data.calibration import calibrate
from prunescope.data.documents import split_of
from prunescope.data.evaluation_text import cut_evaluation_text
from prunescope.data.reading import read_documents
from prunescope.data.tokenizer import load_encoder
from prunescope.data.trial_text import draw_trial_text
from prunescope.steps.planned import Planned
from prunescope.steps.sources import CorpusSpec
from prunescope.steps.texts import TrialTextSpec

EMBEDDED = {"wheel": "tiny-text==1.0", "sha256": "0" * 64, "member": "x", "member_sha256": "0" * 64}
SPLITS = {"calibration": "train", "validation": "validation", "test": "test"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def sentence(number: int) -> str:
    """A document that no other one shares twelve characters with."""
    return " ".join(f"{number * 97 + i:04d}{LETTERS[(number + i) % 26]}" for i in range(30))


@pytest.fixture
def sources(tmp_path, monkeypatch) -> dict:
    """Datasets of every origin, with their documents on the disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(evaluation_text, "STREAM_TOKENS", 2000)
    monkeypatch.setattr(evaluation_text, "BATCH_CHARACTERS", 1000)
    Path("mine").mkdir()
    for number in range(120):
        Path(f"mine/{number}.txt").write_text(sentence(number))
    for split in ("train", "validation", "test"):
        with gzip.open(f"mine/{split}.json.gz", "wt") as lines:
            start = 1000 * (1 + ["train", "validation", "test"].index(split))
            lines.writelines(json.dumps({"text": sentence(start + row)}) + "\n" for row in range(80))
    files = {split: f"{split}.json.gz" for split in ("train", "validation", "test")}
    hub = {"hub": "a/b", "path": str(tmp_path / "mine"), "files": files, "splits": SPLITS}
    shared = SPLITS | {"test": "validation"}
    told = {
        "wheel": {"embedded": EMBEDDED | {"reader": "hansard_csv"}},
        "mine": {"local": "mine/*.txt"},
        "hub": hub,
        "stream": hub | {"splits": shared, "streaming": True},
        "shared": hub | {"splits": shared},
        "mixed": {"mixture": {"mine": 2, "hub": 1}},
    }
    corpus = Path(CorpusSpec(name="wheel", source=told["wheel"]["embedded"]).file)
    corpus.parent.mkdir(parents=True)
    lines = [{"id": f"d{n}", "split": split_of(f"d{n}"), "text": sentence(9000 + n)} for n in range(120)]
    corpus.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return told


def planned(sources: dict, text: str, *evaluated: str, name: str = "taylor_T0_20", **change) -> Planned:
    Path("checkpoint").mkdir(exist_ok=True)
    Path("checkpoint/config.json").write_text("{}")
    content = {
        "models": {"m": {"path": "checkpoint"}},
        "datasets": sources,
        "calibration": {"samples": 6, "seq_len": 32},
        "evaluation": {"datasets": evaluated, "protocols": ["w32"], "max_tokens": 320},
        "trial": {"samples": 5},
    }
    return Planned(resolve(parse_config(merge(content, change)), "m", f"{name}_{text}"))


def drawn(experiment: Planned, tokenizer: Path, root: Path) -> TrialTextFolder:
    spec = experiment.tasks["trial_text"].spec
    draw_trial_text(job(spec, root / "trial", model=facts_of(tokenizer)))
    return TrialTextFolder(root / "trial")


def used(experiment: Planned, tokenizer: Path, root: Path) -> set[tuple[int, ...]]:
    """Every window of calibration and test."""
    told = {"model": facts_of(tokenizer)}
    calibrate(job(experiment.tasks["calibration"].spec, root / "calibration", **told))
    cut_evaluation_text(job(experiment.tasks["evaluation_text"].spec, root / "test", **told))
    tensors = [
        CalibrationFolder(root / "calibration").samples.read()["input_ids"],
        *EvaluationTextFolder(root / "test").windows.read().values(),
    ]
    return {tuple(part) for tensor in tensors for window in tensor.tolist() for part in pieces(window)}


def pieces(tokens: list[int], length: int = 12) -> list[tuple[int, ...]]:
    return [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]


@pytest.mark.parametrize(
    ("calibration", "evaluated", "expected"),
    [
        ("wheel", ["wheel"], ["wheel"]),
        ("mine", ["mine", "hub"], ["hub", "mine"]),
        ("hub", ["wheel"], ["hub", "wheel"]),
        ("mixed", ["mine"], ["hub", "mine"]),
        ("stream", ["stream"], ["stream"]),
        ("stream", ["mine"], ["mine", "stream"]),
        ("shared", ["mine"], ["mine", "shared"]),
        ("shared", ["mine", "shared"], ["mine"]),
    ],
)
def test_no_trial_window_is_in_calibration_or_test(sources, tokenizer, tmp_path, calibration, evaluated, expected):
    experiment = planned(sources, calibration, *evaluated)
    folder = drawn(experiment, tokenizer, tmp_path)
    windows = folder.windows.read()
    assert sorted(windows) == expected
    assert {tuple(tensor.shape) for tensor in windows.values()} == {(5, 32)}
    known = used(experiment, tokenizer, tmp_path)
    tried = {part for tensor in windows.values() for window in tensor.tolist() for part in pieces(window)}
    assert len(tried) > 50 and not tried & known
    manifest = folder.manifest.read()
    assert set(manifest.texts) | set(manifest.left_out) == {*evaluated, *planned_texts(experiment)}


def test_a_search_has_the_windows_after_those_of_the_trial(sources, tokenizer, tmp_path):
    for text in ("mine", "hub", "stream", "wheel"):
        experiment = planned(sources, text, text, trial={"samples": 2}, search={"samples": 4}, name="auto_20")
        tried = drawn(experiment, tokenizer, tmp_path / text).windows.read()[text].tolist()
        searching = job(experiment.tasks["search_text"].spec, tmp_path / text / "search", model=facts_of(tokenizer))
        draw_trial_text(searching)
        searched = searching.folder.windows.read()[text].tolist()
        both = planned(sources, text, text, trial={"samples": 6}, name="auto_20")
        assert (len(tried), len(searched)) == (2, 4)
        assert tried + searched == drawn(both, tokenizer, tmp_path / text / "both").windows.read()[text].tolist()
        found = {part for window in searched for part in pieces(window)}
        assert not found & used(experiment, tokenizer, tmp_path / text)
        assert not found & {part for window in tried for part in pieces(window)}


def test_where_the_trial_takes_all_windows_no_search_is_possible(sources, tokenizer, tmp_path):
    told = {"trial": {"samples": 1000}, "calibration": {"samples": 1000}}
    spec = planned(sources, "mine", "mine", name="auto_20", **told).tasks["search_text"].spec
    searching = job(spec, tmp_path / "search", model=facts_of(tokenizer))
    draw_trial_text(searching)
    assert searching.folder.manifest.read().left_out == {
        "mine": "dataset 'mine': the split 'validation' fills no window of 32 tokens beside the 1000 of the trial"
    }


def planned_texts(experiment: Planned) -> set[str]:
    return set(experiment.tasks["calibration"].spec.texts)


def test_a_split_that_is_tested_on_as_a_whole_is_left_out_and_said(sources, tokenizer, tmp_path):
    folder = drawn(planned(sources, "mine", "mine", "shared"), tokenizer, tmp_path)
    said = "its validation split has documents of its own test split"
    assert folder.manifest.read().left_out == {"shared": said}
    spec = planned(sources, "shared", "shared").tasks["trial_text"].spec
    alone = job(spec, tmp_path / "none", model=facts_of(tokenizer))
    draw_trial_text(alone)
    assert alone.folder.windows.read() == {} and alone.folder.manifest.read().texts == {}
    assert alone.folder.manifest.read().left_out == {"shared": said}


def test_a_short_split_gives_the_windows_that_it_has(sources, tokenizer, tmp_path):
    experiment = planned(sources, "mine", "mine", trial={"samples": 1000}, calibration={"samples": 1000})
    folder = drawn(experiment, tokenizer, tmp_path)
    encode = load_encoder(tokenizer)
    texts = [document.text for document in read_documents(experiment.experiment.texts["mine"], "validation")]
    longest = len(encode("\n\n".join(texts))) // 32
    windows = len(folder.windows.read()["mine"])
    assert 5 < longest <= windows < longest + 10  # a blank line between pieces too
    tokens = folder.record.read().metrics
    assert tokens == {"trial_text/mine/windows": windows}


def test_a_split_that_fills_no_window_or_cannot_be_read_is_left_out(sources, tokenizer, tmp_path):
    sources["hub"]["files"] = {"train": "train.json.gz", "test": "test.json.gz"}
    folder = drawn(planned(sources, "mine", "mine", "hub"), tokenizer, tmp_path)
    assert "`files` of" in folder.manifest.read().left_out["hub"]
    for file in Path("mine").glob("*.txt"):
        file.unlink()
    Path("mine/short.txt").write_text(sentence(0))
    folder = drawn(planned(sources, "mine", "mine"), tokenizer, tmp_path)
    assert "the split 'validation' fills no window of 32 tokens" in folder.manifest.read().left_out["mine"]


def test_the_windows_do_not_depend_on_the_seed_of_calibration(sources):
    keys = {planned(sources, "mine", "wheel", calibration={"seed": seed}).tasks["trial_text"].key for seed in (0, 1, 2)}
    assert len(keys) == 1
    swapped = {
        planned(sources, one, other).tasks["trial_text"].key for one, other in (("mine", "wheel"), ("wheel", "mine"))
    }
    assert len(swapped) == 1
    assert TrialTextSpec.step not in planned(sources, "mine", "mine", trial={"enabled": False}).tasks
