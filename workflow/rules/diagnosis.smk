# The trial of other settings, the diagnosis and its figures: before any weight is cut.


localrules:
    diagnosis,
    plot,
    before_after,


rule trial:
    input:
        model=ancient(shared("model", "model.json")),
        search=where("search", "analysis/search.json"),
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        plan="results/{model}/{experiment}/analysis/plan.json",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        statistics="results/{model}/{experiment}/analysis/gradient_statistics.json",
        saliency=shared("gradients", "saliency.safetensors"),
        first_half=shared("gradients", "first_half.safetensors"),
        stability=ancient(shared("gradients", "stability.json")),
        gradients=ancient(shared("gradients", "record.json")),
        removal=shared("removal", "block_importance.json"),
        windows=shared("trial_text", "windows.safetensors"),
        text=shared("trial_text", "manifest.json"),
        gram=shared("gram", "layers"),
        parts=parts("trial"),
    output:
        trials="results/{model}/{experiment}/analysis/trials.json",
        record="results/{model}/{experiment}/records/trial.json",
    log:
        "logs/{model}/{experiment}/trial.log",
    benchmark:
        "logs/{model}/{experiment}/trial.benchmark.tsv"
    threads: threads("trial")
    resources:
        **asks("trial"),
    params:
        spec=spec("trial"),
        identity=identity("trial"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Try other settings for {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run trial {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


use rule trial as trial_part with:
    output:
        temp("results/{model}/{experiment}/analysis/trial.{part}.safetensors"),
    log:
        "logs/{model}/{experiment}/trial.{part}.log",
    benchmark:
        "logs/{model}/{experiment}/trial.{part}.benchmark.tsv"
    params:
        folder=subpath(output[0], ancestor=2),
    message:
        "Try other settings for {wildcards.model}/{wildcards.experiment}, part {wildcards.part}"


rule diagnosis:
    input:
        search=where("search", "analysis/search.json"),
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        statistics="results/{model}/{experiment}/analysis/gradient_statistics.json",
        stability="results/{model}/{experiment}/analysis/stability.json",
        trials=where("trial", "analysis/trials.json"),
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
    params:
        spec=spec("diagnosis"),
        identity=identity("diagnosis"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Diagnose {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run diagnosis {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule plot:
    input:
        search=where("search", "analysis/search.json"),
        searched=where("search", "analysis/search.parquet"),
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        statistics="results/{model}/{experiment}/analysis/gradient_statistics.json",
        trials=where("trial", "analysis/trials.json"),
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
        plot="|".join(FIGURES),
    params:
        spec=spec("plot_{plot}"),
        identity=identity("plot_{plot}"),
        facts=facts,
        folder=subpath(output.figure, ancestor=2),
    message:
        "Draw {wildcards.plot} of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run plot {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


def reference_files(wildcards):
    """Input function: rates and perplexity of the experiment that is compared with."""
    if "before_after" not in planned(wildcards).tasks:
        raise WorkflowError(
            f"{planned(wildcards).directory} has no reference; set report.reference in the configuration"
        )
    return task("before_after", wildcards).spec.elsewhere


rule before_after:
    input:
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        report="results/{model}/{experiment}/analysis/gradient_diagnosis.json",
        perplexity="results/{model}/{experiment}/evaluation/perplexity.json",
        reference=reference_files,
    output:
        figure=report(
            "results/{model}/{experiment}/visualization/before_after.png",
            caption="../report/before_after.rst",
            category="{model} / {experiment}",
            subcategory="2 Diagnosis",
            labels={"result": "beside its reference"},
        ),
        vector="results/{model}/{experiment}/visualization/before_after.svg",
        record="results/{model}/{experiment}/records/before_after.json",
    log:
        "logs/{model}/{experiment}/before_after.log",
    params:
        spec=spec("before_after"),
        identity=identity("before_after"),
        facts=facts,
        folder=subpath(output.record, ancestor=2),
    message:
        "Draw {wildcards.model}/{wildcards.experiment} beside its reference"
    shell:
        "prunescope run before_after {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
