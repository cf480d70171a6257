# The experiments of a sweep, side by side.


localrules:
    comparison,
    impossible,
    track_comparison,


def sweep_of(wildcards):
    """The sweep of a job."""
    return registry.sweep(wildcards.model, wildcards.sweep)


rule comparison:
    input:
        lambda wildcards: sweep_of(wildcards).inputs(),
    output:
        expand("results/{{model}}/comparison/{{sweep}}/{file}", file=COMPARISON_FILES),
    log:
        "logs/{model}/comparison/{sweep}.log",
    params:
        spec=lambda wildcards: sweep_of(wildcards).spec().text(),
        directory=subpath(output[0], parent=True),
    message:
        "Compare the experiments of {wildcards.model}/comparison/{wildcards.sweep}"
    shell:
        "prunescope comparison {params.directory:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule track_comparison:
    input:
        # Best runs are tagged, so that they must be there.
        experiments=lambda wildcards: sweep_of(wildcards).tracked,
        comparison="results/{model}/comparison/{sweep}/record.json",
    output:
        "results/{model}/comparison/{sweep}/mlflow.json",
    log:
        "logs/{model}/comparison/{sweep}/track.log",
    params:
        directory=subpath(output[0], parent=True),
        uri=registry.config.tracking.uri,
    message:
        "Record {wildcards.model}/comparison/{wildcards.sweep} in MLflow"
    shell:
        "prunescope track {params.directory:q} --uri {params.uri:q} 2>&1 | tee {log:q}"


# An experiment that is known to be impossible fails alone: the others run, and the exit code tells.
rule impossible:
    output:
        "results/{model}/comparison/{sweep}/{member}.impossible",
    log:
        "logs/{model}/comparison/{sweep}/{member}.log",
    params:
        why=lambda wildcards: sweep_of(wildcards).impossible[wildcards.member],
    message:
        "{wildcards.model}/{wildcards.member} is impossible"
    shell:
        "echo {params.why:q} > {log:q}; exit 1"


onerror:
    print(report_failures(wanted, sweeps, started), file=sys.stderr)
