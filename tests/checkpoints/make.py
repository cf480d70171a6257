"""Write pruned checkpoints to try elsewhere: ``python tests/checkpoints/make.py FOLDER``.

Each case is a folder with ``pruned/``, ``padded/`` (its uniform export), ``masked/`` (the stock model of the same
logits), ``stock/`` (cut alike in all layers), ``expected.safetensors`` and ``ids.json`` (of a text, by the parent's
tokenizer).
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from checkpoints.cases import CASES
from prunescope.export.source import open_source
from prunescope.export.uniform import write_uniform
from prunescope.pruning.checkpoint import write_checkpoint
from tiny import even_plan, mask_model, save_source, tiny_model, tiny_tokens, uneven_plan


def write_cases(folder: Path) -> None:
    """Write all cases."""
    for name, shape in CASES.items():
        write_case(shape, folder / name)


def write_case(shape: dict, folder: Path) -> None:
    model = tiny_model(**shape)
    facts = save_source(model, folder / "source")
    plan = uneven_plan(facts)
    write_checkpoint(facts, plan, folder / "pruned", shard_bytes=20_000)
    (folder / "padded").mkdir()
    write_uniform(open_source(folder / "pruned"), folder / "padded")
    write_checkpoint(facts, even_plan(facts), folder / "stock")
    even = tiny_model(**shape)
    mask_model(even, even_plan(facts))
    mask_model(model, plan)
    model.save_pretrained(folder / "masked")
    _add_old_rope_keys(folder / "masked/config.json")
    with torch.no_grad():
        logits, stock = model(tiny_tokens()).logits, even(tiny_tokens()).logits
    parent = AutoTokenizer.from_pretrained(folder / "source")
    (folder / "ids.json").write_text(json.dumps(dict(parent("w3 w7"))))
    save_file({"tokens": tiny_tokens(), "logits": logits, "stock": stock}, folder / "expected.safetensors")


def _add_old_rope_keys(path: Path) -> None:
    content = json.loads(path.read_text())
    rope = dict(content["rope_parameters"])
    content["rope_theta"] = rope.pop("rope_theta")
    content["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    write_cases(Path(sys.argv[1]))
