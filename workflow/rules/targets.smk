# results/{model}/{experiment} as a target. Snakemake refuses a directory() output that holds other
# rules' outputs, so each experiment or sweep that is typed or listed gets a rule of that very name.

for name, files in (
    {planned.directory: planned.files() for planned in listed}
    | {f"{planned.directory}/": planned.files() for planned in listed}
    | {target.typed: target.planned.files() for target in typed if target.whole}
    | {
        target.typed: [file for sweep in target.sweeps for file in sweep.files()]
        for target in typed_sweeps
        if target.whole
    }
).items():

    rule:
        name:
            name
        input:
            files,
