# Calibration text: packed windows of tokens.


def calibration_corpora(wildcards):
    texts = step_of("calibration")(wildcards).spec.texts
    return corpus_files({name: text.source for name, text in texts.items()})


rule calibration:
    input:
        model=ancient(before("calibration", "model", "model.json")),
        corpora=ancient(calibration_corpora),
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
        corpora=lambda wildcards, input: [
            f"--corpus {corpus}" for corpus in input.corpora
        ],
        directory=subpath(output.samples, parent=True),
    message:
        "Draw calibration windows {wildcards.key}"
    shell:
        "prunescope calibration --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " {params.corpora} --output {params.directory:q} 2>&1 | tee {log:q}"
