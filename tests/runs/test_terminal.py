"""What people see of a run: a line per step, warnings and failures, and nothing of what Snakemake says besides."""

import io
import logging
from types import SimpleNamespace

import pytest
from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.errors import ConfigError
from prunescope.files import write_text
from prunescope.progress import Reached
from prunescope.runs.arguments import check_config_files
from prunescope.runs.logs import last_words, reached, result, warnings
from prunescope.runs.terminal import LogHandler, shortened

SETTINGS = {"dryrun": False, "verbose": False, "printshellcmds": False, "debug_dag": False, "quiet": None}


@pytest.fixture
def shown(monkeypatch):
    """A logger with the handler, and what it writes."""
    monkeypatch.setattr("sys.argv", ["snakemake"])
    handler = LogHandler(SimpleNamespace(**SETTINGS, nocolor=True, stdout=False), None)
    handler.console = Console(file=io.StringIO(), width=80)
    logger = logging.getLogger("shown")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield logger, handler.console.file
    logger.removeHandler(handler)


def start(logger, job, rule, message, log):
    told = {"jobid": job, "rule_name": rule, "rule_msg": message, "log": [str(log)]}
    logger.info("", extra={"event": LogEvent.JOB_INFO} | told)


def test_a_line_as_a_step_starts_and_as_it_ends(shown, tmp_path):
    logger, out = shown
    log = tmp_path / "gradients.log"
    logger.info("", extra={"event": LogEvent.RUN_INFO, "stats": {"gradients": 1, "all": 1, "page": 1, "total": 3}})
    logger.info("about 12 min left; never timed yet: page", extra={"prunescope": "left"})
    start(logger, 7, "gradients", "Collect gradients wiki_n32_s128-54b7a187", log)
    start(logger, 8, "all", None, log)
    for noise in ("Building DAG of jobs...", "Complete log(s): x", "Unlocked working directory."):
        logger.info(noise)
    logger.info("Shell command: x", extra={"event": LogEvent.SHELLCMD, "shellcmd": "x"})
    write_text(log, "loading\nwarning: half of it\ngradients: 8 / 8 tokens, 143 tokens/s, done in 1.0 s, loss 3.2\n")
    logger.info("", extra={"event": LogEvent.JOB_FINISHED, "job_id": 7})
    logger.info("", extra={"event": LogEvent.JOB_FINISHED, "job_id": 8})
    assert out.getvalue().splitlines() == [
        "1/2  Collect gradients wiki_n32_s128 ... (about 12 min left, or more)",
        "Unlocked working directory.",
        f"1/2  {'Collect gradients wiki_n32_s128':<50}    0 s  143 tokens/s, loss 3.2",
        f"warning: half of it ({log})",
    ]


def test_a_dry_run_says_what_would_run_and_no_reasons(shown, tmp_path):
    logger, out = shown
    logger.handlers[0].common_settings.dryrun = True
    logger.info("", extra={"event": LogEvent.RUN_INFO, "stats": {"page": 1, "total": 1}})
    start(logger, 7, "page", "Write the page of m/e", tmp_path / "page.log")
    logger.info("Shell command: x", extra={"event": LogEvent.SHELLCMD, "shellcmd": "x"})
    logger.info("Reasons:\n    (check individual jobs above for details)\n    missing: page")
    assert out.getvalue().splitlines() == ["1/1  Write the page of e"]


def test_a_step_that_fails_says_why(shown, tmp_path):
    logger, out = shown
    for job, said in ((1, "prunescope: no memory\nnoise\n"), (2, "")):
        write_text(log := tmp_path / f"{job}.log", said)
        start(logger, job, "page", "Write the page of m/e", log)
        logger.error("Error in rule page", extra={"event": LogEvent.JOB_ERROR, "jobid": job, "log": [str(log)]})
    logger.error("RuleException:\nCommand 'x' returned non-zero exit status 1.", extra={"event": LogEvent.ERROR})
    logger.error("WorkflowError: the sentence", extra={"event": LogEvent.ERROR})
    lines = [line for line in out.getvalue().splitlines() if "..." not in line]
    assert "Write the page of e failed: no memory" in lines[0]
    assert "its log is empty" in lines[1]
    assert lines[2:] == ["WorkflowError: the sentence"]


@pytest.mark.parametrize("asked", ["verbose", "printshellcmds", "debug_dag", "quiet"])
def test_whoever_asks_gets_what_snakemake_says(asked, monkeypatch):
    monkeypatch.setattr("sys.argv", ["snakemake"])
    handler = LogHandler(SimpleNamespace(**SETTINGS | {asked: True}, nocolor=True, stdout=False), None)
    assert not handler.writes_to_stream


@pytest.mark.parametrize(
    ("message", "only", "short"),
    [
        ("Try other settings for m/taylor_T0_20_wiki", "m/taylor_T0_20_wiki", "Try other settings"),
        ("Record m/e in MLflow", "m/e", "Record in MLflow"),
        ("Record m/e_s16 in MLflow", "m/e", "Record e_s16 in MLflow"),
        ("Draw calibration windows wiki_n3_s1-0123abcd", "", "Draw calibration windows wiki_n3_s1"),
        ("Draw calibration windows wiki_n3_s1-0123abcd", "m/e", "Draw calibration windows"),
    ],
)
def test_names_are_as_short_as_they_can_be(message, only, short):
    assert shortened(message, only) == short


def test_the_last_line_is_what_came_out(tmp_path):
    log = tmp_path / "log"
    assert (result(log), warnings(log), reached(log)) == ("", [], None)
    write_text(log, "one\nwarning: two\nthree\nwarning: two\n")
    assert (result(log), warnings(log)) == ("three", ["two"])
    assert last_words(log) == "warning: two"
    write_text(log, "loading: 3 / 10 tensors, 1.5 tensors/s, 4 s left, 0.1 GiB, a, b\n")
    assert reached(log) == Reached(3, 10, "1.5 tensors/s, 4 s left, a, b")


def test_a_target_taken_for_a_configuration_file_is_named(tmp_path):
    one = tmp_path / "my.yaml"
    one.touch()
    check_config_files(["--configfile", str(one), str(one), "--", "results/m/e"])
    with pytest.raises(ConfigError, match=f"put -- before the target: --configfile {one} -- results/m/e"):
        check_config_files(["--cores", "1", "--configfile", str(one), "results/m/e", "-n"])
    with pytest.raises(ConfigError, match=r"--configfile no.yaml: no such file"):
        check_config_files(["--configfile", "no.yaml"])
