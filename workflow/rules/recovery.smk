# Training of the pruned model, where it is asked for (`recover` in an experiment's name).


rule recovery_text:
    input:
        model=ancient(before("recovery_text", "model", "model.json")),
        corpora=ancient(resources("recovery_text")),
    output:
        samples="results/{model}/_shared/recovery_text/{key}/samples.safetensors",
        manifest="results/{model}/_shared/recovery_text/{key}/manifest.json",
        record="results/{model}/_shared/recovery_text/{key}/record.json",
    log:
        "logs/{model}/recovery_text/{key}.log",
    params:
        spec=spec("recovery_text"),
        folder=subpath(output.samples, parent=True),
    message:
        "Draw recovery text {wildcards.key}"
    shell:
        "prunescope run recovery_text {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule recovery:
    input:
        model=ancient(shared("model", "model.json")),
        checkpoint="results/{model}/{experiment}/model",
        samples=shared("recovery_text", "samples.safetensors"),
        manifest=ancient(shared("recovery_text", "manifest.json")),
    output:
        checkpoint=directory("results/{model}/{experiment}/recovered"),
        record="results/{model}/{experiment}/records/recovery.json",
    log:
        "logs/{model}/{experiment}/recovery.log",
    benchmark:
        "logs/{model}/{experiment}/recovery.benchmark.tsv"
    threads: threads("recovery")
    resources:
        **asks("recovery"),
    params:
        spec=spec("recovery"),
        identity=identity("recovery"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Train {wildcards.model}/{wildcards.experiment} after pruning"
    shell:
        "prunescope run recovery {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule recovered:
    input:
        checkpoint="results/{model}/{experiment}/recovered",
        windows=shared("evaluation_text", "windows.safetensors"),
        perplexity="results/{model}/{experiment}/evaluation/perplexity.json",
        losses="results/{model}/{experiment}/evaluation/windows.parquet",
        words="results/{model}/{experiment}/evaluation/words.json",
        parts=parts("recovered"),
    output:
        perplexity="results/{model}/{experiment}/evaluation/recovered.json",
        windows="results/{model}/{experiment}/evaluation/recovered.parquet",
        words="results/{model}/{experiment}/evaluation/recovered_words.json",
        record="results/{model}/{experiment}/records/recovered.json",
    log:
        "logs/{model}/{experiment}/recovered.log",
    benchmark:
        "logs/{model}/{experiment}/recovered.benchmark.tsv"
    threads: threads("recovered")
    resources:
        **asks("recovered"),
    params:
        spec=spec("recovered"),
        identity=identity("recovered"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Evaluate {wildcards.model}/{wildcards.experiment} after training"
    shell:
        "prunescope run recovered {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


use rule recovered as recovered_part with:
    output:
        temp("results/{model}/{experiment}/evaluation/recovered.{part}.safetensors"),
    log:
        "logs/{model}/{experiment}/recovered.{part}.log",
    benchmark:
        "logs/{model}/{experiment}/recovered.{part}.benchmark.tsv"
    params:
        folder=subpath(output[0], ancestor=2),
    message:
        "Evaluate {wildcards.model}/{wildcards.experiment} after training, part {wildcards.part}"
