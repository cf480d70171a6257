# results/{model}/{experiment} as a target. Snakemake refuses a directory() output that holds other
# rules' outputs, so each experiment that is typed or listed gets a rule of that very name.

for name, experiment in (
    {planned.directory: planned for planned in listed}
    | {f"{planned.directory}/": planned for planned in listed}
    | typed
).items():

    rule:
        name:
            name
        input:
            experiment.files(),
