"""Keys change exactly when what a step depends on changes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic_core import to_jsonable_python

from prunescope.config.files import load_merged
from prunescope.config.patches import merge
from prunescope.config.resolve import parse_config, resolve
from prunescope.config.sections import Section
from prunescope.files import canonical
from prunescope.steps.fingerprints import fingerprint
from prunescope.steps.importance import GradientsSpec
from prunescope.steps.planned import Planned
from prunescope.steps.table import TABLE

RAW = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))
BASE = "taylor_T1_tau0_20_wiki"
MODEL = "SmolLM2-135M"
DEFAULTS = Path(__file__).with_name("defaults.json")
SHARED = ("model", "calibration", "gradients", "removal", "evaluation_text", "trial_text", "baseline")


def planned(name=BASE, model=MODEL, **change):
    return Planned(resolve(parse_config(merge(RAW, change)), model, name))


def steps(name=BASE, model=MODEL, **change):
    return {task.name: task for task in planned(name, model, **change).shared}


def own(name=BASE, model=MODEL, **change):
    return {task.name: task.spec for task in planned(name, model, **change).own}


def changed(before, after):
    return {name for name in before if name not in after or before[name].key != after[name].key}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("taylor_T2_tauinf_30_wiki", set()),
        ("magnitude_T1_20_wiki_max50_early30_w64", set()),
        ("taylor_T0_20_wiki", {"removal"}),  # not needed
        ("taylor_T1_20_wiki_s256", {"calibration", "gradients", "removal", "trial_text"}),
        ("taylor_T1_20_wiki_n64", {"calibration", "gradients", "removal"}),
        ("taylor_T1_20_hansard", {"calibration", "gradients", "removal"}),
    ],
)
def test_a_name_changes_only_what_depends_on_it(name, expected):
    assert changed(steps(), steps(name)) == expected


EVALUATED = {"models": {"SmolLM2-135M": {"settings": {"evaluation": {"max_tokens": 2048}}}}}
SAME = {"datasets": ["hansard", "wiki", "wiki"], "protocols": ["w512", "w512"]}
"""What the embedded model is evaluated on, in another order and twice."""
WHEEL = {"models": {"SmolLM2-135M": {"embedded": {"sha256": "0" * 64}}}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"gradients": {"dtype": "bfloat16"}}, {"gradients"}),
        ({"gradients": {"batch_size": 4}}, {"gradients"}),
        ({"removal": {"dtype": "bfloat16"}}, {"removal"}),
        ({"evaluation": {"dtype": "bfloat16"}}, {"baseline"}),
        (EVALUATED, {"evaluation_text", "baseline"}),
        (WHEEL, set(SHARED)),
        ({"datasets": {"hansard": {"embedded": {"sha256": "0" * 64}}}}, {"evaluation_text", "baseline", "trial_text"}),
        ({"trial": {"enabled": False}}, {"trial_text"}),
        ({"diagnosis": {"extreme_rate": 0.3}}, set()),
        ({"models": {"SmolLM2-135M": {"license": "other"}}}, set()),
        ({"tracking": {"enabled": False}}, set()),
        ({"report": {"language": "zh"}}, set()),
        ({"gradients": {"criteria": ["magnitude", "taylor"]}}, {"gradients"}),
        ({"models": {"SmolLM2-135M": {"settings": {"evaluation": SAME}}}}, set()),
        ({"method": {"prior": "similarity"}}, {"removal"}),
        ({"evaluation": {"zeroshot": {}, "efficiency": {}}}, set()),
    ],
)
def test_a_setting_changes_only_what_depends_on_it(change, expected):
    assert changed(steps(), steps(**change)) == expected


def test_the_key_of_the_prior_knows_the_estimate_where_it_decides():
    estimated, similar = {"removal": {"estimate": "first_order"}}, {"method": {"prior": "similarity"}}
    assert "estimate" not in steps()["removal"].spec.identity()  # as before there was a choice
    assert changed(steps(), steps(**estimated)) == {"removal"}
    assert not changed(steps(**similar), steps(**similar, **estimated))


def test_keys_do_not_depend_on_the_order_of_the_configuration():
    reordered = {"models": dict(reversed(RAW["models"].items()))} | dict(reversed(RAW.items()))
    again = Planned(resolve(parse_config(reordered), "SmolLM2-135M", BASE))
    assert changed(steps(), {task.name: task for task in again.shared}) == set()


def test_a_raised_version_changes_the_step_and_those_after_it(monkeypatch):
    before = steps()
    assert before["gradients"].spec.inputs["calibration"] == before["calibration"].key
    keys = {name: task.key for name, task in before.items()}
    monkeypatch.setattr(type(before["calibration"].spec), "version", 7)
    assert {name for name, task in steps().items() if task.key != keys[name]} == {
        "calibration", "gradients", "removal",
    }  # fmt: skip


def test_a_raised_version_runs_an_experiments_own_step_again(monkeypatch):
    spec = own(f"{BASE}_refit")["refit"]
    before = spec.decides()
    assert json.loads(before).items() >= spec.identity().items()
    monkeypatch.setattr(type(spec), "version", 7)
    assert json.loads(spec.decides()) == json.loads(before) | {"version": 7}
    monkeypatch.setattr(type(spec), "version", 1)
    assert json.loads(spec.decides()) == spec.identity()


def test_what_is_told_to_a_step_does_not_mention_other_settings():
    before = {name: step.spec.text() for name, step in steps().items()}
    after = {name: step.spec.text() for name, step in steps(limits={"max_rate": 0.4}, **EVALUATED).items()}
    assert {name for name in before if before[name] != after[name]} == {"evaluation_text", "baseline"}


@pytest.mark.parametrize("name", [BASE, "taylor_T1_tauinf_20_wiki_log_clip5_max50_early30_recover"])
def test_a_step_records_the_key_that_the_page_is_told(name):
    """A step computes it from the line that it was given."""
    specs = own(name, evaluation={"zeroshot": {}, "efficiency": {}})
    told = specs["page"].steps
    assert {step: type(specs[step]).model_validate_json(specs[step].text()).record_key for step in told} == told
    assert set(specs) - set(told) == {
        "page", "track", "plot_gradient_analysis", "plot_pruning_rates", "plot_importance_heatmap", "plot_trials",
    }  # fmt: skip


def test_local_copies_are_known_by_content_not_by_place(tmp_path):
    keys = []
    for place in ("one", "two", "three"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"other" if place == "three" else b"weights")
        change = {"models": {"local": {"path": str(folder)}}}
        keys.append(steps("taylor_T0_20_c4", "local", **change)["model"].key)
    assert keys[0] == keys[1] != keys[2]


def test_local_texts_are_known_by_content(tmp_path):
    keys = []
    for text in ("a", "a", "b"):
        (tmp_path / "text.txt").write_text(text)
        change = {"datasets": {"mine": {"local": f"{tmp_path}/*.txt"}}}
        keys.append(steps("taylor_T0_20_mine", **change)["calibration"].key)
    assert keys[0] == keys[1] != keys[2]


def test_the_division_of_long_documents_is_in_the_keys_of_local_texts_alone(tmp_path, monkeypatch):
    (tmp_path / "text.jsonl").write_text("{}")
    talk = {"local": f"{tmp_path}/*", "instruction": {"prompt": "q", "response": "a"}}
    change = {"datasets": {"mine": {"local": f"{tmp_path}/*"}, "talk": talk}, "recovery": {"dataset": "talk"}}

    def keys():
        names = ("taylor_T1_20_wiki", "taylor_T1_20_c4", "taylor_T1_20_mine", "taylor_T1_20_wiki_recover")
        return {(name, task): step.key for name in names for task, step in steps(name, **change).items()}

    before = keys()
    monkeypatch.setattr("prunescope.steps.texts.DIVISION", 3)
    after = keys()
    assert {key for key in before if before[key] != after[key]} == {
        ("taylor_T1_20_mine", step) for step in ("calibration", "gradients", "removal", "trial_text")
    }


@pytest.mark.parametrize("name", ["model.safetensors", "text.jsonl"])
@pytest.mark.parametrize("size", [5_000_000, 20_000_000])
def test_fingerprint_sees_a_change(tmp_path, name, size):
    file = tmp_path / name
    content = bytearray(size)
    file.write_bytes(content)
    before = fingerprint([file])
    assert fingerprint([file]) == before
    content[-1] = 1
    file.write_bytes(content)
    assert fingerprint([file]) != before


def test_a_tokenizer_belongs_to_the_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    keys = []
    for text in ("{}", "[]"):
        (tmp_path / "tokenizer.json").write_text(text)
        keys.append(steps("taylor_T0_20_c4", "local", models={"local": {"path": str(tmp_path)}})["calibration"].key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("split", "expected"),
    [("calibration", {"calibration", "gradients"}), ("test", {"evaluation_text", "baseline", "trial_text"})],
)
def test_a_split_counts_only_where_it_is_read(tmp_path, split, expected):
    def keys(**c4):
        change = {"datasets": {"c4": c4 | {"path": str(tmp_path)}}, "evaluation": {"datasets": ["c4"]}}
        return steps("taylor_T0_20_c4", "Mistral-7B-v0.3", **change)

    files = {name: f"{name}.txt" for name in ("train", "validation", "other")}
    for file in files.values():
        (tmp_path / file).write_text(file)
    before = keys(files=files)
    assert changed(before, keys(files=files, splits={"validation": "other"})) == {"trial_text"}
    assert changed(before, keys(files=files, splits={split: "other"})) == expected
    (tmp_path / files["train" if split == "calibration" else "validation"]).write_text("edited")
    assert changed(before, keys(files=files)) == expected


def test_a_copy_of_a_dataset_is_known_by_content_without_files_too(tmp_path):
    def key(place):
        change = {"datasets": {"mine": {"hub": "a/b", "path": str(tmp_path / place)}}}
        return steps("taylor_T0_20_mine", **change)["calibration"].key

    for place in ("one", "two"):
        (tmp_path / place / "data").mkdir(parents=True)
        (tmp_path / place / "data/train.parquet").write_text("rows")
        (tmp_path / place / ".cache").mkdir()
        (tmp_path / place / ".cache/lock").write_text(place)
    assert key("one") == key("two")
    (tmp_path / "two/data/train.parquet").write_text("other")
    assert key("one") != key("two")


def test_files_that_are_not_read_do_not_count(tmp_path):
    (tmp_path / "text.txt").write_text("text")
    change = {"datasets": {"mine": {"local": f"{tmp_path}/*"}}}
    before = steps("taylor_T0_20_mine", **change)["calibration"].key
    (tmp_path / "NOTES.md").write_text("notes")
    assert steps("taylor_T0_20_mine", **change)["calibration"].key == before


def test_a_mixture_depends_on_its_texts_and_weights():
    def key(**weights):
        return steps("taylor_T0_20_mixed", datasets={"mixed": {"mixture": weights}})["calibration"].key

    assert len({key(wiki=1, hansard=1), key(wiki=2, hansard=1), key(wiki=1, c4=1)}) == 3


def test_specs_survive_the_command_line():
    content = merge(
        RAW,
        {
            "evaluation": {"zeroshot": {}, "efficiency": {"gguf": ["f16"]}},
            "recovery": {"enabled": True},
            "repair": {"refit": {"enabled": True}, "scales": {"enabled": True}},
        },
    )
    names = ("taylor_T1_tauinf_20_wiki_early30", "auto_20_wiki_max50")
    tasks = [
        task for name in names for task in Planned(resolve(parse_config(content), "SmolLM2-135M", name)).tasks.values()
    ]
    assert {task.step.name for task in tasks} == set(TABLE) - {
        "wheel", "corpus", "before_after", "comparison", "track_comparison",
    }  # fmt: skip
    for task in tasks:
        assert type(task.spec).model_validate(json.loads(task.spec.text())) == task.spec


def test_a_recovery_that_is_off_is_in_no_spec():
    def told(name, **change):
        tasks = planned(name, "Mistral-7B-v0.3", **change).tasks
        return {task.name: json.dumps(task.spec.identity()) for task in tasks.values() if not task.step.on_request}

    off, on = told(BASE), told(f"{BASE}_recover")
    assert off == told(BASE, recovery={"rank": 8})
    assert "recovery" not in "".join(off.values())
    assert set(on) - set(off) == {"recovery_text", "recovery", "recovered"}
    other = told(f"{BASE}_recover", recovery={"rank": 8})
    assert {name for name in on if on[name] != other[name]} == {"recovery", "page"}
    distilled = told(f"{BASE}_recover", recovery={"loss": "kl", "train": "projections"})
    assert {name for name in on if on[name] != distilled[name]} == {"recovery", "page"}
    inputs = [json.loads(one["recovery"])["inputs"] for one in (on, distilled)]
    assert [sorted(keys) for keys in inputs] == [["recovery_text"], ["model", "recovery_text"]]


def test_a_search_changes_its_own_steps_and_what_follows_alone():
    def told(name, **change):
        return {task.name: json.dumps(task.spec.identity()) for task in planned(name, **change).tasks.values()}

    searched, longer = told("auto_20_wiki"), told("auto_20_wiki", search={"trials": 512})
    assert set(searched) - set(told(BASE)) == {"search_text", "search", "plot_search"}
    assert told(BASE) == told(BASE, search={"trials": 5, "samples": 5})
    different = {name for name in searched if searched[name] != longer[name]}
    assert different == {"search", "page"}
    assert changed(steps(), steps("auto_20_wiki")) == set()  # of all that both share


def test_a_refit_that_is_off_is_in_no_spec():
    def told(name, **change):
        tasks = planned(name, "Mistral-7B-v0.3", **change).tasks
        return {task.name: json.dumps(task.spec.identity()) for task in tasks.values() if not task.step.on_request}

    off, on = told(BASE), told(f"{BASE}_refit")
    assert off == told(BASE, repair={"refit": {"ridge": [0.5]}})
    assert "repair" not in "".join(off.values())
    assert set(on) - set(off) == {"refit_text", "gram", "refit"}
    assert '"refit": true' in on["pruning"] and "refit" not in off["pruning"]
    other = told(f"{BASE}_refit", repair={"refit": {"ridge": [0.5]}})
    assert {name for name in on if on[name] != other[name]} == {"trial", "refit", "page"}
    longer = told(f"{BASE}_refit", repair={"refit": {"tokens": 1024}})
    assert {name for name in on if on[name] != longer[name]} == {"refit_text", "gram", "trial", "refit", "page"}
    enabled = told(BASE, repair={"refit": {"enabled": True}})
    assert {name for name in off if off[name] != enabled[name]} == {"trial", "pruning", "page"}
    scaled, both = told(f"{BASE}_scales"), told(f"{BASE}_refit", repair={"scales": {"enabled": True}})
    assert off == told(BASE, repair={"scales": {"tokens": 64}})
    assert set(scaled) - set(off) == {"refit_text", "scales"}
    assert scaled["refit_text"] == on["refit_text"]
    assert {name for name in both if on.get(name) != both[name]} == {"scales", "pruning", "page"}
    assert '"refit": true, "scales": true' in both["pruning"]


def test_the_gate_decides_no_result():
    def told(**change):
        return {name: spec.identity() for name, spec in own(**change).items()}

    warned, stopped = told(), told(diagnosis={"on_critical": "fail"})
    assert {name for name in warned if warned[name] != stopped[name]} == {"page"}


def test_identity_in_tracking_follows_every_setting():
    def key(name, **change):
        return own(name, **change)["page"].key

    assert key(BASE) == key(BASE)
    assert len({key(BASE), key(BASE, limits={"max_rate": 0.4}), key(BASE, gradients={"batch_size": 4})}) == 3


def test_the_unpruned_gguf_is_shared_and_only_made_where_it_is_measured():
    def step(**change):
        return steps(evaluation={"efficiency": {"gguf": ["q8_0"]}}, **change)["gguf_baseline"]

    assert "gguf_baseline" not in steps(evaluation={"efficiency": {}})
    assert step().key == step(method={"criterion": "gate"}).key
    assert step().key != step(export={"gguf": {"eight_bit": {"max_kl": 0.5}}}).key
    assert step().spec.files[0].type == "q8_0"


def test_a_new_setting_at_its_default_changes_no_key():
    class Grown(GradientsSpec):
        smoothing: float = 0.0

    before = steps()["gradients"].spec
    grown = Grown(**dict(before))
    assert grown.key == before.key
    assert grown.model_copy(update={"smoothing": 0.5}).key != before.key


def defaults(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the default of every setting below a section, by path."""
    for name, field in section.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        nested = [kind for kind in kinds if issubclass(kind, Section)]
        if nested:
            yield from defaults(nested[0], f"{prefix}{name}.")
        if not field.is_required():
            yield prefix + name, json.loads(canonical(to_jsonable_python(field.default)))


