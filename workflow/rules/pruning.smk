# Surgery: the plan becomes a checkpoint that loads.


rule pruning:
    input:
        model=ancient(shared("model", "model.json")),
        plan="results/{model}/{experiment}/analysis/plan.json",
        fitted=where("refit", "analysis/refit"),
        scaled=where("scales", "analysis/scales"),
        # The diagnosis may stop the run, but a report with new words must not cut again.
        report=ancient("results/{model}/{experiment}/analysis/gradient_diagnosis.json"),
    output:
        checkpoint=directory("results/{model}/{experiment}/model"),
        record="results/{model}/{experiment}/records/pruning.json",
    log:
        "logs/{model}/{experiment}/pruning.log",
    benchmark:
        "logs/{model}/{experiment}/pruning.benchmark.tsv"
    threads: threads("pruning")
    resources:
        **asks("pruning"),
    params:
        spec=spec("pruning"),
        identity=identity("pruning"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Cut the weights of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run pruning {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
