"""Generated files are in step with what they are generated from."""

from pathlib import Path

import typer
import yaml

from prunescope.artifacts import reference as files
from prunescope.cli import app
from prunescope.cli.reference import PAGE, PANELS, render_commands
from prunescope.config.reference import README, SCHEMA, render_readme, render_schema
from prunescope.config.sections import Config

ROOT = Path(__file__).parents[2]


def test_reference_and_schema_are_current():
    assert (ROOT / README).read_text() == render_readme(), "run `make reference`"
    assert (ROOT / SCHEMA).read_text() == render_schema(), "run `make reference`"


def test_reference_of_files_is_current():
    assert (ROOT / files.PAGE).read_text() == files.render_files(), "run `make reference`"


def test_command_reference_is_current():
    assert (ROOT / PAGE).read_text() == render_commands(app), "run `make reference`"


def test_every_command_is_in_a_panel_of_the_reference():
    commands = typer.main.get_command(app).commands.values()
    assert {command.rich_help_panel for command in commands} == set(PANELS)


def test_every_key_has_a_description():
    def walk(node, path):
        for name, item in node.get("properties", {}).items():
            assert item.get("description") or "$ref" in item, f"{path}.{name}"

    schema = Config.model_json_schema()
    walk(schema, "config")
    for name, definition in schema["$defs"].items():
        walk(definition, name)


def test_environment_file_repeats_no_dependency():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [item for item in content["dependencies"] if isinstance(item, str)]
    (pip,) = (item["pip"] for item in content["dependencies"] if isinstance(item, dict))
    assert plain == ["python=3.11", "pip"]
    assert pip == ["-c requirements.lock", "-e ."]
