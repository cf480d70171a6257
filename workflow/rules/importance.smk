# The search of settings, where a name asks for it (`auto_20_c4`).
# The importance table and the plan: seconds, no model needed.


localrules:
    importance,


rule search:
    input:
        model=ancient(shared("model", "model.json")),
        saliency=shared("gradients", "saliency.safetensors"),
        removal=shared("removal", "block_importance.json"),
        windows=shared("search_text", "windows.safetensors"),
        text=shared("search_text", "manifest.json"),
        gram=shared("gram", "layers"),
        refitted=shared("gram", "samples.safetensors"),
    output:
        search="results/{model}/{experiment}/analysis/search.json",
        searched="results/{model}/{experiment}/analysis/search.parquet",
        record="results/{model}/{experiment}/records/search.json",
    log:
        "logs/{model}/{experiment}/search.log",
    benchmark:
        "logs/{model}/{experiment}/search.benchmark.tsv"
    threads: threads("search")
    resources:
        **asks("search"),
    params:
        spec=spec("search"),
        identity=identity("search"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Search the settings of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run search {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule importance:
    input:
        model=ancient(shared("model", "model.json")),
        search=where("search", "analysis/search.json"),
        saliency=shared("gradients", "saliency.safetensors"),
        statistics=shared("gradients", "gradient_statistics.json"),
        stability=shared("gradients", "stability.json"),
        removal=shared("removal", "block_importance.json"),
    output:
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        plan="results/{model}/{experiment}/analysis/plan.json",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        rates=report(
            "results/{model}/{experiment}/analysis/pruning_summary.csv",
            caption="../report/rates.rst",
            category="{model} / {experiment}",
            subcategory="3 Data",
            labels={"result": "rate of every layer"},
        ),
        statistics="results/{model}/{experiment}/analysis/gradient_statistics.json",
        stability="results/{model}/{experiment}/analysis/stability.json",
        record="results/{model}/{experiment}/records/importance.json",
    log:
        "logs/{model}/{experiment}/importance.log",
    params:
        spec=spec("importance"),
        identity=identity("importance"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Select groups for {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run importance {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
