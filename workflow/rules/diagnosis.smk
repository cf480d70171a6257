# The diagnosis and its figures: before any weight is cut.


localrules:
    statistics,


rule statistics:
    input:
        shared("gradients", "gradient_statistics.json"),
        shared("gradients", "stability.json"),
    output:
        "results/{model}/{experiment}/analysis/gradient_statistics.json",
        "results/{model}/{experiment}/analysis/stability.json",
    log:
        "logs/{model}/{experiment}/statistics.log",
    message:
        "Publish the gradient statistics of {wildcards.model}/{wildcards.experiment}"
    shell:
        "(cp {input[0]:q} {output[0]:q}.tmp && mv {output[0]:q}.tmp {output[0]:q}"
        " && cp {input[1]:q} {output[1]:q}.tmp && mv {output[1]:q}.tmp {output[1]:q}) 2> {log:q}"


rule diagnosis:
    input:
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        statistics="results/{model}/{experiment}/analysis/gradient_statistics.json",
        stability="results/{model}/{experiment}/analysis/stability.json",
    output:
        report=report(
            "results/{model}/{experiment}/analysis/gradient_diagnosis.json",
            caption="../report/diagnosis.rst",
            category="{model} / {experiment}",
            subcategory="3 Data",
            labels={"result": "findings"},
        ),
        record="results/{model}/{experiment}/records/diagnosis.json",
    log:
        "logs/{model}/{experiment}/diagnosis.log",
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        spec=own_spec("diagnosis"),
        directory=subpath(output.record, ancestor=2),
    message:
        "Diagnose {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope diagnosis {params.directory:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule plot:
    input:
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        statistics="results/{model}/{experiment}/analysis/gradient_statistics.json",
        report="results/{model}/{experiment}/analysis/gradient_diagnosis.json",
    output:
        figure=report(
            "results/{model}/{experiment}/visualization/{plot}.png",
            caption="../report/plot.rst",
            category="{model} / {experiment}",
            subcategory="2 Diagnosis",
            labels=lambda wildcards: {"result": wildcards.plot.replace("_", " ")},
        ),
        vector="results/{model}/{experiment}/visualization/{plot}.svg",
        record="results/{model}/{experiment}/records/plot_{plot}.json",
    log:
        "logs/{model}/{experiment}/plot_{plot}.log",
    wildcard_constraints:
        plot="|".join(PLOTS),
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        facts=facts,
        directory=subpath(output.figure, ancestor=2),
    message:
        "Draw {wildcards.plot} of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope plot {params.directory:q} {wildcards.plot} 2>&1 | tee {log:q}"


def reference_summary(wildcards):
    reference = planned(wildcards).reference
    if reference is None:
        raise WorkflowError(
            f"{planned(wildcards).directory} has no reference; set report.reference in the configuration"
        )
    return f"results/{reference.model}/{reference.name}/analysis/pruning_summary.json"


rule before_after:
    input:
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        report="results/{model}/{experiment}/analysis/gradient_diagnosis.json",
        reference=reference_summary,
    output:
        figure=report(
            f"results/{{model}}/{{experiment}}/visualization/{BEFORE_AFTER}.png",
            caption="../report/before_after.rst",
            category="{model} / {experiment}",
            subcategory="2 Diagnosis",
            labels={"result": "beside its reference"},
        ),
        vector=f"results/{{model}}/{{experiment}}/visualization/{BEFORE_AFTER}.svg",
        record=f"results/{{model}}/{{experiment}}/records/plot_{BEFORE_AFTER}.json",
    log:
        f"logs/{{model}}/{{experiment}}/plot_{BEFORE_AFTER}.log",
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        spec=own_spec(BEFORE_AFTER),
        facts=facts,
        reference=lambda wildcards: planned(wildcards).reference.name,
        directory=subpath(output.record, ancestor=2),
    message:
        "Draw {wildcards.model}/{wildcards.experiment} beside its reference"
    shell:
        "prunescope plot {params.directory:q} before_after --spec {params.spec:q} 2>&1 | tee {log:q}"
