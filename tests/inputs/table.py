"""Run all cases, and write what came of them: as JSON, and with what came before as the table in `docs/inputs.md`.

PYTHONPATH=tests:workflow python -m inputs.table after.json
PYTHONPATH=tests:workflow python -m inputs.table --page tests/inputs/before.json after.json > docs/inputs.md
"""

import argparse
import json
import re
from pathlib import Path

from inputs import configurations, files, names, replays, small, tensors, texts, tokenizers
from inputs.case import STEPS, Case, Outcome

KINDS: dict[str, list[Case]] = {
    "Files of a checkpoint": files.CASES,
    "Names of its tensors": names.CASES,
    "Their shapes, dtypes and values": tensors.CASES,
    "Configurations of models": configurations.CASES,
    "Texts": texts.CASES,
    "Tokenizers": tokenizers.CASES,
    "Replays": replays.CASES,
    "Sources, plans and commands": small.CASES,
}
LONGEST = 420
"""Characters of what is said that are shown."""


Cells = dict[str, str]
"""What came of the cases by their names, as the table has it."""


def page(before: Cells, after: Cells) -> str:
    """Return the table as Markdown."""
    lines = [HEAD]
    for kind, cases in KINDS.items():
        lines += [f"\n## {kind}\n", "| input | before | now |", "|---|---|---|"]
        for case in cases:
            was, now = (results.get(case.name, "") for results in (before, after))
            cells = (case.name, was, "the same" if now == was else now)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


HEAD = """# What people have on their disks

What becomes of a checkpoint, a text or a table as people have them: **the numbers of the measured model, or one
sentence**. Every row is a case of `tests/inputs/`, run through the steps of an experiment on a tiny model. Of a model
that is accepted, the logits are compared with those of transformers loading the same folder, its load report empty, and
those of the pruned checkpoint with the masked model's. *Before* is version 0.2. Faults are in bold.

`PYTHONPATH=tests:workflow python -m inputs.table` runs them again."""


def shown(case: Case, outcome: Outcome) -> str:
    """Return an outcome as a cell of the table, faults in bold."""
    found = re.search(case.shows, outcome.said, re.DOTALL) if case.shows and outcome.kind == "accepted" else None
    said = " ".join(re.sub("[\u2500-\u257f]+", " ", found[0] if found else outcome.said).split())
    said = said.replace("<", "&lt;").replace("*", "\\*")
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]} \u2026"
    said = f"{outcome.kind}: {said}" if outcome.kind == "accepted" else said
    if outcome.kind == "refused" and outcome.step in STEPS[STEPS.index("pruning") :]:
        return f"**only after the whole diagnosis:** {said}"
    wrong = outcome.kind == "defect" or (outcome.kind == "accepted") != (case.refused is None)
    wrong = wrong or (outcome.kind == "accepted" and bool(case.fault(outcome)))
    return f"**{said}**" if wrong else said


def read(file: Path) -> Cells:
    cells: Cells = json.loads(file.read_text())
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, metavar="BEFORE", help="print the table instead, of two files")
    parser.add_argument("file", type=Path)
    told = parser.parse_args()
    if told.page:
        print(page(read(told.page), read(told.file)), end="")
        return
    from inputs.run import run

    cells = {}
    for case in (case for cases in KINDS.values() for case in cases):
        outcome = run(case)
        cells[case.name] = shown(case, outcome)
        print(f"{case.fault(outcome)[:300] or 'as it must be'} <- {case.name}", flush=True)
    told.file.write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
