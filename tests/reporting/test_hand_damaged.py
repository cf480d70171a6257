"""Files that somebody edited and broke: one sentence that names the file and the step that makes it."""

import json

import pytest
from folders import write

from prunescope.artifacts.folders import ExperimentFolder, ModelFolder
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.record import StepRecord
from prunescope.errors import DataError, PrunescopeError
from prunescope.reporting.page.exports import exports_section
from tiny import tiny_facts, tiny_model


@pytest.fixture
def folder(tmp_path):
    return ExperimentFolder(write(tmp_path, "taylor_T0_20_a", {"a w8": 20.0}))


def change(entry, edit):
    content = json.loads(entry.path.read_text())
    edit(content)
    entry.path.write_text(json.dumps(content))


def test_an_identity_without_the_key_of_a_step(folder):
    change(folder.identity, lambda content: content.update(shared={}))
    with pytest.raises(DataError, match=r"experiment\.json is damaged: shared has no key of the step model; .*: page"):
        folder.input(ModelFolder)


def test_an_identity_of_version_0_1(folder):
    change(folder.identity, lambda content: content.update(shared={"model": "results/M/_shared/model/source-1"}))
    with pytest.raises(DataError, match=r"model = 'results/.*' is a folder, as version 0\.1 wrote, and no key; delete"):
        folder.identity.read()


def test_perplexities_that_do_not_fit_together(folder):
    change(folder.perplexity, lambda content: content.update(ratio={}))
    with pytest.raises(DataError, match="ratio was measured on other texts or protocols than baseline"):
        folder.perplexity.read()


def test_a_record_without_its_numbers(folder):
    folder.uniform.path.mkdir(parents=True)
    folder.named(ExperimentFolder.record, step="uniform").write(StepRecord(step="uniform", key="k"))
    with pytest.raises(DataError, match=r"records/uniform\.json is damaged: it has no 'export/.*step again: uniform"):
        exports_section(folder)


def test_facts_without_a_block(tmp_path):
    entry = ModelFolder(tmp_path).facts
    entry.write(tiny_facts(tiny_model(), "."))
    entry.read()
    change(entry, lambda content: content["blocks"].pop())
    with pytest.raises(DataError, match=r"model\.json is damaged: .*blocks are not those of \d layers.*again: model"):
        entry.read()


def test_a_plan_that_leaves_nothing(tmp_path):
    facts = tiny_facts(tiny_model(), ".")
    removed = {}
    for block in facts.blocks:
        removed.setdefault(str(block.layer), {})[block.block] = f"0-{block.groups - 1}"
    with pytest.raises(
        PrunescopeError, match=r"plan\.json removes every group of every layer, so that no model is left"
    ):
        PlanFile(model=facts.name, removed=removed).plan(facts)
    removed["0"]["mlp"] = ""
    assert PlanFile(model=facts.name, removed=removed).plan(facts).kept_layers == [0]


def test_an_experiment_is_found_from_any_file_in_it(folder, monkeypatch, tmp_path):
    for path in (folder.path, folder.plan.path, folder.checkpoint.path, folder.page.path):
        assert ExperimentFolder.containing(path) == folder
    monkeypatch.chdir(folder.summary.path.parent)
    assert ExperimentFolder.containing(folder.summary.path.relative_to(folder.summary.path.parent)) == folder
    (tmp_path / "results").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert ExperimentFolder.containing(folder.path.relative_to(tmp_path)).path.resolve() == folder.path
    with pytest.raises(DataError, match=r"M is no experiment and in none; give results/\{model\}/\{experiment\}"):
        ExperimentFolder.containing(folder.path.parent)
    with pytest.raises(DataError, match=r"is not there; .*did you mean '.*taylor_T0_20_a'"):
        ExperimentFolder.containing(folder.path.with_name("taylor_T0_20_b"))
