"""An experiment that is trained after pruning: its own steps, what runs again, and what page and tracking show."""

import json
from importlib.util import find_spec

import pytest
import yaml
from safetensors.numpy import load_file

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.config.resolve import parse_config, resolve
from prunescope.data.reading import read_documents
from prunescope.reporting.comparison.frame import read_comparison
from prunescope.steps.texts import leakage
from prunescope.tracking.gather import gather
from workflow.test_dag import change_configuration

pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed (extra: recover)")

BASE = "results/tiny/taylor_T0_20_words"
EXPERIMENT = f"{BASE}_recover"
AFTER = {"recovered": 1, "page": 1, "track": 1}
TOLD = {"tokens": 640, "seq_len": 16, "batch_size": 2, "accumulation": 2, "learning_rate": 0.01, "rank": 4}


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    project = finished.copy(tmp_path_factory.mktemp("recovery") / "project")
    change_configuration(project, recovery=TOLD)
    project.run(EXPERIMENT)
    return project


def test_experiments_without_it_do_nothing_new(trained):
    assert trained.jobs() == {}


def test_it_is_complete_and_evaluated_like_the_rest(trained):
    assert trained.jobs(EXPERIMENT) == {}
    folder = trained.folder / EXPERIMENT
    content = json.loads((folder / "evaluation/recovered.json").read_text())
    for text, protocols in content["recovered"].items():
        for protocol, result in protocols.items():
            before = content["pruned"][text][protocol]
            assert result["perplexity"] < before["perplexity"]
            assert result["sha256"] == before["sha256"]
            ratio = content["ratio_to_pruned"][text][protocol]
            assert ratio["ratio"] == pytest.approx(result["perplexity"] / before["perplexity"])
            assert ratio["interval"][0] < ratio["ratio"] < ratio["interval"][1]
            assert result["leakage"] == "source"
    page = (folder / "README.md").read_text()
    assert "LoRA (rank 4" in page
    assert "| text | protocol | unpruned | pruned | trained |" in page
    assert "|  | unpruned | pruned | trained |" in page  # what they write
    assert f'path = "{EXPERIMENT}/recovered"' in page
    assert "It was not trained" not in (folder / "recovered/README.md").read_text()
    assert "It was not trained" in (folder / "model/README.md").read_text()
    assert "recovery" in json.loads((folder / "evaluation/card.json").read_text())
    assert [ExperimentFolder(trained.folder / name).final.path.name for name in (BASE, EXPERIMENT)] == [
        "model",
        "recovered",
    ]
    run = gather(folder)
    trained_to = content["recovered"]["words"]["w16"]["perplexity"]
    assert run.metrics["ppl_recovered/words_w16"] == pytest.approx(trained_to, rel=1e-5)
    assert list(run.curves["recover/loss"]) == list(range(1, 11))
    assert run.tags["prunescope.checkpoint"] == f"{EXPERIMENT}/recovered"
    assert not any(name.startswith("recovered/") for name in run.artifacts)
    column = read_comparison([folder]).numbers["trained perplexity words w16"]
    assert column.tolist() == [content["recovered"]["words"]["w16"]["perplexity"]]


def test_no_test_document_is_trained_on(trained):
    (text,) = trained.folder.glob("results/tiny/_shared/recovery_text/*/")
    ids = set(json.loads((text / "manifest.json").read_text())["texts"]["words"]["document_ids"])
    content = yaml.safe_load((trained.folder / "config/config.yaml").read_text())
    content["datasets"]["words"]["local"] = str(trained.folder / "words/*.txt")
    source = parse_config(content).datasets["words"]
    assert ids <= {document.id for document in read_documents(source, "calibration")}
    held_out = [document.text.split() for document in read_documents(source, "test")]
    vocabulary = json.loads((trained.folder / "tiny_model/tokenizer.json").read_text())["model"]["vocab"]
    words = {number: word for word, number in vocabulary.items()}
    windows = [[words[token] for token in row] for row in load_file(text / "samples.safetensors")["input_ids"]]
    stretches = {tuple(row[at : at + 12]) for row in windows for at in range(len(row) - 11)}
    for document in held_out:
        assert not {tuple(document[at : at + 12]) for at in range(len(document) - 11)} & stretches


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"learning_rate": 0.02}, {"recovery": 1}),
        ({"tokens": 320}, {"recovery_text": 1, "recovery": 1}),
        ({"dataset": "words"}, {"recovery": 1}),
    ],
)
def test_a_setting_trains_again_and_cuts_nothing(trained, change, expected):
    change_configuration(trained, recovery=TOLD | change)
    try:
        assert trained.jobs(EXPERIMENT) == expected | AFTER
        assert trained.jobs() == {}
    finally:
        change_configuration(trained, recovery=TOLD)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "wrods"}, "recovery.dataset: unknown dataset 'wrods'; did you mean 'words'?"),
        ({"seq_len": 65}, "recovery.seq_len = 65: longer than the model's window"),
        ({"rank": 0}, "recovery.rank = 0: must be a whole number at least 1"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(trained, change, said):
    change_configuration(trained, recovery=TOLD | change, models={"tiny": {"path": "tiny_model", "context": 64}})
    try:
        done = trained.run("--dry-run", EXPERIMENT, check=False)
    finally:
        change_configuration(trained, recovery=TOLD, models={"tiny": {"path": "tiny_model"}})
    assert done.returncode != 0
    assert said in done.stderr + done.stdout


def test_what_is_trained_on_counts_as_known():
    """The leakage of the recovered model is that of both texts; one file read in two ways may share its rows."""
    content = {
        "models": {"m": {"hub": "a/b"}},
        "datasets": {
            "one": {"hub": "c/d"},
            "two": {"hub": "e/f", "splits": {"calibration": "test"}},
            "talk": {"hub": "g/h", "instruction": {"prompt": "q", "response": "a"}},
        },
        "evaluation": {"datasets": ["two"]},
        "recovery": {"dataset": "two"},
    }
    experiment = resolve(parse_config(content), "m", "taylor_T0_20_one_recover")
    assert leakage(experiment) == {"two": "none"}
    assert leakage(experiment, "two") == {"two": "documents"}
