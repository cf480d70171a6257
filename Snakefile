"""Prunescope: prune a language model structurally, and explain what happened.

    snakemake --cores all results/{model}/{experiment}
    snakemake --cores all sweep_{name}

An experiment is declared by its name, {criterion}_T{T}[_tau{tau}]_{percent}_{dataset}: see README.md.
The way of an experiment: calibration text -> gradients (-> removal losses) -> importance table, plan ->
diagnosis -> pruned model -> perplexity -> page -> MLflow. Steps that experiments share are cached under
results/{model}/_shared/{step}/{key}/; the key is a digest of all that the step's result depends on.
Every rule calls `prunescope run STEP`; the table of steps is workflow/prunescope/steps/.
"""

from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/config.smk"


configfile: "config/config.yaml"


report: "workflow/report/start.rst"


include: "workflow/rules/common.smk"


rule all:
    input:
        [planned.files() for planned in listed],


include: "workflow/rules/targets.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/calibration.smk"
include: "workflow/rules/gradients.smk"
include: "workflow/rules/importance.smk"
include: "workflow/rules/diagnosis.smk"
include: "workflow/rules/repair.smk"
include: "workflow/rules/pruning.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/recovery.smk"
include: "workflow/rules/tracking.smk"
include: "workflow/rules/comparison.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/run.smk"
