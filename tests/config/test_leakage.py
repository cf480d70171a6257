"""What calibration gives away of a test text, from the configuration alone."""

import pytest

from prunescope.config.leakage import worst_leakage
from prunescope.config.resolve import load_config, parse_config, resolve
from prunescope.config.sections import DatasetSource
from prunescope.steps.texts import leakage

C4 = {"hub": "allenai/c4", "files": {"train": "a.json.gz", "validation": "b.json.gz"}}
HELD_OUT = {"calibration": "train", "test": "validation"}
SAME = {"calibration": "train", "test": "train"}


def source(**fields):
    return DatasetSource(**fields)


@pytest.mark.parametrize(
    ("calibration", "test", "expected"),
    [
        (C4 | {"splits": HELD_OUT}, C4 | {"splits": HELD_OUT}, "source"),
        (C4 | {"splits": SAME}, C4 | {"splits": SAME}, "documents"),
        (C4 | {"splits": SAME}, C4 | {"splits": HELD_OUT}, "source"),
        # Two configurations of a repository: the split has the same name and other files.
        (C4 | {"splits": SAME}, {"hub": "allenai/c4", "files": {"train": "de.gz"}, "splits": SAME}, "source"),
        (C4, {"hub": "Salesforce/wikitext"}, "none"),
        (C4, {"local": "*.txt"}, "none"),
        ({"local": "nothing/*.txt"}, {"local": "nothing/*.txt"}, "none"),
    ],
)
def test_leakage_follows_source_and_split(calibration, test, expected):
    assert worst_leakage([source(**calibration)], source(**test)) == expected


def test_local_texts_that_overlap_share_a_source(tmp_path):
    for name in ("a.txt", "b.txt", "c.jsonl"):
        (tmp_path / name).write_text("text")
    one, same, two, other = (source(local=f"{tmp_path}/{pattern}") for pattern in ("*.txt", "?.txt", "a*", "*.jsonl"))
    assert worst_leakage([one], same) == "source"
    assert worst_leakage([one], other) == "none"
    assert worst_leakage([other, one], same) == "source"
    # What share of a text a document is, and so where it is divided, depends on the other files.
    assert worst_leakage([one], two) == "documents"
    assert worst_leakage([other, two], one) == "documents"


def test_a_file_that_is_read_in_two_ways_may_share_its_rows(tmp_path):
    (tmp_path / "talk.jsonl").write_text("")
    text = source(local=f"{tmp_path}/*.jsonl", text="q")
    talk = source(local=f"{tmp_path}/*.jsonl", instruction={"prompt": "q", "response": "a"})
    assert worst_leakage([text], text) == "source"
    assert worst_leakage([talk], text) == "documents"


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("wiki", ("source", "none")), ("mixed", ("source", "source")), ("c4", ("none", "none"))],
)
def test_an_experiment_knows_its_leakage(dataset, expected):
    experiment = resolve(load_config(), "SmolLM2-135M", f"taylor_T0_20_{dataset}")
    assert leakage(experiment) == dict(zip(("wiki", "hansard"), expected, strict=True))


def test_every_text_of_the_configuration_can_be_evaluated():
    texts = ["wikitext2", "ptb", "c4", "wiki", "hansard"]
    content = load_config().model_dump() | {"evaluation": {"datasets": texts}}
    experiment = resolve(parse_config(content), "Mistral-7B-v0.3", "taylor_T0_20_c4")
    assert leakage(experiment) == dict.fromkeys(texts, "none") | {"c4": "source"}
