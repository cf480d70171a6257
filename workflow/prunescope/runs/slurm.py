"""What Slurm knows of jobs: why one ended, why one waits, and which of an earlier run still work."""

import asyncio
import logging
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

OFTEN = 10
"""Seconds from one look at the jobs to the next; the plugin's own grow to three minutes."""
PATIENCE = 300
"""Seconds that a job waits for a good reason before that is said."""
PATIENT = {"None", "Priority", "Resources", "BeginTime", "Dependency"}
"""Reasons to wait that end by themselves."""
SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid (\d+)")
"""What the plugin says of a job."""
REFUSED = re.compile(
    r"SLURM sbatch failed\. The error message was '(.*?)'\.\n|Job submission failed with exception: (.*?)(?:\n|$)",
    re.DOTALL,
)
"""How it says that a job was not taken."""
OUT_OF_MEMORY = re.compile(r"oom.kill", re.IGNORECASE)
"""What Slurm writes into the output of a job one of whose steps was killed; the job itself counts as failed."""
ENDED = {
    "OUT_OF_MEMORY": "it took more than the {MinMemoryNode} of memory that it asked for; run the command again with "
    "--retries 2, which asks for more each time, or raise mem_mb of {rule} in set-resources of profiles/slurm",
    "TIMEOUT": "it reached its time limit of {TimeLimit}; run the command again with --retries 2, which asks for more "
    "each time, or raise runtime (minutes) of {rule} in set-resources of profiles/slurm",
    "CANCELLED": "it was cancelled; run the same command again",
    "NODE_FAIL": "its node {NodeList} failed; run the same command again",
    "PREEMPTED": "other jobs took its place; run the same command again",
}
"""What the end of a job means, and what to do; in braces what `scontrol` says of it."""


def ask(*command: str) -> str:
    """Return what a program of Slurm prints; nothing where it fails, is missing or hangs."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


@cache
def why_ended(job: str, rule: str, output: Path | None = None) -> str:
    """Return why Slurm ended a job, and what to do; empty where the step failed by itself or nothing is known.

    Args:
        output: what Slurm wrote of it. It knows of memory where `scontrol` does not.
    """
    known = dict(re.findall(r"(\w+)=(\S*)", ask("scontrol", "--oneliner", "show", "job", job)))
    state = known.get("JobState", "")
    if output and output.is_file() and OUT_OF_MEMORY.search(output.read_text(encoding="utf-8", errors="replace")):
        state = "OUT_OF_MEMORY"
    _, _, signal = known.get("ExitCode", "").partition(":")
    if state in ENDED:
        why = ENDED[state].format_map(defaultdict(str, known, rule=rule))
    elif state in ("", "COMPLETED") or (state == "FAILED" and signal in ("", "0")):
        return ""
    else:
        why = f"{state}, reason {known.get('Reason')}, signal {signal}; run the same command again"
    return f"Slurm ended job {job}: {why}"


def why_refused(said: str, asks: str) -> str:
    """Return why Slurm did not take a job, from what the plugin says of the failure; empty where it was another one."""
    found = REFUSED.search(said)
    reason = " ".join((found[1] or found[2]).split()).removeprefix("sbatch: error: ") if found else ""
    return (
        f"Slurm does not take the job: {reason} (it asks for {asks}; set-resources in profiles/slurm changes that)"
        if found
        else ""
    )


def asked_by(record: logging.LogRecord) -> str:
    """Return what a job asks for, such as ``1 GPU, 2 CPUs, 4.0 GB, 31 min``, from what Snakemake logs as it begins."""
    resources, threads = dict(getattr(record, "resources", {}).items()), getattr(record, "threads", 1)
    parts = {"gpu": "{} GPU", "gpu_model": "{}", "slurm_partition": "partition {}"}
    words = [text.format(resources[name]) for name, text in parts.items() if resources.get(name)]
    words += [f"{threads} CPU{'' if threads == 1 else 's'}"]
    words += [f"{resources['mem_mb'] / 1000:.1f} GB"] if isinstance(resources.get("mem_mb"), int) else []
    return ", ".join([*words, *([f"{resources['runtime']} min"] if resources.get("runtime") else [])])


@dataclass
class Waiting:
    """Says once why a job waits, where that does not end by itself or takes long.

    Attributes:
        since: when each job was first seen waiting, in seconds of `time.monotonic`. said: jobs with the reason.
    """

    since: dict[str, float] = field(default_factory=dict)
    said: set[tuple[str, str]] = field(default_factory=set)

    def news(self, jobs: Iterable[str], now: float) -> Iterator[str]:
        """Yield what is to be said of jobs now."""
        listed = ask("squeue", "--noheader", "--states=PENDING", "--format=%i|%r", "--jobs", ",".join(jobs))
        for line in listed.splitlines():
            job, _, reason = line.strip().partition("|")
            waited = now - self.since.setdefault(job, now)
            if (job, reason) not in self.said and (reason not in PATIENT or waited >= PATIENCE):
                self.said.add((job, reason))
                after = f" for {waited / 60:.0f} min" if waited >= 60 else ""
                yield f"Slurm job {job} waits{after}: {reason} (what it asks for stands above; scancel {job} ends it)"


def watch(say: Callable[[str], None]) -> None:
    """Let the plugin look at its jobs every `OFTEN` seconds and forget none of them; say why jobs wait."""
    import snakemake_executor_plugin_slurm as plugin

    waiting, query = Waiting(), plugin.query_job_status

    async def sleep(self: Any) -> None:
        if jobs := [job.external_jobid for job in self.active_jobs if job.external_jobid]:
            for said in waiting.news(jobs, time.monotonic()):
                say(said)
        await asyncio.sleep(min(OFTEN, self.next_seconds_between_status_checks))

    async def known(command: str, logger: Any) -> tuple[dict[str, str], float]:
        found, seconds = await query(command, logger)
        # None while the controller is down: the plugin would drop all jobs, and wait for them for ever.
        return found or {}, seconds or 0.0

    plugin.Executor.sleep, plugin.query_job_status = sleep, known


def check_alone(folder: Path) -> None:
    """Check that no job of an earlier run in a folder, whose Snakemake was killed, is left in Slurm: it would write
    the same files as this one.

    Raises:
        WorkflowError: names them, and what to do.
    """
    listed = [line.split("|", 2) for line in ask("squeue", "--noheader", "--me", "--format=%i|%Z|%k").splitlines()]
    left = [job for job, place, comment in listed if comment.startswith("rule_") and Path(place) == folder]
    if left:
        raise WorkflowError(
            f"Slurm still has jobs of an earlier run in {folder}, which write the same files: wait until squeue lists "
            f"them no more, or end them with scancel {' '.join(left)}"
        )
