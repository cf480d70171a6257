"""Tiny pruned checkpoints with tokenizers that GGUF can hold."""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.config.sections import GgufExport
from prunescope.export.agreement import CHECK_TEXT
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.export import GgufExportSpec, GgufSpec, UniformSpec
from prunescope.steps.job import Job
from tiny import tiny_facts, tiny_model, uneven_plan

NAMES = {"model": "tiny", "experiment": "e"}
VOCABULARY = 400
SPECIAL = ["<unk>", "<s>", "</s>"]


def byte_level() -> Tokenizer:
    """Byte-level BPE, as GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 8,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CHECK_TEXT], trainer)
    return tokenizer


def sentencepiece_like() -> Tokenizer:
    """BPE over characters with bytes to fall back on, as Llama 2's and Mistral's."""
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    ascii_text = "".join(character for character in CHECK_TEXT if character.isascii())
    learnt.train_from_iterator([ascii_text], trainers.BpeTrainer(vocab_size=130, show_progress=False))
    model = json.loads(learnt.to_str())["model"]
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def tiny_checkpoint(folder: Path, plan=uneven_plan, tokenizer: Tokenizer | None = None, family="llama", **changes):
    """Write a pruned model to ``folder/model`` and return (the unpruned model, its facts, the plan)."""
    changes = {"vocab_size": VOCABULARY, "max_position_embeddings": 512, "head_dim": 16} | changes
    model = tiny_model(family, **changes)
    model.save_pretrained(folder / "source")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer or byte_level(), unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    fast.save_pretrained(folder / "source")
    facts = tiny_facts(model, folder / "source")
    chosen = plan(facts)
    write_checkpoint(facts, chosen, folder / "model")
    return model, facts, chosen


def whole_layer_plan(facts) -> PruningPlan:
    """Layer 2 goes, nothing else: the layers that stay are stock ones."""
    return PruningPlan(
        facts.name,
        tuple(BlockPlan(block, np.arange(block.groups if block.layer == 2 else 0)) for block in facts.blocks),
    )


def wide_plan(facts) -> PruningPlan:
    """Layer 0 keeps its last group and eight channels; the others keep everything."""
    gone = {"attention": np.arange(1), "mlp": np.arange(12)}
    nothing = np.empty(0, dtype=np.int64)
    return PruningPlan(
        facts.name,
        tuple(BlockPlan(block, gone[block.block] if block.layer == 0 else nothing) for block in facts.blocks),
    )


def gguf_job(folder: Path, kind: str, **limits) -> Job[GgufExportSpec, ExperimentFolder]:
    """The export of ``folder/model`` as GGUF; `limits`: how close it must be, as in ``export.gguf``."""
    told = GgufSpec.by(GgufExport(**limits), kind)
    return Job(GgufExportSpec(**NAMES, **dict(told)), ExperimentFolder(folder), {})


def uniform_job(folder: Path) -> Job[UniformSpec, ExperimentFolder]:
    """The export of ``folder/model`` as a stock checkpoint."""
    return Job(UniformSpec(**NAMES), ExperimentFolder(folder), {})
