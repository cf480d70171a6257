"""Print the jobs that the real Snakefile plans, with their inputs and outputs, as JSON: run in a project's folder."""

import json
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

import prunescope.runs.preflight as preflight


def jobs(targets: list[str], configfile: str) -> list[dict]:
    # What is not installed here (llama.cpp, lm-eval) must not hide an edge.
    preflight.check_reachable = lambda *_: None
    sys.argv = ["snakemake", *targets]
    with SnakemakeApi(OutputSettings(quiet=set())) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=64, nodes=1),
            config_settings=ConfigSettings(configfiles=[Path(configfile)]),
            snakefile=Path("Snakefile"),
        )
        workflow.dag(dag_settings=DAGSettings(targets=set(targets), forceall=True))
        inner = workflow._workflow
        inner._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True)
        inner._build_dag()
        return [
            {
                "rule": job.rule.name,
                "wildcards": dict(job.wildcards.items()),
                "needs": sorted(str(file) for file in job.input if not file.is_ancient),
                "looks_at": sorted(str(file) for file in job.input if file.is_ancient),
                "outputs": sorted(str(file) for file in job.output),
                "timed": job.benchmark is not None,
                "local": job.rule.name in inner._localrules,
                "asks": {name: job.resources.get(name) for name in ("gpu", "mem_mb", "runtime")},
                "threads": job.threads,
                "log": [str(file) for file in job.log],
            }
            for job in inner.dag.jobs
        ]


if __name__ == "__main__":
    output, configfile, *targets = sys.argv[1:]
    Path(output).write_text(json.dumps(jobs(targets, configfile)))
