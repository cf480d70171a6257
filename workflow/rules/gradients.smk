# The two expensive steps: gradients (all criteria in one pass) and, for T > 0, the removal prior.


rule gradients:
    input:
        model=ancient(before("gradients", "model", "model.json")),
        samples=before("gradients", "calibration", "samples.safetensors"),
        parts=parts("gradients"),
    output:
        saliency="results/{model}/_shared/gradients/{key}/saliency.safetensors",
        first_half="results/{model}/_shared/gradients/{key}/first_half.safetensors",
        statistics="results/{model}/_shared/gradients/{key}/gradient_statistics.json",
        stability="results/{model}/_shared/gradients/{key}/stability.json",
        timing="results/{model}/_shared/gradients/{key}/timing.json",
        record="results/{model}/_shared/gradients/{key}/record.json",
    log:
        "logs/{model}/gradients/{key}.log",
    benchmark:
        "results/{model}/_shared/gradients/{key}/benchmark.tsv"
    threads: threads("gradients")
    resources:
        **asks("gradients"),
    params:
        spec=spec("gradients"),
        folder=subpath(output.saliency, parent=True),
    message:
        "Collect gradients {wildcards.key}"
    shell:
        "prunescope run gradients {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


use rule gradients as gradients_part with:
    output:
        temp("results/{model}/_shared/gradients/{key}/part.{part}.safetensors"),
    log:
        "logs/{model}/gradients/{key}.{part}.log",
    benchmark:
        "logs/{model}/gradients/{key}.{part}.benchmark.tsv"
    params:
        folder=subpath(output[0], parent=True),
    message:
        "Collect gradients {wildcards.key}, part {wildcards.part}"


rule removal:
    input:
        model=ancient(before("removal", "model", "model.json")),
        samples=before("removal", "calibration", "samples.safetensors"),
        parts=parts("removal"),
    output:
        losses="results/{model}/_shared/removal/{key}/block_importance.json",
        record="results/{model}/_shared/removal/{key}/record.json",
    log:
        "logs/{model}/removal/{key}.log",
    benchmark:
        "results/{model}/_shared/removal/{key}/benchmark.tsv"
    threads: threads("removal")
    resources:
        **asks("removal"),
    params:
        spec=spec("removal"),
        folder=subpath(output.losses, parent=True),
    message:
        "Measure removal losses {wildcards.key}"
    shell:
        "prunescope run removal {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


use rule removal as removal_part with:
    output:
        temp("results/{model}/_shared/removal/{key}/part.{part}.safetensors"),
    log:
        "logs/{model}/removal/{key}.{part}.log",
    benchmark:
        "logs/{model}/removal/{key}.{part}.benchmark.tsv"
    params:
        folder=subpath(output[0], parent=True),
    message:
        "Measure removal losses {wildcards.key}, part {wildcards.part}"
