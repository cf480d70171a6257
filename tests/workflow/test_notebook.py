"""The notebook of the documentation runs, cell by cell, on an experiment that is there."""

import json
from pathlib import Path

import matplotlib

NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/first_look.ipynb"
DEMO = '"SmolLM2-135M", "taylor_T1_tau0_20_wiki"'


def test_every_cell_runs(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder)
    matplotlib.use("Agg")
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in cells]
    assert sum(DEMO in source for source in sources) == 1
    names = {}
    for number, source in enumerate(sources):
        exec(compile(source.replace(DEMO, '"tiny", "taylor_T1_tau0_20_words"'), f"cell {number}", "exec"), names)
    assert len(names["rates"]) == 4
    assert [line.split(":")[0] for line in capsys.readouterr().out.split("\n\n") if line] == ["unpruned", "pruned"]
