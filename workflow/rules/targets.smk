# results/{model}/{experiment} as a target. Snakemake refuses a directory() output that holds other
# rules' outputs, so each experiment that is typed or listed gets a rule of that very name.

for name, experiment in (
    {experiment.directory: experiment for experiment in listed}
    | {f"{experiment.directory}/": experiment for experiment in listed}
    | {target.typed: target.planned for target in typed if target.whole}
).items():

    rule:
        name:
            name
        input:
            experiment.files(),
