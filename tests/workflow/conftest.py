"""A project in a temporary folder that runs on a tiny model and a local text, with the real Snakefile."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tiny import tiny_model

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORDS = ["the", "cat", "dog", "sat", "ran", "on", "mat", "far", "away", "and", "then", "slept", "."]


@dataclass
class Project:
    """A folder with the workflow, and the folder of the programs that are run in it."""

    folder: Path
    programs: Path

    def run(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        return self.call("snakemake", "--cores", "2", *arguments, check=check, **environment)

    def prunescope(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        return self.call("prunescope", *arguments, check=check, **environment)

    def call(self, name: str, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess:
        # As for a user who has not activated the environment.
        path = ":".join(folder for folder in os.environ["PATH"].split(":") if Path(folder) != BIN)
        variables = os.environ | {"PATH": path} | environment
        command = [str(self.programs / name), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=variables)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def cold(self) -> "Project":
        """The same folder, with programs that start as a user's do."""
        return Project(self.folder, BIN)

    def copy(self, folder: Path) -> "Project":
        """Return a copy, times of files preserved."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, self.programs)

    def jobs(self, *targets: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run plans (targets rules left out)."""
        out = self.run("--dry-run", "--printshellcmds", *targets)
        lines = (out.stdout + out.stderr).splitlines()
        if any("Nothing to be done" in line for line in lines):
            return {}
        start = next(i for i, line in enumerate(lines) if line.startswith("job ")) + 2
        counts = {}
        for line in lines[start:]:
            name, _, count = line.rpartition(" ")
            if not name or name.strip() == "total":
                break
            if "/" not in name and not name.startswith("sweep_"):
                counts[name.strip()] = int(count)
        return counts


def configuration() -> dict:
    return {
        "targets": ["tiny/taylor_T1_tau0_20_words"],
        "models": {"tiny": {"path": "tiny_model"}},
        "datasets": {"words": {"local": "words/*.txt"}},
        "calibration": {"samples": 6, "seq_len": 16},
        "gradients": {"batch_size": 2},
        "limits": {"width_multiple": 4},
        "evaluation": {"datasets": ["words"], "protocols": ["w8", "w16", "w12s4"], "max_tokens": 128},
    }


def one_token_per_word() -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def make_project(folder: Path, programs: Path, tokenizer: Tokenizer | None = None, **shape: int) -> Project:
    """`shape`: changes of the tiny model."""
    tokenizer = tokenizer or one_token_per_word()
    for name in ("Snakefile", "workflow/rules", "workflow/report", "profiles"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(configuration()))
    model = tiny_model(vocab_size=tokenizer.get_vocab_size(), **shape).float()
    model.save_pretrained(folder / "tiny_model")
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder / "tiny_model")
    (folder / "words").mkdir()
    for number in range(40):
        words = [WORDS[(number * 7 + i * i * (1 + number // 13)) % len(WORDS)] for i in range(40)]
        (folder / f"words/{number}.txt").write_text(" ".join(words))
    return Project(folder, programs)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, programs) -> Project:
    """A project whose default experiment is complete; tests must leave it so. Workers have copies of the same one."""
    original = Project(programs / "finished", programs)
    with FileLock(f"{original.folder}.lock"):
        if not original.folder.exists():
            project = make_project(tmp_path_factory.mktemp("project"), programs)
            project.run()
            project.copy(original.folder)
    return original.copy(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def project(tmp_path, programs) -> Project:
    return make_project(tmp_path, programs)


@pytest.fixture
def copy(finished, tmp_path) -> Project:
    """A finished project of one's own, times of files preserved."""
    return finished.copy(tmp_path / "copy")
