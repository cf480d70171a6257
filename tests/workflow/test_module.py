"""The workflow as a module of another one, in a folder that holds nothing of it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

OUTER = """
configfile: "config/config.yaml"


module prunescope:
    snakefile:
        "{snakefile}"
    config:
        config["prunescope"]


use rule * from prunescope as prunescope_*


rule summary:
    input:
        "results/tiny/taylor_T0_20_words/evaluation/perplexity.json",
    output:
        "summary.txt",
    shell:
        "cp {{input}} {{output}}"
"""


@pytest.fixture
def outer(finished, tmp_path):
    for name in ("tiny_model", "words"):
        shutil.copytree(finished.folder / name, tmp_path / name)
    (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=ROOT / "Snakefile"))
    (tmp_path / "config").mkdir()
    outer = replace(finished, folder=tmp_path)
    configure(outer, yaml.safe_load((finished.folder / "config/config.yaml").read_text()))
    return outer


def configure(outer, content):
    (outer.folder / "config/config.yaml").write_text(yaml.safe_dump({"prunescope": content, "mine": 1}))


def test_another_workflow_asks_for_a_file_of_an_experiment(outer):
    jobs = outer.jobs("summary.txt")
    assert jobs["summary"] == jobs["prunescope_gradients"] == jobs["prunescope_evaluation"] == 1
    assert "prunescope_page" not in jobs


def test_a_wrong_setting_is_said_to_be_the_modules(outer):
    configure(outer, {"limits": {"max_rat": 0.5}})
    done = outer.run("--dry-run", "summary.txt", check=False)
    assert done.returncode != 0
    assert "config of the module prunescope: unknown" in done.stdout + done.stderr


def test_without_a_prefix_experiments_are_targets(outer):
    text = (outer.folder / "Snakefile").read_text().replace(" as prunescope_*", " exclude all as *")
    (outer.folder / "Snakefile").write_text(text)
    assert outer.jobs("results/tiny/taylor_T0_20_words")["page"] == 1
