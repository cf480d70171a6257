"""Whether this machine has what an experiment needs: a table of what was found and what to do."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from prunescope.config.files import CONFIG_FILE, load_merged
from prunescope.config.resolve import parse_config
from prunescope.environment import check_environment
from prunescope.errors import PrunescopeError
from prunescope.packages import OPTIONAL, installing
from prunescope.runs.checks import Check, Status
from prunescope.runs.machine import disks, machine, network
from prunescope.runs.origins import origins, remote, weights
from prunescope.steps.planned import Planned
from prunescope.steps.registry import Registry
from prunescope.tracking.store import check_folder, redact, tracking_uri


def examine(targets: Sequence[str], overlays: Sequence[Path]) -> list[Check]:
    """Look at the machine, and at what the configuration and the targets need of it.

    Args:
        targets: as typed after `snakemake`; none: those of the configuration.
        overlays: configuration files beside the default one.
    """
    checks, wanted = [*machine(), *_variables()], []
    try:
        registry = Registry(parse_config(*load_merged(CONFIG_FILE, overlays, {})))
    except PrunescopeError as error:
        return [*checks, *disks(()), Check("configuration", "missing", str(error), "correct it")]
    try:
        wanted = _wanted(registry, targets)
    except PrunescopeError as error:
        checks.append(Check("targets", "missing", str(error), "correct the configuration or the name"))
    checks += disks(weights(one.experiment.source) for one in wanted)
    checks += network(remote(wanted))
    checks += origins(registry.config, wanted)
    return [*checks, *_packages(wanted), *_store(registry.config.tracking.uri)]


def _wanted(registry: Registry, targets: Sequence[str]) -> list[Planned]:
    if not targets:
        return [registry.experiment(*target.split("/")) for target in registry.config.targets]
    found = [target.planned for target in registry.targets(targets)]
    sweeps = [sweep for target in registry.sweep_targets(targets) for sweep in target.sweeps]
    return found + [planned for sweep in sweeps for planned in sweep.planned.values()]


def _variables() -> Iterator[Check]:
    try:
        check_environment()
    except PrunescopeError as error:
        yield Check("environment", "missing", str(error), "correct or unset it")


def _packages(wanted: Iterable[Planned]) -> Iterator[Check]:
    needed = {task.step.package for planned in wanted for task in (*planned.shared, *planned.own)}
    for package in OPTIONAL:
        if package.installed:
            yield Check(package.module, "ok", f"installed ({package.purpose})")
        else:
            status: Status = "missing" if package in needed else "note"
            found = f"not installed: {package.purpose}" + (", which the targets need" if package in needed else "")
            yield Check(package.module, status, found, installing(package.extra))


def _store(uri: str) -> Iterator[Check]:
    try:
        check_folder(address := tracking_uri(uri))
    except PrunescopeError as error:
        yield Check("MLflow", "missing", str(error), "correct tracking.uri")
    else:
        yield Check("MLflow", "ok", redact(address))
