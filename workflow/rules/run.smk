# What a run says and does at its beginning and at its end.


def say(text, kind="said", **more):
    """Log what is for people, so that it comes in order with what Snakemake logs."""
    logger.info(text, extra={"prunescope": kind} | more)


def say_plan():
    names = {f"{one.experiment.model}/{one.experiment.name}" for one in wanted + swept}
    lines = [banner(whole), *map(sweep_table, sweeps)]
    only = names.pop() if len(names) == 1 else ""
    say("\n".join(filter(None, lines)), "plan", only=only)


def say_end():
    if said := tell(asked, [*sweeps]):
        say(f"\n{said}")


failed = Failed(started)


onstart:
    if workflow.executor_plugin.name == "slurm":
        check_alone(Path.cwd())
        watch(say)
    say_plan()
    logger.addHandler(TimeLeft(whole + swept, logger))
    logger.addHandler(failed)


# Page and row in MLflow do not depend on exports, so that a run which made one updates both at its end.
onsuccess:
    for directory in {
        target.planned.directory
        for target in typed
        if target.file.startswith("export/")
    }:
        if Path(directory, "experiment.json").is_file():
            shell("prunescope page {directory:q}")
            if registry.config.tracking.enabled:
                shell("prunescope track {directory:q} --uri {run.tracking_uri:q}")
    say_end()


onerror:
    if said := report_failures(asked, sweeps, started, failed.why):
        say(said)


if workflow.is_main_process:
    if workflow.output_settings.dryrun:
        say_plan()  # Snakemake has no onstart for a dry run
    else:
        logger.addHandler(NothingToDo(say_end))
