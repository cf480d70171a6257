# The configuration, and the functions that rules look things up with.

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from prunescope.artifacts.folders import RESULTS
from prunescope.config.files import CONFIG_FILE, Origin, load_merged
from prunescope.config.resolve import parse_config
from prunescope.cli.unexpected import describe
from prunescope.environment import DEBUG, ONE_GPU, check_environment, switch
from prunescope.errors import PrunescopeError
from prunescope.reporting.captions import captions, menu_entry
from prunescope.runs.banner import banner, sweep_table
from prunescope.runs.copies import copied
from prunescope.runs.preflight import changed
from prunescope.runs.ending import NothingToDo, tell
from prunescope.runs.failures import Failed, report_failures
from prunescope.runs.preflight import check_finished, check_reachable, twin
from prunescope.runs.estimates import TimeLeft
from prunescope.runs.slurm import check_alone, watch
from prunescope.runs.terminal import shows_steps
from prunescope.steps.spec import start
from prunescope.steps.diagnosis import FIGURES, figures
from prunescope.steps.spec import Run
from prunescope.steps.registry import Registry, Target, without_files
from prunescope.steps.reporting import MEASURED
from prunescope.steps.table import TABLE
from prunescope.tracking.store import redact, tracking_uri

started = time.time()

# `.venv/bin/snakemake` works without activating the environment: the rules find its `prunescope` first.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# Snakemake knows its targets only when this file has been read; jobs on a cluster read it without the command line.
TYPED = "PRUNESCOPE_TARGETS"
if workflow.is_main_process or TYPED not in os.environ:
    os.environ[TYPED] = json.dumps(sys.argv[1:])


envvars:
    TYPED,


# Where several jobs may use GPUs at a time (`--resources gpu=4`), each takes a free one and sees it alone.
if (workflow.global_resources.get("gpu").value or 1) > 1:
    os.environ.setdefault(ONE_GPU, "1")


# What jobs print goes to their logs alone, unless whoever runs this asks for all that is said.
if (
    workflow.is_main_process
    and "prunescope" in workflow.output_settings.log_handler_settings
):
    if shows_steps(workflow.output_settings):
        shell.prefix("set -euo pipefail; exec > /dev/null; ")


wildcard_constraints:
    model="[^/]+",
    experiment="(?!comparison/)[^/_][^/]*",
    sweep="[^/]+",
    member="[^/]+",
    key="[^/]+",
    part=r"\d+of\d+",


def told():
    """The configuration: that of the files or, in another workflow, what this module is given."""
    if workflow.modifier.skip_configfile:
        return parse_config(
            config,
            Origin({f"config of the module {workflow.modifier.namespace}": config}),
        )
    # Merged again by us: Snakemake's own merge loses a section that a file sets to `{}` over null.
    default = None if workflow.config_settings.replace_workflow_config else CONFIG_FILE
    overrides = workflow.config_settings.config or {}
    return parse_config(
        *load_merged(default, workflow.overwrite_configfiles, overrides)
    )


try:
    arguments = without_files(json.loads(os.environ[TYPED]))
    reporting = any(argument.startswith("--report") for argument in arguments)
    settings = told()
    # The steps read the address from here: a password in it is on no command line and in no log.
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(settings.tracking.uri)
    run = Run(
        start(workflow.overwrite_configfiles, json.loads(os.environ[TYPED])),
        redact(os.environ["MLFLOW_TRACKING_URI"]),
        settings.shards,
    )
    registry = Registry(settings, run, check_finished if reporting else check_reachable)
    typed = registry.targets(arguments)
    typed_sweeps = registry.sweep_targets(arguments)
    sweeps = {
        sweep.directory: sweep for target in typed_sweeps for sweep in target.sweeps
    }.values()
    # What is not asked for may not fit the configuration.
    listed = registry.listed(needed=not (typed or typed_sweeps))
    default = [] if sweeps else [Target(one.directory, one, "") for one in listed]
    asked = typed or default
    wanted = [target.planned for target in asked]
    # Experiments that are wanted with all their files; of the others only a file was asked for.
    whole = [target.planned for target in asked if target.whole]
    swept = [planned for sweep in sweeps for planned in sweep.planned.values()]
    check_environment()
    if workflow.is_main_process:
        for one in wanted + registry.references(wanted):
            check_reachable(one)
        for say in (changed, copied, partial(twin, config=registry.config)):
            for said in filter(None, map(say, whole + swept)):
                logger.warning(said)
except PrunescopeError as error:
    raise WorkflowError(str(error))
except Exception as error:
    if switch(DEBUG):
        raise
    raise WorkflowError(describe(error, "reading the workflow"))


def planned(wildcards):
    """The experiment of a job."""
    return registry.experiment(wildcards.model, wildcards.experiment)


def sweep_of(wildcards):
    """The sweep of a job."""
    return registry.sweep(wildcards.model, wildcards.sweep)


def task(name, wildcards):
    """The task of a job: a step with what it is told. A name may hold wildcards, such as `plot_{plot}`."""
    told = dict(wildcards.items())
    if "key" in told:
        return registry.task(wildcards.model, name, wildcards.key)
    if "sweep" in told:
        return sweep_of(wildcards).tasks[name]
    if "experiment" in told:
        return planned(wildcards).tasks[name.format(**told)]
    return registry.resource(name, told)


def spec(name):
    """Params function: what a step is told.

    It takes `input` because Snakemake does not compare such params with those of the last run: the spec also holds
    paths, and one that changes is no reason to run again. What is a reason is in the key of a shared step, and in
    `identity` of the others.
    """
    return lambda wildcards, input: task(name, wildcards).told(
        wildcards.get("part", "")
    )


def identity(name):
    """Params function: what decides the result of a step whose files carry no key. Snakemake compares it."""
    return lambda wildcards: task(name, wildcards).spec.decides()


def asks(step):
    """Resources of a step, which follow the size of the model; those of a profile's `set-resources` win."""

    def asked(name):
        return lambda wildcards, attempt: TABLE[step].work.resources(
            registry.parameters(wildcards.model), attempt
        )[name]

    return {name: asked(name) for name in TABLE[step].work.resources(0)}


def threads(step):
    """Threads of a step."""
    return lambda wildcards: TABLE[step].work.threads(
        registry.parameters(wildcards.model)
    )


def facts(wildcards):
    """Params function: what the job's experiment does, for the captions of the report."""
    return captions(planned(wildcards).experiment)


def before(name, step, file):
    """Input function of a shared step: a file of a shared step before it."""
    return lambda wildcards: (
        f"{RESULTS}/{wildcards.model}/_shared/{step}/{task(name, wildcards).spec.inputs[step]}/{file}"
    )


def parts(name):
    """Input function: what the jobs left that share the work of a step (`shards`); none where one job does it all.

    The job of a part has the rule, and with it the inputs, of the step itself.
    """
    return lambda wildcards: (
        [] if "part" in wildcards.keys() else task(name, wildcards).parts
    )


def resources(name):
    """Input function: the downloaded files that a step reads."""
    return lambda wildcards: task(name, wildcards).spec.resources


def shared(step, file):
    """Input function of an experiment's own step: a file of a shared step; none where the experiment does without."""
    return lambda wildcards: [
        f"{task.folder}/{file}"
        for task in planned(wildcards).shared
        if task.name == step
    ]


def where(step, file):
    """Input function: a file of another step of the experiment; none where it does without that step."""
    return lambda wildcards: (
        f"{planned(wildcards).directory}/{file}"
        if step in planned(wildcards).tasks
        else []
    )
