# The experiment's page, and its row in MLflow.


localrules:
    page,
    track,


# The page and the row wait for the records of the figures, and do not run again when a figure is drawn again.
def drawn(wildcards):
    """Input function: the records of the figures."""
    own = planned(wildcards)
    names = figures(own.experiment.settings)
    return [f"{own.directory}/records/plot_{name}.json" for name in names]


def records(wildcards):
    """Input function: the records of the experiment's own steps, figures apart."""
    folder = planned(wildcards).directory
    return [
        f"{folder}/records/{task.name}.json" for task in planned(wildcards).recorded
    ]


def measured(wildcards):
    """Input function: what the optional steps measured."""
    found = (planned(wildcards).file(file) for file in MEASURED)
    return [file for file in found if file]


def shared_records(wildcards):
    """Input function: the records of all steps that the experiment shares."""
    return [f"{task.folder}/record.json" for task in planned(wildcards).shared]


rule page:
    input:
        model=ancient(shared("model", "model.json")),
        plan=ancient("results/{model}/{experiment}/analysis/plan.json"),
        refit_text=ancient(shared("refit_text", "manifest.json")),
        recovery_text=ancient(shared("recovery_text", "manifest.json")),
        shared_records=ancient(shared_records),
        search=where("search", "analysis/search.json"),
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        trials=where("trial", "analysis/trials.json"),
        report="results/{model}/{experiment}/analysis/gradient_diagnosis.json",
        refit=where("refit", "analysis/refit.json"),
        scales=where("scales", "analysis/scales.json"),
        perplexity="results/{model}/{experiment}/evaluation/perplexity.json",
        words="results/{model}/{experiment}/evaluation/words.json",
        calibration=shared("calibration", "manifest.json"),
        evaluation_text=shared("evaluation_text", "manifest.json"),
        records=records,
        recovered=where("recovered", "evaluation/recovered.json"),
        recovered_words=where("recovered", "evaluation/recovered_words.json"),
        measured=measured,
        figures=ancient(drawn),
        before_after=where("before_after", "records/before_after.json"),
    output:
        page="results/{model}/{experiment}/README.md",
        html=report(
            "results/{model}/{experiment}/README.html",
            caption="../report/page.rst",
            category="{model} / {experiment}",
            subcategory="1 Summary",
            labels=lambda wildcards, output: menu_entry(output.page),
        ),
        diagnosis="results/{model}/{experiment}/analysis/diagnosis.html",
        card="results/{model}/{experiment}/evaluation/card.json",
        config="results/{model}/{experiment}/config.yaml",
        identity="results/{model}/{experiment}/experiment.json",
    log:
        "logs/{model}/{experiment}/page.log",
    params:
        spec=spec("page"),
        identity=identity("page"),
        facts=facts,
        folder=subpath(output.page, parent=True),
    message:
        "Write the page of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run page {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule track:
    input:
        identity="results/{model}/{experiment}/experiment.json",
        page="results/{model}/{experiment}/README.md",
        records=records,
        figures=ancient(drawn),
        before_after=where("before_after", "records/before_after.json"),
    output:
        "results/{model}/{experiment}/mlflow.json",
    log:
        "logs/{model}/{experiment}/track.log",
    params:
        spec=spec("track"),
        identity=identity("track"),
        folder=subpath(output[0], parent=True),
    message:
        "Record {wildcards.model}/{wildcards.experiment} in MLflow"
    shell:
        "prunescope run track {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
