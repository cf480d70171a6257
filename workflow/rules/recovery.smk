# LoRA fine-tuning of the pruned model, where it is asked for (`recover` in an experiment's name).


rule recovery_text:
    input:
        model=ancient(before("recovery_text", "model", "model.json")),
        corpora=ancient(corpora("recovery_text")),
    output:
        samples="results/{model}/_shared/recovery_text/{key}/samples.safetensors",
        manifest="results/{model}/_shared/recovery_text/{key}/manifest.json",
        record="results/{model}/_shared/recovery_text/{key}/record.json",
    log:
        "logs/{model}/recovery_text/{key}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        spec=shared_spec("recovery_text"),
        corpora=corpus_options,
        directory=subpath(output.samples, parent=True),
    message:
        "Draw recovery text {wildcards.key}"
    shell:
        "prunescope recovery-text --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " {params.corpora} --output {params.directory:q} 2>&1 | tee {log:q}"


rule recovery:
    input:
        checkpoint="results/{model}/{experiment}/model",
        samples=shared("recovery_text", "samples.safetensors"),
    output:
        checkpoint=directory("results/{model}/{experiment}/recovered"),
        record="results/{model}/{experiment}/records/recovery.json",
    log:
        "logs/{model}/{experiment}/recovery.log",
    benchmark:
        "logs/{model}/{experiment}/recovery.benchmark.tsv"
    threads: 16
    resources:
        gpu=1,
        mem_mb=64000,
        runtime=720,
    params:
        spec=own_spec("recovery"),
        text=subpath(input.samples, parent=True),
        directory=subpath(output.record, ancestor=2),
    message:
        "Train {wildcards.model}/{wildcards.experiment} after pruning"
    shell:
        "prunescope recover {params.directory:q} --spec {params.spec:q} --text {params.text:q} 2>&1 | tee {log:q}"


rule recovered:
    input:
        checkpoint="results/{model}/{experiment}/recovered",
        windows=shared("evaluation_text", "windows.safetensors"),
        perplexity="results/{model}/{experiment}/evaluation/perplexity.json",
        losses="results/{model}/{experiment}/evaluation/windows.parquet",
    output:
        perplexity="results/{model}/{experiment}/evaluation/recovered.json",
        windows="results/{model}/{experiment}/evaluation/recovered.parquet",
        record="results/{model}/{experiment}/records/recovered.json",
    log:
        "logs/{model}/{experiment}/recovered.log",
    benchmark:
        "logs/{model}/{experiment}/recovered.benchmark.tsv"
    threads: 16
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=120,
    params:
        spec=own_spec("recovered"),
        directory=subpath(output.record, ancestor=2),
    message:
        "Evaluate the trained {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope evaluate-recovered {params.directory:q} --spec {params.spec:q} --windows {input.windows:q}"
        " 2>&1 | tee {log:q}"
