"""Zero-shot tasks: the numbers of lm-evaluation-harness called by hand, and sentences where it cannot run."""

import contextlib
import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jobs import job
from prunescope.artifacts.folders import ExperimentFolder, ZeroshotBaselineFolder
from prunescope.environment import DEVICE_MEMORY
from prunescope.errors import ConfigError, DataError
from prunescope.evaluation.zeroshot import run_baseline, run_final, run_tasks
from prunescope.models.loading import load_checkpoint
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.evaluation import ZeroshotBaselineSpec, ZeroshotSpec
from tiny import tiny_facts, tiny_model, uneven_plan

TASKS = Path(__file__).parents[1] / "fixtures/zeroshot"
ROWS = [json.loads(line) for line in (TASKS / "cats_and_dogs.jsonl").read_text().splitlines()]
TOLD = {"tasks": ("cats_and_dogs",), "task_dir": str(TASKS), "batch_size": 3}


def told(**settings) -> ZeroshotBaselineSpec:
    return ZeroshotBaselineSpec(dtype="float32", **settings)


BASELINE = told(**TOLD)

needs_lm_eval = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm-eval is not installed (extra: zeroshot)")


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A checkpoint whose tokenizer knows the words of the task."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    texts = [" ".join([row["beginning"], *row["endings"]]) for row in ROWS]
    words = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *sorted(set(" ".join(texts).split()))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    model = tiny_model().float()
    model.save_pretrained(tmp_path / "source")
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(tmp_path / "source")
    return tiny_facts(model, tmp_path / "source")


@needs_lm_eval
def test_numbers_are_those_of_the_harness_and_of_a_naive_loop(source, tmp_path):
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    write_checkpoint(source, uneven_plan(source), tmp_path / "e/model")
    run_baseline(job(BASELINE, tmp_path / "baseline", model=source))
    spec = ZeroshotSpec(model="m", experiment="e", inputs={"zeroshot_baseline": "k"}, dtype="float32", **TOLD)
    run_final(job(spec, tmp_path / "e", zeroshot_baseline=tmp_path / "baseline"))
    experiment = ExperimentFolder(tmp_path / "e")
    measured = experiment.zeroshot.read()

    with contextlib.chdir(TASKS):
        by_hand = simple_evaluate(
            model="hf",
            model_args={"pretrained": source.path, "dtype": "float32"},
            device="cpu",
            tasks=["cats_and_dogs"],
            task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        )["results"]["cats_and_dogs"]
    for metric in ("acc", "acc_norm"):
        assert measured.models["baseline"]["cats_and_dogs"][metric] == {
            "value": by_hand[f"{metric},none"],
            "stderr": by_hand[f"{metric}_stderr,none"],
        }

    model = load_checkpoint(tmp_path / "e/model", torch.float32, torch.device("cpu"))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source.path)
    right = [naive_choice(model, tokenizer, row) == row["answer"] for row in ROWS]
    share = sum(right) / len(right)
    found = measured.models["pruned"]["cats_and_dogs"]["acc"]
    assert found["value"] == pytest.approx(share)
    assert found["stderr"] == pytest.approx(math.sqrt(share * (1 - share) / (len(right) - 1)))
    assert measured.settings["samples"]["cats_and_dogs"]["effective"] == len(ROWS)
    metrics = experiment.named(ExperimentFolder.record, step="zeroshot").read().metrics
    assert set(metrics) == {
        f"{prefix}/cats_and_dogs_{metric}"
        for prefix in ("zeroshot", "zeroshot_baseline")
        for metric in ("acc", "acc_norm")
    }


@needs_lm_eval
def test_a_model_larger_than_its_device_is_scored_as_well(source, tmp_path, monkeypatch, caplog):
    for name, limit in {"whole": "1", "offloaded": "0.00001"}.items():
        assert "layers are read" not in caplog.text
        monkeypatch.setenv(DEVICE_MEMORY, limit)
        with caplog.at_level("INFO"):
            run_baseline(job(BASELINE, tmp_path / name, model=source))
    assert "the layers are read once per batch of 3 requests: raise evaluation.zeroshot.batch_size" in caplog.text
    whole, offloaded = (ZeroshotBaselineFolder(tmp_path / name).scores.read() for name in ("whole", "offloaded"))
    assert offloaded == whole


def naive_choice(model, tokenizer, row):
    """Return the ending with the largest sum of log p."""
    scores = []
    for ending in row["endings"]:
        beginning = tokenizer(row["beginning"])["input_ids"]
        ids = beginning + tokenizer(ending)["input_ids"]
        logs = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
        scores.append(sum(logs[i - 1, ids[i]].item() for i in range(len(beginning), len(ids))))
    return max(range(len(scores)), key=scores.__getitem__)


@needs_lm_eval
def test_a_limit_and_shots_reach_the_harness(source):
    settings = run_tasks(Path(source.path), told(**TOLD, limit=4, num_fewshot=2)).settings
    assert settings["samples"]["cats_and_dogs"] == {"original": 10, "effective": 4}
    assert settings["num_fewshot"] == {"cats_and_dogs": 2}


@needs_lm_eval
def test_unknown_tasks_and_unreachable_data_are_sentences(source, tmp_path, monkeypatch):
    checkpoint = Path(source.path)
    with pytest.raises(ConfigError, match=r"zeroshot\.tasks\.0 = 'boolqq': .* no such task; did you mean .*'boolq'"):
        run_tasks(checkpoint, told(tasks=("boolqq",)))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    task = (TASKS / "cats_and_dogs.yaml").read_text().replace("dataset_path: json", "dataset_path: far/away")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/far.yaml").write_text(task)
    with pytest.raises(DataError, match=r"could not be read \(.*far/away.*come from the hub; .*task_dir a folder"):
        run_tasks(checkpoint, told(tasks=("cats_and_dogs",), task_dir=str(tmp_path / "tasks")))


def test_without_the_harness_there_is_one_sentence(source, tmp_path, monkeypatch):
    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"not installed: install prunescope\[zeroshot\]"):
        run_baseline(job(BASELINE, tmp_path / "baseline", model=source))
    assert not (tmp_path / "baseline").exists()
