"""Configuration files: read, and merged with those of the command line."""

import re
from pathlib import Path

import pytest
import yaml

from prunescope.config.files import CONFIG_FILE, Origin, load_merged, read_config_file
from prunescope.config.resolve import parse_config, resolve
from prunescope.config.sections import Efficiency
from prunescope.errors import ConfigError

SOURCES = "models: {m: {hub: org/m}}\ndatasets: {wiki: {hub: x}}\nevaluation: {datasets: [wiki]}\n"


def files(folder, *contents):
    paths = [folder / f"{index}.yaml" for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return paths


def test_files_of_the_command_line_win_in_order_and_its_settings_over_them(tmp_path):
    default, *overwriting = files(
        tmp_path,
        "limits: {max_rate: 0.5, protect: [0, 1]}\nreport: {language: en}",
        "limits: {max_rate: 0.4, protect: [2]}",
        "limits: {max_rate: 0.3}",
    )
    assert load_merged(default, [], {})[0] == read_config_file(default)
    assert load_merged(default, overwriting, {"report": {"language": "zh"}})[0] == {
        "limits": {"max_rate": 0.3, "protect": [2]},
        "report": {"language": "zh"},
    }
    assert load_merged(default, overwriting[::-1], {})[0]["limits"]["max_rate"] == 0.4
    assert load_merged(None, overwriting, {})[0] == {"limits": {"max_rate": 0.3, "protect": [2]}}


@pytest.mark.parametrize("last", ["file", "setting"])
def test_an_empty_section_switches_an_optional_one_on_and_null_off(tmp_path, last):
    default, on, off = files(
        tmp_path,
        SOURCES + "evaluation: {datasets: [wiki], efficiency: null}",
        "evaluation: {efficiency: {}}",
        "evaluation: {efficiency: null}",
    )

    def efficiency(*paths):
        content = load_merged(default, paths, {})[0]
        if last == "setting":
            content = load_merged(default, paths[:-1], read_config_file(paths[-1]))[0]
        return parse_config(content).evaluation.efficiency

    assert efficiency(on) == Efficiency()
    assert efficiency(on, off) is None
    assert efficiency(off, on) == Efficiency()


def test_a_default_file_may_be_missing_where_others_are_given(tmp_path):
    (given,) = files(tmp_path, "report: {language: zh}")
    assert load_merged(tmp_path / "none.yaml", [given], {})[0] == {"report": {"language": "zh"}}
    with pytest.raises(ConfigError, match=r"no .*none\.yaml here; run from the project folder"):
        load_merged(tmp_path / "none.yaml", [], {})


def test_json_an_empty_file_and_a_template_are_read_as_snakemake_reads_them(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"method": {"prior_floor": 1e-5}}')
    assert read_config_file(path) == {"method": {"prior_floor": 1e-5}}
    empty, template = files(tmp_path, "", "__use_yte__: true\nmethod:\n  ?if 1 < 2:\n    ratio: 0.1\n")
    assert read_config_file(empty) == {}
    assert read_config_file(template) == {"method": {"ratio": 0.1}}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "limits: [", r"a\.yaml is not valid YAML: "),
        ("a.json", "{", r"a\.json is not valid JSON: "),
        ("a.yaml", "- limits", r"a\.yaml must hold sections, .* not \['limits'\]"),
    ],
)
def test_a_file_that_is_no_configuration_gets_one_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_merged(tmp_path / name, [], {})
    assert "\n" not in str(caught.value)


def test_an_error_names_the_file_that_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CONFIG_FILE.parent.mkdir()
    CONFIG_FILE.write_text(SOURCES)
    mine = Path("mine.yaml")
    for said, where in (
        ({"limits": {"max_rate": 2}}, "mine.yaml: limits.max_rate = 2"),
        ({"models": {"m": {"path": "nowhere"}}}, "mine.yaml: models.m.path = 'nowhere': no config.json there"),
        ({"datasets": {"wiki": {"local": "no/*.txt", "hub": None}}}, "mine.yaml: datasets.wiki.local = 'no/*.txt'"),
    ):
        mine.write_text(yaml.safe_dump(said))
        with pytest.raises(ConfigError, match=re.escape(where)):
            resolve(parse_config(*load_merged(CONFIG_FILE, [mine.absolute()], {})), "m", "taylor_T0_20_wiki")
    with pytest.raises(ConfigError, match=r"^--config: limits.max_rate = 3"):
        parse_config(*load_merged(CONFIG_FILE, [], {"limits": {"max_rate": 3}}))
    CONFIG_FILE.write_text(SOURCES + "limits: {max_rate: 2}\n")
    mine.write_text(yaml.safe_dump({"limits": {"min_rate": 0.1}}))
    with pytest.raises(ConfigError, match=r"^config/config.yaml: limits.max_rate = 2"):
        parse_config(*load_merged(CONFIG_FILE, [mine], {}))


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("models.Qwen2.5-7B.context", "mine.yaml"),
        ("models.Qwen2.5-7B.hub", "config.yaml"),
        ("models.Qwen2", "config.yaml"),
        ("report.language", "config.yaml"),
    ],
)
def test_the_file_that_sets_something_is_the_last_one_that_has_most_of_its_path(path, file):
    default = {"models": {"Qwen2.5-7B": {"hub": "Qwen/Qwen2.5-7B"}, "Qwen2": {}}, "report": {}}
    origin = Origin({"config.yaml": default, "mine.yaml": {"models": {"Qwen2.5-7B": {"context": 8}}}})
    assert origin.of(path) == file


def test_what_no_file_sets_is_expected_in_the_first():
    assert Origin({"config.yaml": {}, "mine.yaml": {"models": None}}).of("seed") == "config.yaml"
