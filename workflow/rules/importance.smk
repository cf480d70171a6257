# The importance table and the plan: seconds, no model needed.


def removal_losses(wildcards):
    step = planned(wildcards).shared.get("removal")
    return [step.file("block_importance.json")] if step else []


rule importance:
    input:
        model=ancient(shared("model", "model.json")),
        saliency=shared("gradients", "saliency.safetensors"),
        removal=removal_losses,
    output:
        table="results/{model}/{experiment}/analysis/importance_table.parquet",
        plan="results/{model}/{experiment}/analysis/plan.json",
        summary="results/{model}/{experiment}/analysis/pruning_summary.json",
        rates=report(
            "results/{model}/{experiment}/analysis/pruning_summary.csv",
            caption="../report/rates.rst",
            category="{model} / {experiment}",
            subcategory="3 Data",
            labels={"result": "rate of every layer"},
        ),
        record="results/{model}/{experiment}/records/importance.json",
    log:
        "logs/{model}/{experiment}/importance.log",
    resources:
        mem_mb=4000,
        runtime=20,
    params:
        spec=own_spec("importance"),
        removal=lambda wildcards, input: (
            f"--removal {input.removal}" if input.removal else ""
        ),
        directory=subpath(output.record, ancestor=2),
    message:
        "Select groups for {wildcards.model}/{wildcards.experiment}"
    shell:
        "prunescope importance {params.directory:q} --spec {params.spec:q} --model {input.model:q}"
        " --saliency {input.saliency:q} {params.removal} 2>&1 | tee {log:q}"
