# Calibration text: packed windows of tokens.


rule calibration:
    input:
        model=ancient(before("calibration", "model", "model.json")),
        corpora=ancient(corpora("calibration")),
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
        spec=shared_spec("calibration"),
        corpora=corpus_options,
        directory=subpath(output.samples, parent=True),
    message:
        "Draw calibration windows {wildcards.key}"
    shell:
        "prunescope calibration --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " {params.corpora} --output {params.directory:q} 2>&1 | tee {log:q}"
