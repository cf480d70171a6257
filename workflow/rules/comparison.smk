# The experiments of a sweep, side by side.


localrules:
    comparison,
    impossible,
    track_comparison,


# What `--report` shows of a comparison, by file: title (it sorts by it) and caption.
SHOWN = {
    "comparison.html": ("1 summary", "comparison"),
    "perplexity.png": ("2 perplexity", "comparison_perplexity"),
    "pruning_rates.png": ("3 pruning rates", "comparison_rates"),
    "kept_groups.png": ("4 choice of groups", "comparison_groups"),
    "gradient_profiles.png": ("5 gradients", "comparison_gradients"),
    "comparison.csv": ("6 table", "comparison_table"),
}


COMPARISON_FILES = [file.path for file in TABLE["comparison"].files]


rule comparison:
    input:
        lambda wildcards: sweep_of(wildcards).experiment_files("comparison"),
    output:
        files=expand(
            "results/{{model}}/comparison/{{sweep}}/{file}",
            file=[file for file in COMPARISON_FILES if file not in SHOWN],
        ),
        shown=[
            report(
                f"results/{{model}}/comparison/{{sweep}}/{file}",
                caption=f"../report/{caption}.rst",
                category="{model} / comparison / {sweep}",
                labels={"result": title},
            )
            for file, (title, caption) in SHOWN.items()
        ],
    log:
        "logs/{model}/comparison/{sweep}/comparison.log",
    params:
        spec=spec("comparison"),
        identity=identity("comparison"),
        members=lambda wildcards: list(sweep_of(wildcards).planned),
        folder=subpath(output[0], parent=True),
    message:
        "Compare the experiments of {wildcards.model}/comparison/{wildcards.sweep}"
    shell:
        "prunescope run comparison {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


rule track_comparison:
    input:
        # The best runs are tagged, so they must be in MLflow first.
        experiments=lambda wildcards: sweep_of(wildcards).experiment_files(
            "track_comparison"
        ),
        comparison="results/{model}/comparison/{sweep}/record.json",
    output:
        "results/{model}/comparison/{sweep}/mlflow.json",
    log:
        "logs/{model}/comparison/{sweep}/track_comparison.log",
    params:
        spec=spec("track_comparison"),
        identity=identity("track_comparison"),
        folder=subpath(output[0], parent=True),
    message:
        "Record {wildcards.model}/comparison/{wildcards.sweep} in MLflow"
    shell:
        "prunescope run track_comparison {params.folder:q} --spec {params.spec:q} 2>&1 | tee {log:q}"


# An experiment that is known to be impossible fails in a rule of its own: the others run, and the exit code says so.
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
