# Perplexity before and after, on the same windows; zero-shot tasks and efficiency where they are asked for.


rule evaluation_text:
    input:
        model=ancient(before("evaluation_text", "model", "model.json")),
        corpora=ancient(resources("evaluation_text")),
    output:
        windows="results/{model}/_shared/evaluation_text/{key}/windows.safetensors",
        manifest="results/{model}/_shared/evaluation_text/{key}/manifest.json",
        record="results/{model}/_shared/evaluation_text/{key}/record.json",
    log:
        "logs/{model}/evaluation_text/{key}.log",
    params:
        spec=spec("evaluation_text"),
        folder=subpath(output.windows, parent=True),
    message:
        "Cut evaluation windows {wildcards.key}"
    shell:
        "prunescope run evaluation_text {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule baseline:
    input:
        model=ancient(before("baseline", "model", "model.json")),
        windows=before("baseline", "evaluation_text", "windows.safetensors"),
        parts=parts("baseline"),
    output:
        perplexity="results/{model}/_shared/baseline/{key}/perplexity.json",
        losses="results/{model}/_shared/baseline/{key}/losses.parquet",
        words="results/{model}/_shared/baseline/{key}/words.json",
        record="results/{model}/_shared/baseline/{key}/record.json",
    log:
        "logs/{model}/baseline/{key}.log",
    benchmark:
        "results/{model}/_shared/baseline/{key}/benchmark.tsv"
    threads: threads("baseline")
    resources:
        **asks("baseline"),
    params:
        spec=spec("baseline"),
        folder=subpath(output.perplexity, parent=True),
    message:
        "Evaluate the unpruned {wildcards.model}"
    shell:
        "prunescope run baseline {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


use rule baseline as baseline_part with:
    output:
        temp("results/{model}/_shared/baseline/{key}/part.{part}.safetensors"),
    log:
        "logs/{model}/baseline/{key}.{part}.log",
    benchmark:
        "logs/{model}/baseline/{key}.{part}.benchmark.tsv"
    params:
        folder=subpath(output[0], parent=True),
    message:
        "Evaluate the unpruned {wildcards.model}, part {wildcards.part}"


rule evaluation:
    input:
        checkpoint="results/{model}/{experiment}/model",
        windows=shared("evaluation_text", "windows.safetensors"),
        baseline=shared("baseline", "perplexity.json"),
        losses=shared("baseline", "losses.parquet"),
        words=shared("baseline", "words.json"),
        parts=parts("evaluation"),
    output:
        perplexity=report(
            "results/{model}/{experiment}/evaluation/perplexity.json",
            caption="../report/perplexity.rst",
            category="{model} / {experiment}",
            subcategory="3 Data",
            labels={"result": "perplexity"},
        ),
        windows="results/{model}/{experiment}/evaluation/windows.parquet",
        words="results/{model}/{experiment}/evaluation/words.json",
        record="results/{model}/{experiment}/records/evaluation.json",
    log:
        "logs/{model}/{experiment}/evaluation.log",
    benchmark:
        "logs/{model}/{experiment}/evaluation.benchmark.tsv"
    threads: threads("evaluation")
    resources:
        **asks("evaluation"),
    params:
        spec=spec("evaluation"),
        identity=identity("evaluation"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Evaluate {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run evaluation {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


use rule evaluation as evaluation_part with:
    output:
        temp("results/{model}/{experiment}/evaluation/perplexity.{part}.safetensors"),
    log:
        "logs/{model}/{experiment}/evaluation.{part}.log",
    benchmark:
        "logs/{model}/{experiment}/evaluation.{part}.benchmark.tsv"
    params:
        folder=subpath(output[0], ancestor=2),
    message:
        "Evaluate {wildcards.model}/{wildcards.experiment}, part {wildcards.part}"


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
    threads: threads("zeroshot_baseline")
    resources:
        **asks("zeroshot_baseline"),
    params:
        spec=spec("zeroshot_baseline"),
        folder=subpath(output.scores, parent=True),
    message:
        "Run zero-shot tasks on the unpruned {wildcards.model}"
    shell:
        "prunescope run zeroshot_baseline {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule zeroshot:
    input:
        checkpoint="results/{model}/{experiment}/model",
        recovered=where("recovery", "recovered"),
        baseline=shared("zeroshot_baseline", "zeroshot.json"),
    output:
        scores="results/{model}/{experiment}/evaluation/zeroshot.json",
        record="results/{model}/{experiment}/records/zeroshot.json",
    log:
        "logs/{model}/{experiment}/zeroshot.log",
    benchmark:
        "logs/{model}/{experiment}/zeroshot.benchmark.tsv"
    threads: threads("zeroshot")
    resources:
        **asks("zeroshot"),
    params:
        spec=spec("zeroshot"),
        identity=identity("zeroshot"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Run zero-shot tasks on {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run zeroshot {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule gguf_baseline:
    input:
        model=ancient(before("gguf_baseline", "model", "model.json")),
    output:
        files=directory("results/{model}/_shared/gguf_baseline/{key}/gguf"),
        record="results/{model}/_shared/gguf_baseline/{key}/record.json",
    log:
        "logs/{model}/gguf_baseline/{key}.log",
    threads: threads("gguf_baseline")
    resources:
        **asks("gguf_baseline"),
    params:
        spec=spec("gguf_baseline"),
        folder=subpath(output.record, parent=True),
    message:
        "Write the unpruned {wildcards.model} as GGUF"
    shell:
        "prunescope run gguf_baseline {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


def measured_gguf(wildcards):
    """Input function: the exports that are measured."""
    kinds = planned(wildcards).tasks["efficiency"].spec.gguf
    return [f"{planned(wildcards).directory}/export/gguf/{kind}.gguf" for kind in kinds]


rule efficiency:
    input:
        model=ancient(shared("model", "model.json")),
        checkpoint="results/{model}/{experiment}/model",
        recovered=where("recovery", "recovered"),
        gguf=measured_gguf,
        gguf_baseline=shared("gguf_baseline", "gguf"),
    output:
        efficiency="results/{model}/{experiment}/evaluation/efficiency.json",
        record="results/{model}/{experiment}/records/efficiency.json",
    log:
        "logs/{model}/{experiment}/efficiency.log",
    benchmark:
        "logs/{model}/{experiment}/efficiency.benchmark.tsv"
    # All cores of this machine: what runs beside it would be measured too.
    threads: workflow.resource_settings.cores or threads("efficiency")
    resources:
        **asks("efficiency"),
    params:
        spec=spec("efficiency"),
        identity=identity("efficiency"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Measure speed and memory of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run efficiency {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
