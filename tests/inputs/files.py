"""Checkpoint folders: which of the files in them hold the weights."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from inputs.case import Case, Edit
from inputs.editing import (
    FIRST,
    HEAD,
    INDEX,
    LAYERS,
    LFS,
    NORM,
    SECOND,
    SINGLE,
    changed,
    cut_short,
    deleted,
    indexed,
    linked,
    moved,
    sharded,
    stored,
    written,
)


def beside(edit: Edit, factor: float = 1.5) -> Edit:
    """Have a whole single file beside what `edit` makes of another model's weights."""

    def both(project: Path) -> None:
        whole = (project / "model" / SINGLE).read_bytes()
        changed("", lambda tensor: factor * tensor)(project)
        edit(project)
        (project / "model" / SINGLE).write_bytes(whole)

    return both


def mapped(name: str, file: object) -> Edit:
    """Say of one tensor in the index where it is."""
    return indexed(lambda index: index["weight_map"].update({name: file}))


def unmapped(name: str) -> Edit:
    return indexed(lambda index: index["weight_map"].pop(name) and None)


def whole_index(index: dict) -> dict:
    return index | {"weight_map": dict.fromkeys(index["weight_map"], SINGLE)}


ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "m", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4}
ADAPTER |= {"target_modules": ["q_proj"]}


def adapter(project: Path) -> None:
    """Write a LoRA adapter into the folder, as training leaves it beside a merged model."""

    weights = {}
    for layer in range(LAYERS):
        base = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights |= {f"{base}.lora_A.weight": torch.ones(2, 24), f"{base}.lora_B.weight": torch.ones(40, 2)}
    save_file(weights, project / "model/adapter_model.safetensors", {"format": "pt"})
    written("adapter_config.json", ADAPTER)(project)


CASES = [
    Case("one whole file"),
    Case("shards with an index", (sharded(),)),
    Case(
        "an index over a single file",
        (sharded(lambda name: 0), moved(FIRST.replace("2", "1"), SINGLE), indexed(whole_index)),
    ),
    Case("shards without an index", (sharded(), deleted(INDEX)), "index"),
    Case(
        "a whole file beside a stale index and its old shards",
        (beside(sharded()),),
        rf"{SINGLE}.*{INDEX}|{INDEX}.*{SINGLE}",
    ),
    Case("a whole file beside a stale index whose shards are gone", (beside(sharded()), deleted("model-0*"))),
    Case("a whole file beside a shard that was left over", (beside(sharded()), deleted(INDEX, FIRST))),
    Case("an index that is `{}`", (sharded(), written(INDEX, {})), f"{INDEX}.*weight_map"),
    Case("an index that is `{}` beside a whole file", (written(INDEX, {}),), INDEX),
    Case("an index that is a list", (sharded(), written(INDEX, [])), f"{INDEX}"),
    Case("an index that is no JSON", (sharded(), written(INDEX, "<html>404</html>")), f"{INDEX}"),
    Case("an index in a Git LFS pointer", (sharded(), written(INDEX, LFS)), f"{INDEX}"),
    Case("an index of a newer layout: `weight_map` is a list", (sharded(), written(INDEX, {"weight_map": []})), INDEX),
    Case("an index that names a missing shard", (sharded(), deleted(SECOND)), SECOND),
    Case("an index that names a tensor that its shard lacks", (sharded(), mapped(NORM, SECOND)), "norm.weight"),
    Case("an index that leaves out a tensor of its shard", (sharded(), unmapped(NORM))),
    Case("an index whose files are numbers", (sharded(), mapped(NORM, 1)), f"{INDEX}|norm.weight"),
    Case("an index that leads out of the folder (`../x`)", (sharded(), mapped(NORM, "../x.safetensors")), r"\.\./x"),
    Case(
        "two shards that hold the same tensor, unlike",
        (
            sharded(),
            stored(lambda t: t | {NORM: torch.ones(24)}, file=SECOND),
        ),
        NORM,
    ),
    Case("a truncated shard", (sharded(), cut_short(SECOND, lambda data: data[:-100])), SECOND),
    Case("an empty file", (written(SINGLE, b""),), SINGLE),
    Case("a Git LFS pointer in the place of the weights", (written(SINGLE, LFS),), f"{SINGLE}.*(LFS|lfs)"),
    Case("a Git LFS pointer in the place of a shard", (sharded(), written(SECOND, LFS)), f"{SECOND}.*(LFS|lfs)"),
    Case("an error page in the place of the weights", (written(SINGLE, "<html>404: not found</html>"),), SINGLE),
    Case("a header that says it is huge", (cut_short(SINGLE, lambda data: b"\xff" * 8 + data[8:]),), SINGLE),
    Case("a header that is no JSON", (cut_short(SINGLE, lambda data: data[:8] + b"x" + data[9:]),), SINGLE),
    Case("a download that goes on (`.incomplete`)", (moved(SINGLE, f"{SINGLE}.incomplete"),), SINGLE),
    Case("`pytorch_model.bin` alone", (moved(SINGLE, "pytorch_model.bin"),), "pickle"),
    Case("`pytorch_model.bin` beside safetensors", (written("pytorch_model.bin", LFS),)),
    Case("a variant alone (`model.fp16.safetensors`)", (moved(SINGLE, "model.fp16.safetensors"),), SINGLE),
    Case("a GGUF file alone", (deleted(SINGLE), written("model-Q4_K_M.gguf", b"GGUF")), SINGLE),
    Case("a PEFT adapter alone", (deleted(SINGLE), adapter), "adapter"),
    Case("a PEFT adapter beside the whole model", (adapter,), "adapter"),
    Case(
        "`consolidated.safetensors` beside it",
        (stored(lambda t: {"tok.weight": t[HEAD]}, into="consolidated.safetensors"),),
    ),
    Case("`consolidated.safetensors` as a Git LFS pointer beside it", (written("consolidated.safetensors", LFS),)),
    Case("`consolidated.safetensors` cut off, beside it", (written("consolidated.safetensors", b"\x00" * 20),)),
    Case("`original/` beside it", (written("original/consolidated.00.pth", LFS), written("original/params.json", {}))),
    Case(
        "what training leaves beside it",
        (
            written("optimizer.pt", LFS),
            written("rng_state.pth", b""),
            written("trainer_state.json", {"epoch": float("nan")}),
            written("training_args.bin", b""),
        ),
    ),
    Case("a value head of TRL in a file of its own", (written("value_head.safetensors", b""),)),
    Case("links into a hub's cache", (moved(SINGLE, "../blobs/4d7a"), linked(SINGLE, "../blobs/4d7a"))),
    Case("a link that leads nowhere for the weights", (linked(SINGLE, "../blobs/4d7a"),), f"{SINGLE}"),
    Case("a link that leads nowhere for a shard", (sharded(), linked(SECOND, "../blobs/4d7a")), SECOND),
    Case("a link that leads nowhere for `config.json`", (linked("config.json", "../blobs/4d7a"),), r"config\.json"),
    Case("a link that leads nowhere for a file that nobody reads", (linked("vocab.txt", "../blobs/4d7a"),)),
    Case("a folder in the place of the weights", (deleted(SINGLE), written(f"{SINGLE}/x", "")), SINGLE),
    Case("an empty folder", (deleted("*"),), r"config\.json"),
    Case("no such folder", (), "nowhere", config={"models": {"m": {"path": "nowhere"}}}),
    Case("the file in the place of its folder", (), SINGLE, config={"models": {"m": {"path": f"model/{SINGLE}"}}}),
]
