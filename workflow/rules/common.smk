# The configuration, and the functions that rules look things up with.

import json
import os
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from prunescope.runs.banner import banner, sweep_table
from prunescope.runs.changed import changed
from prunescope.config import parse_config
from prunescope.steps.places import CORPUS_VERSION, corpus_files, wheel_file
from prunescope.steps.planned import BEFORE_AFTER, COMPARISON_FILES, PLOTS
from prunescope.steps.targets import Registry, Target, without_files
from prunescope.steps.specs import GgufSpec, canonical
from prunescope.runs.started import STARTED
from prunescope.errors import PrunescopeError
from prunescope.runs.failures import report_failures
from prunescope.reporting.captions import captions
from prunescope.reporting.headline import headline
from prunescope.runs.preflight import check_finished, check_one, check_reachable
from prunescope.runs.remaining import TimeLeft
from prunescope.tracking.store import redact, tracking_uri

started = time.time()

# `.venv/bin/snakemake` works without activating the environment: the rules find its `prunescope` first.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# Jobs on a cluster parse this file again without the command line that started the run.
if workflow.is_main_process or STARTED not in os.environ:
    os.environ[STARTED] = json.dumps(sys.argv[1:])


envvars:
    STARTED,


# Bars are drawn over and over: what jobs print would tear them, and is in their logs.
if workflow.output_settings and "rich" in workflow.output_settings.log_handler_settings:
    shell.prefix("set -euo pipefail; exec > /dev/null; ")


wildcard_constraints:
    model="[^/]+",
    experiment="(?!comparison/)[^/_][^/]*",
    sweep="[^/]+",
    member="[^/]+",
    key="[^/]+",


try:
    arguments = without_files(json.loads(os.environ[STARTED]))
    reporting = any(argument.startswith("--report") for argument in arguments)
    registry = Registry(
        parse_config(config), check=check_finished if reporting else check_one
    )
    typed = registry.targets(arguments)
    typed_sweeps = registry.sweep_targets(arguments)
    sweeps = {
        sweep.directory: sweep for target in typed_sweeps for sweep in target.sweeps
    }.values()
    listed = [
        registry.experiment(*target.split("/")) for target in registry.config.targets
    ]
    default = [] if sweeps else [Target(one.directory, one, "") for one in listed]
    asked = typed or default
    wanted = [target.planned for target in asked]
    # Whose every step counts; of the others only a file was asked for.
    whole = [target.planned for target in asked if target.whole]
    swept = [planned for sweep in sweeps for planned in sweep.planned.values()]
    if workflow.is_main_process:
        check_reachable(wanted + registry.references(wanted))
        for said in filter(None, map(changed, whole + swept)):
            logger.warning(said)
except PrunescopeError as error:
    raise WorkflowError(str(error))

# The steps read the address from here: a password in it is on no command line and in no log.
os.environ["MLFLOW_TRACKING_URI"] = tracking_uri(registry.config.tracking.uri)
TRACKING_URI = redact(registry.config.tracking.uri)


def default_experiments():
    """Experiments of `targets:` in the configuration."""
    return listed


def planned(wildcards):
    """The experiment of a job."""
    return registry.experiment(wildcards.model, wildcards.experiment)


def facts(wildcards):
    """Params function: what the job's experiment does, for the captions of the report."""
    return captions(planned(wildcards).experiment)


def shared(step, file):
    """Input function: a file of a shared step of the job's experiment."""
    return lambda wildcards: planned(wildcards).shared[step].file(file)


def own_identity(step):
    """Params function: what decides the result of one of the experiment's own steps, paths left out."""
    return lambda wildcards: canonical(planned(wildcards).own[step].identity())


def own_spec(step):
    """Params function: what one of the experiment's own steps is told."""
    return lambda wildcards: planned(wildcards).own[step].text()


def step_of(step):
    """Function: the shared step that the job's key stands for."""
    return lambda wildcards: registry.step(wildcards.model, step, wildcards.key)


def shared_spec(step):
    """Params function: what a shared step is told.

    All that decides is in its key. The paths beside it must not make it run again: Snakemake does not compare what
    is a function of `input`.
    """
    return lambda wildcards, input: step_of(step)(wildcards).spec.text()


def corpora(step):
    """Input function: the documents of the embedded texts that a shared step reads."""
    return lambda wildcards: corpus_files(
        {
            name: text.source
            for name, text in step_of(step)(wildcards).spec.texts.items()
        }
    )


def corpus_options(wildcards, input):
    """Params function: the same as options of its command."""
    return [f"--corpus {corpus}" for corpus in input.corpora]


def before(step, field, file):
    """Input function: a file of the shared step whose key `field` of the job's spec holds."""
    return lambda wildcards: (
        f"results/{wildcards.model}/_shared/{field}/{getattr(step_of(step)(wildcards).spec, field)}/{file}"
    )


def print_banner():
    lines = [banner(whole), *map(sweep_table, sweeps)]
    print("\n".join(line for line in lines if line), file=sys.stderr)


onstart:
    print_banner()
    logger.addHandler(TimeLeft(whole + swept, logger))


if workflow.is_main_process and {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
    print_banner()  # Snakemake has no onstart for a dry run
