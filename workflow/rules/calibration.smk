# Calibration text: packed windows of tokens.


def calibration_corpus(wildcards):
    spec = step_of("calibration")(wildcards).spec
    file = corpus_file(spec.dataset, spec.text_source.source)
    return [file] if file else []


rule calibration:
    input:
        model=ancient(before("calibration", "model", "model.json")),
        corpus=ancient(calibration_corpus),
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
        corpus=lambda wildcards, input: (
            f"--corpus {input.corpus}" if input.corpus else ""
        ),
        directory=subpath(output.samples, parent=True),
    message:
        "Draw calibration windows {wildcards.key}"
    shell:
        "prunescope calibration --spec {params.spec:q} --key {wildcards.key} --model {input.model:q}"
        " {params.corpus} --output {params.directory:q} 2>&1 | tee {log:q}"
