"""What is said of jobs on Slurm, whose programs are scripts here that print what real ones printed."""

import asyncio
import logging
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.exceptions import WorkflowError
from snakemake_interface_logger_plugins.common import LogEvent

from prunescope.files import write_text
from prunescope.runs import slurm
from prunescope.runs.failures import Failed
from prunescope.runs.slurm import Waiting, asked_by, check_alone, watch, why_ended, why_refused
from prunescope.steps.spec import start
from prunescope.steps.table import TABLE
from prunescope.steps.work import Work

PROFILE = Path(__file__).parents[2] / "profiles/slurm/config.yaml"
JOB = "JobId=7 JobState={} Reason={} ExitCode={} TimeLimit=04:00:00 MinMemoryNode=2000M NodeList=node1 Command=(null)"


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Sets what a program of Slurm prints, and how it exits."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def program(name, text, code=0):
        write_text(script := tmp_path / name, f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        script.chmod(0o755)
        why_ended.cache_clear()

    return program


@pytest.mark.parametrize(
    ("state", "reason", "code", "said"),
    [
        ("CANCELLED", "None", "0:15", "it was cancelled; run the same command again"),
        (
            "TIMEOUT",
            "TimeLimit",
            "0:15",
            "it reached its time limit of 04:00:00; .* raise runtime .* of trial in set-resources",
        ),
        (
            "OUT_OF_MEMORY",
            "OutOfMemory",
            "0:125",
            "it took more than the 2000M of .* raise mem_mb of trial in set-resources",
        ),
        ("NODE_FAIL", "NodeDown", "1:0", "its node node1 failed; run the same command again"),
        ("FAILED", "RaisedSignal:9(Killed)", "0:9", r"FAILED, reason RaisedSignal:9\(Killed\), signal 9"),
    ],
)
def test_why_a_job_ended(says, state, reason, code, said):
    says("scontrol", JOB.format(state, reason, code))
    assert re.search(f"Slurm ended job 7: {said}", why_ended("7", "trial"))


def test_a_step_that_failed_by_itself_speaks_for_itself(says, tmp_path):
    says("scontrol", JOB.format("FAILED", "NonZeroExitCode", "1:0"))
    assert why_ended("7", "trial") == ""
    # A step of the job that was killed for want of memory: the job itself has only failed.
    write_text(output := tmp_path / "7.log", "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0\n")
    assert "more than the 2000M of memory" in why_ended("7", "trial", output)
    says("scontrol", "slurm_load_jobs error: Invalid job id specified", 1)
    assert why_ended("7", "trial") == ""


def test_the_end_of_a_run_names_slurms_cause_before_the_log(says, tmp_path):
    logs = [tmp_path / name for name in ("cancelled", "failed", "killed", "silent", "refused")]
    for log in logs[:3]:
        write_text(log, "gradients: 8 / 16 tokens, 143 tokens/s, 14 s left\n")
    write_text(logs[1], "prunescope: no such model\ngradients: 8 / 16 tokens, 143 tokens/s, 14 s left\n")
    refused = "SLURM sbatch failed. The error message was 'sbatch: error: Batch job submission failed: no'.\n    call"
    failed = Failed(since=0)
    failed.emit(logging.makeLogRecord({"event": LogEvent.JOB_INFO, "jobid": 3, "resources": {"gpu": 1}}))
    for log, state in zip(logs, ["CANCELLED", "FAILED", "FAILED", "FAILED", ""], strict=True):
        says("scontrol", JOB.format(state, "None", "0:15" if state == "CANCELLED" else "1:0"))
        told = {"event": LogEvent.JOB_ERROR, "jobid": 3, "rule_name": "trial", "log": [str(log)]}
        told |= {"aux": {"external_jobid": "7"}} if state else {"rule_msg": refused}
        failed.emit(logging.makeLogRecord(told))
    cancelled, own, killed, silent, not_taken = failed.why.values()
    assert cancelled.startswith("Slurm ended job 7: it was cancelled")
    assert own == "no such model"
    assert killed.startswith("it was killed, perhaps for want of memory, at 'gradients: 8 / 16")
    assert silent.startswith("its log is empty: it was killed")
    assert not_taken.startswith("Slurm does not take the job: Batch job submission failed: no (it asks for 1 GPU, 1 C")
    assert "the job: no sinfo (" in why_refused("Job submission failed with exception: no sinfo\nFor further", "")
    assert why_refused("anything else", "") == ""


def test_a_job_that_waits_is_named_once(says):
    waiting = Waiting()
    says("squeue", "7|Resources\n8|PartitionConfig")
    assert [said[:36] for said in waiting.news(["7", "8"], 0)] == ["Slurm job 8 waits: PartitionConfig ("]
    assert [*waiting.news(["7", "8"], slurm.PATIENCE - 1)] == []
    assert [said[:42] for said in waiting.news(["7", "8"], slurm.PATIENCE)] == [
        "Slurm job 7 waits for 5 min: Resources (wh"
    ]
    assert [*waiting.news(["7", "8"], 2 * slurm.PATIENCE)] == []


def finished(work):
    """Run a coroutine; a browser that other tests have open keeps a loop in this thread."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(asyncio.run, work).result()


def test_a_look_that_fails_forgets_no_job_and_the_next_is_soon(says, monkeypatch):
    async def fails(command, logger):
        return None, None

    plugin = SimpleNamespace(query_job_status=fails, Executor=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "snakemake_executor_plugin_slurm", plugin)
    slept: list[float] = []
    monkeypatch.setattr(slurm.asyncio, "sleep", lambda seconds: fails(slept.append(seconds), None))
    says("squeue", "7|PartitionConfig")
    said: list[str] = []
    watch(said.append)
    assert finished(plugin.query_job_status("squeue", None)) == ({}, 0.0)
    jobs = [SimpleNamespace(external_jobid="7")]
    for wait in (5, 180):
        finished(plugin.Executor.sleep(SimpleNamespace(active_jobs=jobs, next_seconds_between_status_checks=wait)))
    assert slept == [5, slurm.OFTEN] and len(said) == 1


def test_jobs_of_an_earlier_run_stop_this_one(says, tmp_path):
    says("squeue", f"7|{tmp_path}|rule_gradients_wildcards_m\n8|{tmp_path}|mine\n9|/other|rule_trial")
    with pytest.raises(WorkflowError, match=r"scancel 7$"):
        check_alone(tmp_path)
    check_alone(tmp_path / "another")


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"gpu": 1, "gpu_model": "a100", "mem_mb": 4032, "runtime": 31}, "1 GPU, a100, 2 CPUs, 4.0 GB, 31 min"),
        ({"slurm_partition": "cpu", "mem_mb": "TBD"}, "partition cpu, 2 CPUs"),
    ],
)
def test_what_a_job_asks_for(resources, said):
    assert asked_by(logging.makeLogRecord({"resources": resources, "threads": 2})) == said


def test_what_is_asked_for_follows_the_model_and_the_attempt():
    # 7e9 parameters: 14 GB of weights in bfloat16
    assert Work(4, 30).resources(7e9) == {"mem_mb": 60_000, "runtime": 240, "gpu": 1}
    assert Work(4, 30).resources(7e10) == {"mem_mb": 200_000, "runtime": 1440, "gpu": 1}
    assert Work(1.5, 5, gpu=False).resources(7e9, attempt=2) == {"mem_mb": 50_000, "runtime": 130}
    assert [Work(4, 30).threads(size) for size in (2e4, 1.35e8, 7e9)] == [2, 14, 16]


def test_the_profile_lists_the_steps_with_a_gpu():
    block = PROFILE.read_text().partition("# set-resources:")[2].splitlines()
    told = yaml.safe_load("\n".join(line[2:] for line in block if line.startswith("# ")))
    assert {name for name, asks in told.items() if "gpu_model" in asks} == {
        step.name for step in TABLE.values() if step.work and step.work.gpu
    }


@pytest.mark.parametrize(
    ("arguments", "begin"),
    [
        (["-c", "2", "results/m/e"], "snakemake --cores all"),
        (["--workflow-profile=profiles/slurm", "x"], "snakemake --workflow-profile profiles/slurm"),
        (["--profile", "my", "-j", "5", "x"], "snakemake --profile my -j 5"),
    ],
)
def test_commands_begin_as_the_run_did(arguments, begin):
    assert start([], arguments) == begin
    assert start([Path("my.yaml")], arguments) == f"{begin} --configfile my.yaml --"
