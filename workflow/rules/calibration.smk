# Calibration text: packed windows of tokens.


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
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=spec("calibration"),
        folder=subpath(output.samples, parent=True),
    message:
        "Draw calibration windows {wildcards.key}"
    shell:
        "prunescope run calibration {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
