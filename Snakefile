"""Prunescope: prune a language model structurally, and explain what happened.

    snakemake --cores all results/{model}/{experiment}
    snakemake --cores all sweep_{name}

An experiment is declared by its name, {criterion}_T{T}[_tau{tau}]_{percent}_{dataset}: see README.md.
Every step is cached under results/{model}/_shared/{step}/{key}/, where the key names all that it
depends on: calibration text -> gradients (-> removal prior) -> importance table -> diagnosis -> pruned
model -> perplexity -> MLflow.
"""

from snakemake.utils import min_version

min_version("9.20")


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
include: "workflow/rules/pruning.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/recovery.smk"
include: "workflow/rules/tracking.smk"
include: "workflow/rules/comparison.smk"
include: "workflow/rules/export.smk"
