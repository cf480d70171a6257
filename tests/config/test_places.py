"""Folders, globs and ids on the hub, mistaken for each other: said before anything runs."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prunescope.config.patches import merge
from prunescope.config.resolve import parse_config, resolve
from prunescope.config.sections import DatasetSource, ModelSource, Zeroshot
from prunescope.errors import ConfigError, DataError
from prunescope.steps.fingerprints import fingerprint, model_files
from prunescope.steps.planned import Planned
from prunescope.tracking.store import tracking_uri

RAW = yaml.safe_load(Path("config/config.yaml").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def disk(tmp_path, monkeypatch):
    """A home folder with texts, a model, and links that lead nowhere."""
    for folder in ("texts", "own/name", "model", "links"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "texts/a.txt").write_text("x")
    (tmp_path / "texts/b.json").write_text("{}")
    (tmp_path / "links/b.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "links/a.txt").write_text("x")
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/model.safetensors").symlink_to(tmp_path / "nowhere")
    (tmp_path / "model/notes.json").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def plan(**change):
    model = "m" if "models" in change else "SmolLM2-135M"
    name = "taylor_T0_20_" + ("mine" if "datasets" in change else "wiki")
    return Planned(resolve(parse_config(merge(RAW, change)), model, name)).tasks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"local": "allenai/c4"}, "if it is an id on the hub, write `hub: allenai/c4`"),
        ({"local": "texts"}, r"is a folder: name the files in it, such as texts/\*\*/\*\.txt"),
        ({"local": "~/texts"}, r"is a folder: name the files in it"),
        ({"local": "texts/*.json"}, r"matches no .* file, only b\.json: convert or unpack"),
        ({"local": "links/*"}, r"links/b\.txt is a link to a file that is not there"),
        ({"local": ""}, "local = '': is no path"),
        ({"local": "a\0"}, "is no path"),
        ({"local": "a" * 300}, "matches no .* file"),
        ({"path": "allenai/c4"}, "path is a copy of a hub dataset, whose id `hub` must name"),
        ({"hub": "a/b", "path": "allenai/c4"}, "no such folder; if it is an id on the hub, write `hub: allenai/c4`"),
        ({"hub": "a/b", "path": "texts/a.txt"}, "no such folder"),
        ({"hub": "a/b", "path": "/"}, "is the root of all folders"),
        ({"hub": "a/b", "path": "//x/.."}, "is the root of all folders"),
        ({"local": "/"}, "is the root of all folders"),
        ({"hub": "./texts"}, "is a folder, not an id on the hub: name its files in `local`"),
        ({"hub": "/data/c4"}, "is a folder, not an id on the hub"),
        ({"hub": "~/c4"}, "is a folder, not an id on the hub"),
        ({"hub": "own/name"}, "is a folder, not an id on the hub"),  # `datasets` would read the folder
        ({"hub": "https://huggingface.co/datasets/allenai/c4/tree/main"}, "write the id alone: allenai/c4"),
        ({"hub": "my data set"}, "is not an id on the hub"),
        ({"hub": ""}, "is not an id on the hub"),
    ],
)
def test_texts(text, said):
    with pytest.raises(ConfigError, match=rf"config\.yaml: datasets\.mine.*{said}"):
        plan(datasets={"mine": text})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"path": "mistralai/Mistral-7B-v0.3"}, "if it is an id on the hub, write `hub: mistralai/Mistral-7B-v0.3`"),
        ({"path": "texts/a.txt"}, r"no config\.json there"),
        ({"path": ""}, "is no path"),
        ({"path": "/"}, "is the root of all folders"),
        ({"path": "b" * 300}, r"no config\.json there"),
        ({"hub": "model"}, "is a folder, not an id on the hub: name it as `path`"),
        ({"hub": "/data/m"}, "is a folder, not an id on the hub: name it as `path`"),
        ({"hub": "https://huggingface.co/mistralai/Mistral-7B-v0.3"}, "write the id alone: mistralai/Mistral-7B-v0.3"),
    ],
)
def test_models(model, said):
    with pytest.raises(ConfigError, match=rf"config\.yaml: models\.m.*{said}"):
        plan(models={"m": model})


paths = st.text(max_size=20) | st.sampled_from(
    [".", "..", "/", "~", "~/", "a/b", "texts", "texts/*", "[", "**", "a/../.."]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["text", "model"]), st.sampled_from(["local", "hub", "path"]), paths)
@example("text", "local", "\n")
@example("model", "path", "a\ud83d")
@example("text", "hub", "\0")
@example("text", "hub", "~\n")
@example("text", "path", "//")
def test_any_place_is_planned_or_a_sentence(kind, key, place):
    beside = {"hub": "a/b"} if (kind, key) == ("text", "path") else {}
    place = {key: place} | beside
    try:
        plan(datasets={"mine": place}) if kind == "text" else plan(models={"m": place})
    except ConfigError as error:
        assert "\n" not in str(error)
        assert str(error).encode()


def test_the_home_folder_is_meant_by_its_sign_in_every_path(disk, monkeypatch):
    assert DatasetSource(local="~/texts/*.txt").local == f"{disk}/texts/*.txt"
    assert DatasetSource(hub="a/b", path="~/c4").path == f"{disk}/c4"
    assert ModelSource(path="~/model").path == f"{disk}/model"
    assert Zeroshot(task_dir="~/tasks").task_dir == f"{disk}/tasks"
    assert ModelSource(path="~nobody-here/model").path == "~nobody-here/model"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri("sqlite:///~/mlflow.db") == f"sqlite:///{disk}/mlflow.db"
    assert tracking_uri("http://host/~user") == "http://host/~user"
    plan(datasets={"mine": {"local": "~/texts/*"}})


def test_links_that_lead_nowhere_and_folders_are_no_files_of_a_model(disk):
    assert [file.name for file in model_files(f"{disk}/model")] == ["config.json"]
    plan(models={"m": {"path": "~/model"}})


def test_a_file_that_may_not_be_read_is_named(disk, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataError, match=r"texts/a\.txt cannot be read: Permission denied"):
        fingerprint([disk / "texts/a.txt"])
