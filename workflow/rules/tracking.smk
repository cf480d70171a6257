# The experiment's page, and its row in MLflow.


localrules:
    page,
    track,


# A figure that is drawn again is the same figure: not the figures, their records, and no reason to run again.
FIGURES = expand(
    "results/{{model}}/{{experiment}}/records/plot_{plot}.json", plot=PLOTS
)


def before_after_record(wildcards):
    """The record of the one figure that changes with another experiment, where there is a reference."""
    experiment = planned(wildcards)
    if experiment.reference is None:
        return []
    return f"{experiment.directory}/records/plot_{BEFORE_AFTER}.json"


rule page:
    input:
        model=ancient(shared("model", "model.json")),
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        report="results/{model}/{experiment}/analysis/gradient_diagnosis.json",
        perplexity="results/{model}/{experiment}/evaluation/perplexity.json",
        calibration=shared("calibration", "manifest.json"),
        evaluation_text=shared("evaluation_text", "manifest.json"),
        records=lambda wildcards: planned(wildcards).records,
        optional=lambda wildcards: planned(wildcards).optional,
        figures=ancient(FIGURES),
        before_after=before_after_record,
    output:
        page="results/{model}/{experiment}/README.md",
        html=report(
            "results/{model}/{experiment}/README.html",
            caption="../report/page.rst",
            category="{model} / {experiment}",
            subcategory="1 Summary",
            labels=lambda wildcards, output: headline(output.page),
        ),
        diagnosis="results/{model}/{experiment}/analysis/diagnosis.html",
        card="results/{model}/{experiment}/evaluation/card.json",
        config="results/{model}/{experiment}/config.yaml",
        identity="results/{model}/{experiment}/experiment.json",
    log:
        "logs/{model}/{experiment}/page.log",
    params:
        spec=own_spec("page"),
        facts=facts,
        directory=subpath(output.page, parent=True),
    message:
        "Write the page of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope page {params.directory:q} --spec {params.spec:q} --model {input.model:q} 2>&1 | tee {log:q}"


rule track:
    input:
        identity="results/{model}/{experiment}/experiment.json",
        page="results/{model}/{experiment}/README.md",
        records=lambda wildcards: planned(wildcards).records,
        figures=ancient(FIGURES),
        before_after=before_after_record,
    output:
        "results/{model}/{experiment}/mlflow.json",
    log:
        "logs/{model}/{experiment}/track.log",
    params:
        directory=subpath(output[0], parent=True),
        uri=TRACKING_URI,
    message:
        "Record {wildcards.model}/{wildcards.experiment} in MLflow"
    shell:
        "prunescope track {params.directory:q} --uri {params.uri:q} 2>&1 | tee {log:q}"
