# Calibration text, and held-out text that settings are tried and searched on: packed windows of tokens.


rule calibration:
    input:
        model=ancient(before("calibration", "model", "model.json")),
        corpora=ancient(resources("calibration")),
    output:
        samples="results/{model}/_shared/calibration/{key}/samples.safetensors",
        manifest="results/{model}/_shared/calibration/{key}/manifest.json",
        record="results/{model}/_shared/calibration/{key}/record.json",
    log:
        "logs/{model}/calibration/{key}.log",
    params:
        spec=spec("calibration"),
        folder=subpath(output.samples, parent=True),
    message:
        "Draw calibration windows {wildcards.key}"
    shell:
        "prunescope run calibration {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule trial_text:
    input:
        model=ancient(before("trial_text", "model", "model.json")),
        corpora=ancient(resources("trial_text")),
    output:
        windows="results/{model}/_shared/trial_text/{key}/windows.safetensors",
        manifest="results/{model}/_shared/trial_text/{key}/manifest.json",
        record="results/{model}/_shared/trial_text/{key}/record.json",
    log:
        "logs/{model}/trial_text/{key}.log",
    params:
        spec=spec("trial_text"),
        folder=subpath(output.windows, parent=True),
    message:
        "Draw trial windows {wildcards.key}"
    shell:
        "prunescope run trial_text {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule search_text:
    input:
        model=ancient(before("search_text", "model", "model.json")),
        corpora=ancient(resources("search_text")),
    output:
        windows="results/{model}/_shared/search_text/{key}/windows.safetensors",
        manifest="results/{model}/_shared/search_text/{key}/manifest.json",
        record="results/{model}/_shared/search_text/{key}/record.json",
    log:
        "logs/{model}/search_text/{key}.log",
    params:
        spec=spec("search_text"),
        folder=subpath(output.windows, parent=True),
    message:
        "Draw search windows {wildcards.key}"
    shell:
        "prunescope run search_text {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
