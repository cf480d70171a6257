"""The front door writes the configuration that it needs, and runs one plain command."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from prunescope.cli import app, prune
from prunescope.files import write_text

SOURCES = {"models": {"known": {"hub": "org/known"}}, "datasets": {"wiki": {"hub": "org/wiki"}}}


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type the command in a project: return the command that it ran, or the sentence that stopped it."""
    monkeypatch.chdir(tmp_path)
    write_text(Path("config/config.yaml"), yaml.safe_dump(SOURCES | {"evaluation": {"datasets": ["wiki"]}}))
    write_text(Path("models/My Model/config.json"), "{}")
    for name in ("a", "b"):
        write_text(Path(f"texts/{name}.txt"), "text")
    write_text(Path("texts/other.jsonl"), "{}")
    ran: list[list[str]] = []
    monkeypatch.setattr(prune.os, "execv", lambda program, command: ran.append(command))

    def run(*arguments: str) -> str:
        ran.clear()
        done = CliRunner().invoke(app, ["prune", *arguments])
        return " ".join(ran[0]) if ran else str(done.exception)

    return run


def test_a_folder_and_files_are_declared(typed):
    told = typed("models/My Model", "--text", "texts/a.txt", "texts/b.txt", "--criterion", "gate", "--percent", "12.5")
    own = Path("config/my/MyModel_texts.yaml")
    assert told == f"snakemake --cores all --configfile {own} -- results/MyModel/gate_T0_12.5_texts"
    said = yaml.safe_load(own.read_text())
    assert said["models"]["MyModel"]["path"] == str(Path("models/My Model").resolve())
    assert said["models"]["MyModel"]["settings"] == {"evaluation": {"datasets": ["texts"]}}
    assert said["datasets"] == {"texts": {"local": str(Path("texts/*.txt").absolute())}}


def test_what_is_known_needs_no_file(typed):
    assert typed("known", "--text", "wiki") == "snakemake --cores all results/known/auto_20_wiki"
    assert typed("org/known", "--text", "wiki", "-n") == "snakemake --dry-run --cores all results/known/auto_20_wiki"
    assert not Path("config/my").exists()


def test_a_file_that_says_something_else_is_kept(typed):
    command = typed("org/new", "--text", "texts")
    own = Path("config/my/new_texts.yaml")
    own.write_text(own.read_text() + "limits: {max_rate: 0.5}\n")
    before = own.read_text()
    assert typed("org/new", "--text", "texts") == command  # it says more
    assert own.read_text() == before
    own.write_text(before.replace("org/new", "org/old"))
    assert "says models.new.hub = 'org/old', not 'org/new'" in typed("org/new", "--text", "texts")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "--text", "wiki"), "'nowhere' is no folder here, no model of config/config.yaml (known)"),
        (("texts", "--text", "wiki"), "texts: no config.json there"),
        (("known", "--text", "wiki", "--percent", "100"), "--percent 100: allowed: above 0, below 100"),
        (("known", "--text", "wiki", "--percent", "0.2"), "did you mean auto_20_wiki?"),
        (("known", "--text", "wiki", "--criterion", "gat"), "--criterion gat: did you mean 'gate'"),
        (("known", "--text", "wikki"), "matches no .txt, .jsonl, .parquet file"),
        (("known", "--text", "texts/a.txt", "texts/other.jsonl"), "several files must be all .txt files of one folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(typed, arguments, said):
    assert said in typed(*arguments)
    assert not Path("config/my").exists()
