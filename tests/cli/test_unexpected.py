"""Errors that nobody expected: what the terminal says, and where the rest is."""

import gzip
import re
import sys
import tempfile
from pathlib import Path

import pytest
import typer

import prunescope.cli as cli
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.cli import unexpected
from prunescope.config.files import CONFIG_FILE
from prunescope.environment import DEBUG
from prunescope.files import last_read, note_read, read_json
from prunescope.runs.failures import last_words


@pytest.fixture
def fails(monkeypatch, capsys):
    """Run a command that raises an error; return the exit code and what the terminal shows."""

    def run(error, command="run importance results/m/e --spec {}"):
        def fail():
            raise error

        monkeypatch.setattr(cli, "app", fail)
        monkeypatch.setattr(sys, "argv", ["prunescope", *command.split()])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CONFIG_FILE.parent.mkdir()
    CONFIG_FILE.touch()
    return tmp_path


def test_cause_step_file_and_where_the_full_text_is(fails, project):
    note_read(Path("results/m/e/analysis/plan.json"))
    code, said = fails(KeyError("mlp"))
    assert code == 1 and said.count("\n") == 1
    assert said.startswith("prunescope: KeyError: 'mlp', which nobody expected, in the step importance; ")
    assert "the last file that was read is results/m/e/analysis/plan.json; the full text is in logs/unexpected/" in said
    (log,) = (project / "logs/unexpected").iterdir()
    assert re.fullmatch(r"importance-\d{8}-\d{6}-\d+\.txt", log.name)
    assert "Traceback (most recent call last)" in log.read_text() and str(log.relative_to(project)) in said


def test_the_report_at_the_end_of_a_run_quotes_it(fails, project):
    _, said = fails(ZeroDivisionError("division by zero\nand more"))
    log = project / "step.log"
    log.write_text(f"loaded\n{said}")
    assert last_words(log).startswith("ZeroDivisionError: division by zero, which nobody expected")


def test_outside_a_project_no_folder_appears_and_secrets_stay(fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    _, said = fails(ValueError("odd"), "track --all --uri postgresql://me:secret@host/db")
    assert "in `prunescope track`" in said and not Path("logs").exists()
    (log,) = (tmp_path / "temporary").iterdir()
    assert "secret" not in said + log.read_text()


def test_where_no_file_can_be_written_the_text_is_shown(fails, project, monkeypatch):
    Path("logs").touch()
    (project / "file").touch()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(project / "file"))
    _, said = fails(ValueError("odd"))
    assert "Traceback (most recent call last)" in said and "the full text is in the lines above" in said


def test_debugging_shows_the_traceback(fails, monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(ValueError, match="odd"):
        fails(ValueError("odd"))
    monkeypatch.setenv(DEBUG, "perhaps")
    assert fails(ValueError("odd")) == (1, "prunescope: PRUNESCOPE_DEBUG = 'perhaps': must be 1 or 0\n")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_what_stops_a_command_on_purpose_is_no_error(monkeypatch, stop):
    def fail():
        raise stop

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(type(stop)):
        cli.main()


def test_a_file_that_ends_early_is_told(monkeypatch, tmp_path, capsys, project):
    app, path = typer.Typer(cls=unexpected.Commands), tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"text" * 1000)[:-12])
    app.command("read")(lambda: gzip.decompress(path.read_bytes()))
    app.command("other")(lambda: None)
    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["prunescope", "read"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "a file ends early: Compressed file ended" in capsys.readouterr().err


def test_readers_note_what_they_read(tmp_path):
    for path, read in {
        tmp_path / "a.json": lambda path: read_json(path),
        ExperimentFolder(tmp_path).plan.path: lambda path: ExperimentFolder(tmp_path).plan.read(),
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"model": "m", "removed": {}}')
        read(path)
        assert last_read() == path
