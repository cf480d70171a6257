# Other programs' formats, made when they are asked for.


rule gguf:
    input:
        checkpoint="results/{model}/{experiment}/model",
        recovered=where("recovery", "recovered"),
    output:
        file="results/{model}/{experiment}/export/gguf/{type}.gguf",
        record="results/{model}/{experiment}/records/gguf_{type}.json",
    log:
        "logs/{model}/{experiment}/gguf_{type}.log",
    threads: threads("gguf")
    resources:
        **asks("gguf"),
    params:
        spec=spec("gguf_{type}"),
        identity=identity("gguf_{type}"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Write {wildcards.type}.gguf of {wildcards.model}/{wildcards.experiment} and compare it with the checkpoint"
    shell:
        "prunescope run gguf {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule uniform:
    input:
        checkpoint="results/{model}/{experiment}/model",
        recovered=where("recovery", "recovered"),
    output:
        checkpoint=directory("results/{model}/{experiment}/export/uniform"),
        record="results/{model}/{experiment}/records/uniform.json",
    log:
        "logs/{model}/{experiment}/uniform.log",
    threads: threads("uniform")
    resources:
        **asks("uniform"),
    params:
        spec=spec("uniform"),
        identity=identity("uniform"),
        folder=subpath(output.record, ancestor=2),
    message:
        "Pad {wildcards.model}/{wildcards.experiment} to a stock checkpoint and compare them"
    shell:
        "prunescope run uniform {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"
