# What is done to the pruned weights before they are written (`refit`, `scales` in an experiment's name).


rule refit_text:
    input:
        model=ancient(before("refit_text", "model", "model.json")),
        corpora=ancient(resources("refit_text")),
    output:
        samples="results/{model}/_shared/refit_text/{key}/samples.safetensors",
        manifest="results/{model}/_shared/refit_text/{key}/manifest.json",
        record="results/{model}/_shared/refit_text/{key}/record.json",
    log:
        "logs/{model}/refit_text/{key}.log",
    params:
        spec=spec("refit_text"),
        folder=subpath(output.samples, parent=True),
    message:
        "Draw refit text {wildcards.key}"
    shell:
        "prunescope run refit_text {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule gram:
    input:
        model=ancient(before("gram", "model", "model.json")),
        samples=before("gram", "refit_text", "samples.safetensors"),
    output:
        layers=directory("results/{model}/_shared/gram/{key}/layers"),
        samples="results/{model}/_shared/gram/{key}/samples.safetensors",
        record="results/{model}/_shared/gram/{key}/record.json",
    log:
        "logs/{model}/gram/{key}.log",
    benchmark:
        "results/{model}/_shared/gram/{key}/benchmark.tsv"
    threads: threads("gram")
    resources:
        **asks("gram"),
    params:
        spec=spec("gram"),
        folder=subpath(output.record, parent=True),
    message:
        "Sum up the inputs of the output projections {wildcards.key}"
    shell:
        "prunescope run gram {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule refit:
    input:
        model=ancient(shared("model", "model.json")),
        plan="results/{model}/{experiment}/analysis/plan.json",
        samples=shared("refit_text", "samples.safetensors"),
    output:
        fitted=directory("results/{model}/{experiment}/analysis/refit"),
        report="results/{model}/{experiment}/analysis/refit.json",
        record="results/{model}/{experiment}/records/refit.json",
    log:
        "logs/{model}/{experiment}/refit.log",
    benchmark:
        "logs/{model}/{experiment}/refit.benchmark.tsv"
    threads: threads("refit")
    resources:
        **asks("refit"),
    params:
        spec=spec("refit"),
        identity=identity("refit"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Fit what the cut leaves of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run refit {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule scales:
    input:
        model=ancient(shared("model", "model.json")),
        plan="results/{model}/{experiment}/analysis/plan.json",
        fitted=where("refit", "analysis/refit"),
        samples=shared("refit_text", "samples.safetensors"),
    output:
        scaled=directory("results/{model}/{experiment}/analysis/scales"),
        report="results/{model}/{experiment}/analysis/scales.json",
        record="results/{model}/{experiment}/records/scales.json",
    log:
        "logs/{model}/{experiment}/scales.log",
    benchmark:
        "logs/{model}/{experiment}/scales.benchmark.tsv"
    threads: threads("scales")
    resources:
        **asks("scales"),
    params:
        spec=spec("scales"),
        identity=identity("scales"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Train a factor per kept group of {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope run scales {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
