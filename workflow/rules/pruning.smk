# Surgery: the plan becomes a checkpoint that loads.


def gate(wildcards, input):
    """Params function; of `input`, so that another gate is no reason to cut the same checkpoint again."""
    told = planned(wildcards).experiment.settings.diagnosis.on_critical
    return "--fail-on-critical" if told == "fail" else ""


rule pruning:
    input:
        model=ancient(shared("model", "model.json")),
        plan="results/{model}/{experiment}/analysis/plan.json",
        # The diagnosis may stop the run; a report that is merely worded anew must not cut again.
        report=ancient("results/{model}/{experiment}/analysis/gradient_diagnosis.json"),
    output:
        checkpoint=directory("results/{model}/{experiment}/model"),
        record="results/{model}/{experiment}/records/pruning.json",
    log:
        "logs/{model}/{experiment}/pruning.log",
    benchmark:
        "logs/{model}/{experiment}/pruning.benchmark.tsv"
    resources:
        mem_mb=24000,
        runtime=60,
    params:
        spec=own_spec("pruning"),
        gate=gate,
        directory=subpath(output.record, ancestor=2),
    message:
        "Cut the weights of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope prune {params.directory:q} --spec {params.spec:q} --model {input.model:q}"
        " {params.gate} 2>&1 | tee {log:q}"
