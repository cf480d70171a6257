# Perplexity before and after, on the same windows; zero-shot tasks and efficiency where they are asked for.


rule evaluation_text:
    input:
        model=ancient(before("evaluation_text", "model", "model.json")),
        corpora=ancient(corpora("evaluation_text")),
    output:
        windows="results/{model}/_shared/evaluation_text/{key}/windows.safetensors",
        manifest="results/{model}/_shared/evaluation_text/{key}/manifest.json",
        record="results/{model}/_shared/evaluation_text/{key}/record.json",
    log:
        "logs/{model}/evaluation_text/{key}.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=shared_spec("evaluation_text"),
        corpora=corpus_options,
        directory=subpath(output.windows, parent=True),
    message:
        "Cut evaluation windows {wildcards.key}"
    shell:
        "prunescope evaluation-text --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " {params.corpora} --output {params.directory:q} 2>&1 | tee {log:q}"


rule baseline:
    input:
        model=ancient(before("baseline", "model", "model.json")),
        windows=before("baseline", "evaluation_text", "windows.safetensors"),
    output:
        perplexity="results/{model}/_shared/baseline/{key}/perplexity.json",
        losses="results/{model}/_shared/baseline/{key}/losses.parquet",
        record="results/{model}/_shared/baseline/{key}/record.json",
    log:
        "logs/{model}/baseline/{key}.log",
    benchmark:
        "results/{model}/_shared/baseline/{key}/benchmark.tsv"
    threads: 16
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=120,
    params:
        spec=shared_spec("baseline"),
        directory=subpath(output.perplexity, parent=True),
    message:
        "Evaluate the unpruned {wildcards.model}"
    shell:
        "prunescope baseline --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " --windows {input.windows:q} --output {params.directory:q} 2>&1 | tee {log:q}"


rule evaluation:
    input:
        checkpoint="results/{model}/{experiment}/model",
        windows=shared("evaluation_text", "windows.safetensors"),
        baseline=shared("baseline", "perplexity.json"),
        losses=shared("baseline", "losses.parquet"),
    output:
        perplexity=report(
            "results/{model}/{experiment}/evaluation/perplexity.json",
            caption="../report/perplexity.rst",
            category="{model} / {experiment}",
            subcategory="3 Data",
            labels={"result": "perplexity"},
        ),
        windows="results/{model}/{experiment}/evaluation/windows.parquet",
        record="results/{model}/{experiment}/records/evaluation.json",
    log:
        "logs/{model}/{experiment}/evaluation.log",
    benchmark:
        "logs/{model}/{experiment}/evaluation.benchmark.tsv"
    threads: 16
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=120,
    params:
        spec=own_spec("evaluation"),
        baseline=subpath(input.baseline, parent=True),
        directory=subpath(output.record, ancestor=2),
    message:
        "Evaluate {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope evaluate {params.directory:q} --spec {params.spec:q} --windows {input.windows:q}"
        " --baseline {params.baseline:q} 2>&1 | tee {log:q}"


rule zeroshot_baseline:
    input:
        model=ancient(before("zeroshot_baseline", "model", "model.json")),
    output:
        scores="results/{model}/_shared/zeroshot_baseline/{key}/zeroshot.json",
        record="results/{model}/_shared/zeroshot_baseline/{key}/record.json",
    log:
        "logs/{model}/zeroshot_baseline/{key}.log",
    benchmark:
        "results/{model}/_shared/zeroshot_baseline/{key}/benchmark.tsv"
    threads: 16
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=480,
    params:
        spec=shared_spec("zeroshot_baseline"),
        directory=subpath(output.scores, parent=True),
    message:
        "Run zero-shot tasks on the unpruned {wildcards.model}"
    shell:
        "prunescope zeroshot-baseline --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " --output {params.directory:q} 2>&1 | tee {log:q}"


rule zeroshot:
    input:
        checkpoint=lambda wildcards: planned(wildcards).checkpoint,
        baseline=shared("zeroshot_baseline", "zeroshot.json"),
    output:
        scores="results/{model}/{experiment}/evaluation/zeroshot.json",
        record="results/{model}/{experiment}/records/zeroshot.json",
    log:
        "logs/{model}/{experiment}/zeroshot.log",
    benchmark:
        "logs/{model}/{experiment}/zeroshot.benchmark.tsv"
    threads: 16
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=480,
    params:
        identity=own_identity("zeroshot"),
        spec=lambda wildcards, input: own_spec("zeroshot")(wildcards),
        directory=subpath(output.record, ancestor=2),
        checkpoint=lambda wildcards: planned(wildcards).final,
    message:
        "Run zero-shot tasks on {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope zeroshot {params.directory:q} --spec {params.spec:q} --baseline {input.baseline:q}"
        " --checkpoint {params.checkpoint} 2>&1 | tee {log:q}"


rule gguf_baseline:
    input:
        model=ancient(before("gguf_baseline", "model", "model.json")),
    output:
        files=directory("results/{model}/_shared/gguf_baseline/{key}/gguf"),
        record="results/{model}/_shared/gguf_baseline/{key}/record.json",
    log:
        "logs/{model}/gguf_baseline/{key}.log",
    resources:
        mem_mb=48000,
        runtime=120,
    params:
        spec=shared_spec("gguf_baseline"),
        directory=subpath(output.record, parent=True),
    message:
        "Write the unpruned {wildcards.model} as GGUF"
    shell:
        "prunescope gguf-baseline --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " --output {params.directory:q} 2>&1 | tee {log:q}"


def gguf_baseline(wildcards):
    experiment = planned(wildcards)
    return (
        experiment.shared["gguf_baseline"].file("gguf")
        if experiment.measured_gguf
        else []
    )


rule efficiency:
    input:
        model=ancient(shared("model", "model.json")),
        checkpoint="results/{model}/{experiment}/model",
        final=lambda wildcards: planned(wildcards).checkpoint,
        gguf=lambda wildcards: planned(wildcards).measured_gguf,
        gguf_baseline=gguf_baseline,
    output:
        efficiency="results/{model}/{experiment}/evaluation/efficiency.json",
        record="results/{model}/{experiment}/records/efficiency.json",
    log:
        "logs/{model}/{experiment}/efficiency.log",
    # All cores of this machine: what runs beside it would be measured too.
    threads: workflow.resource_settings.cores or 16
    resources:
        gpu=1,
        mem_mb=64000,
        runtime=120,
    params:
        spec=own_spec("efficiency"),
        directory=subpath(output.record, ancestor=2),
        gguf_baseline=lambda wildcards, input: (
            f"--gguf-baseline {input.gguf_baseline}" if input.gguf_baseline else ""
        ),
    message:
        "Measure speed and memory of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope efficiency {params.directory:q} --spec {params.spec:q} --model {input.model:q}"
        " {params.gguf_baseline} 2>&1 | tee {log:q}"
