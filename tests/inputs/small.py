"""Sources in the configuration, plans, and what is typed."""

import json
import shutil
from pathlib import Path

from inputs.case import EXPERIMENT, MODEL, Case, Edit
from inputs.editing import LAYERS, changed

ROOT = Path(__file__).parents[2]
FOLDER = f"results/m/{EXPERIMENT}"


def nothing_left(project: Path) -> None:
    """Write a plan that removes every group."""
    removed = {str(layer): {"attention": "0-1", "mlp": "0-19"} for layer in range(LAYERS)}
    (project / "plan.json").write_text(json.dumps({"model": "m", "removed": removed}))


def workflow(project: Path) -> None:
    """Copy the workflow, and have the project's configuration in its file."""
    from inputs.run import configuration

    for name in ("Snakefile", "workflow/rules", "workflow/report"):
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / name, target) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, target)
    (project / "config").mkdir()
    (project / "config/config.yaml").write_text(json.dumps(configuration()))


def model(**source: str) -> dict:
    return {"models": {"m": source}}


def typed(name: str, *command: str, edits: tuple[Edit, ...] = (), refused: str | None = None) -> Case:
    """Type a command where an experiment is finished."""
    return Case(name, edits, refused, command[1], last="page", command=command)


HUB_COPY = {"datasets": {"words": {"hub": "someone/words", "path": "someone/words"}}}
LOUD = changed("lm_head", lambda tensor: 1e4 * tensor)
MAX0 = f"{EXPERIMENT}_max0"
TARGET = f"m/{EXPERIMENT}"
APPLY = ("prunescope", "apply", "plan.json", "--like", FOLDER, "--output", "by_hand")

CASES = [
    Case("`~` in the path of a model", config=model(path=f"~/{MODEL}")),
    Case("a hub id given as `path`", (), r"models\.m\.hub|hub:", config=model(path="meta-llama/Llama-3.1-8B")),
    Case("a folder given as `hub`", (), "path", config=model(hub=f"./{MODEL}")),
    Case("a hub id of a text given as `path`", (), "hub", config=HUB_COPY),
    Case("`max0`: nothing may go", (), "nothing", by="importance", experiment=MAX0),
    Case("a head so large that the perplexity is beyond 10^6", (LOUD,), shows=r"perplexity \S{1,16}( |;)"),
    typed("a plan that removes everything", *APPLY, edits=(nothing_left,), refused="every|nothing"),
    typed("`diagnose` of a file of an experiment", "prunescope", "diagnose", f"{FOLDER}/plan.json"),
    typed("`diagnose` of a folder that is no experiment", "prunescope", "diagnose", "texts", refused="texts"),
    typed("`compare` with a file of an experiment", "prunescope", "compare", FOLDER, f"{FOLDER}/plan.json"),
    Case(
        "`snakemake {model}/{experiment}`",
        (workflow,),
        last=None,
        command=("snakemake", "-n", TARGET),
        shows=f"m / {EXPERIMENT}",
    ),
]
