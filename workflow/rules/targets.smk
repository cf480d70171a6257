# results/{model}/{experiment} as a target. Snakemake refuses a directory() output that holds other
# rules' outputs, so each experiment or sweep that is typed or listed gets a rule of that very name, and so does a file
# of one whose path was typed in another way than the rules spell it.

for name, files in (
    {planned.directory: planned.files() for planned in listed}
    | {f"{planned.directory}/": planned.files() for planned in listed}
    | {target.typed: target.files for target in [*typed, *typed_sweeps] if target.files}
).items():

    rule:
        name:
            name
        input:
            files,