def test_a_changed_default_raises_the_version():
    """Defaults are in no key, so that one that changes would give old results for new settings."""
    now = {f"{step.name}:{step.spec.version}": dict(defaults(step.spec)) for step in TABLE.values() if step.records}
    if os.environ.get("PRUNESCOPE_WRITE_DEFAULTS"):
        DEFAULTS.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    then = json.loads(DEFAULTS.read_text(encoding="utf-8"))
    assert set(now) == set(then), "new step or version: PRUNESCOPE_WRITE_DEFAULTS=1 pytest tests/steps notes it"
    different = [
        f"{key}: {path} was {value}, is {now[key][path]}: raise the version of the step"
        for key, settings in then.items()
        for path, value in settings.items()
        if path in now.get(key, {}) and now[key][path] != value
    ]
    assert different == []


def test_zero_shot_tasks_are_steps_of_their_own(tmp_path):
    """Asking for them computes nothing else again; their files count by content, and dtype and tasks decide."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one/task.yaml").write_text("task: mine")
    (tmp_path / "two").mkdir()
    (tmp_path / "two/task.yaml").write_text("task: mine")

    def key(**zeroshot):
        return steps(evaluation={"zeroshot": zeroshot})["zeroshot_baseline"].key

    assert key(task_dir=str(tmp_path / "one")) == key(task_dir=str(tmp_path / "two"))
    (tmp_path / "two/task.yaml").write_text("task: other")
    changes = ({}, {"limit": 5}, {"tasks": ["piqa"]}, *({"task_dir": str(tmp_path / name)} for name in ("one", "two")))
    assert len({key(**change) for change in changes}) == 5
    # The place of the files is told to the step, but makes it run no more than that of any other copy.
    one, other = (
        own(evaluation={"zeroshot": {"task_dir": str(tmp_path / name)}})["zeroshot"] for name in ("one", "one/../one")
    )
    assert one.identity() == other.identity() and one.text() != other.text()
    assert "zeroshot_baseline" not in steps()


def test_names_of_files_need_not_be_utf_8(tmp_path):
    file = tmp_path / os.fsdecode(b"\xff.txt")
    file.write_text("a text")
    assert fingerprint([file])


def test_the_model_step_knows_the_file_that_declares_the_model_and_its_key_does_not(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(yaml.safe_dump({"models": {"mine": {"hub": "me/mine"}}}), encoding="utf-8")
    told, origin = load_merged(Path("config/config.yaml"), [overlay], {})
    config = parse_config(told, origin)
    mine, shipped = (Planned(resolve(config, model, BASE)).shared[0].spec for model in ("mine", "Mistral-7B-v0.3"))
    assert mine.declared_in.endswith("mine.yaml") and shipped.declared_in == "config/config.yaml"
    assert mine.model_copy(update={"declared_in": "elsewhere.yaml"}).key == mine.key
