"""The tokenizer of a checkpoint as GGUF metadata."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf

from prunescope.data.tokenizer import load_tokenizer
from prunescope.errors import ExportError
from prunescope.files import read_json

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
)
PRE_TOKENIZERS = {
    ("bytes",): "gpt-2",
    ("digits", "bytes"): "smollm",
    (CONTRACTIONS + r"\p{N}{1,3}" + REST,): "llama-bpe",
    (CONTRACTIONS + r"\p{N}" + REST,): "qwen2",
    (WORDS + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",): "tekken",
}
"""How text is split before merging -> llama.cpp's name for that (`llama_vocab::impl::load`)."""

NEVER_MERGED = -1e6
"""Score of a piece that no merge yields."""


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, size: int, pre_tokenizer: str | None = None) -> None:
    """Add vocabulary, merges or scores, special tokens and the chat template.

    Args:
        size: rows of the embedding; those beyond the vocabulary become unused tokens.
        pre_tokenizer: llama.cpp's name for how text is split; None: told from the tokenizer.

    Raises:
        ExportError: the tokenizer is neither byte-level BPE nor SentencePiece-like BPE, or splits text unknown ways;
            there is no ``tokenizer.json``.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ExportError(
            f"a GGUF file takes its tokenizer from tokenizer.json, which {folder} lacks: write it by transformers, "
            f"AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}'), and export again"
        )
    tokenizer = load_tokenizer(folder)
    content = _as_loaded(tokenizer, file)
    model = content["model"]
    if model["type"] != "BPE":
        raise ExportError(f"a tokenizer of type {model['type']} has no GGUF form here; BPE has")
    byte_fallback = bool(model.get("byte_fallback"))
    tokens, kinds = zip(*_pieces(content, size), strict=True)
    if byte_fallback:
        ranks = _ranks(model["merges"])
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([ranks.get(token, NEVER_MERGED) for token in tokens])
        writer.add_add_space_prefix(_prefixes_space(content))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre_tokenizer or _pre_tokenizer(content))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    special = gguf.SpecialVocab(folder, load_merges=not byte_fallback, n_vocab=size)
    special.add_special_token |= _added_around(tokenizer)
    special.add_to_gguf(writer, quiet=True)


def _as_loaded(tokenizer: Any, file: Path) -> dict[str, Any]:
    """Return what transformers makes of `file`: its classes of some families split text their own way instead.

    Mistral's own tokenizer, of mistral-common, tells nothing of itself: then the file stands for it.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return read_json(file) if backend is None else json.loads(backend.to_str())


def _pieces(content: dict[str, Any], size: int) -> Iterator[tuple[str, gguf.TokenType]]:
    """Yield text and kind of every token id below `size`."""
    texts = {index: text for text, index in content["model"]["vocab"].items()}
    added = {token["id"]: token for token in content["added_tokens"]}
    unknown = content["model"].get("unk_token")
    byte_fallback = content["model"].get("byte_fallback")
    for index in range(size):
        text = added[index]["content"] if index in added else texts.get(index)
        if text is None:
            yield f"[PAD{index}]", gguf.TokenType.UNUSED
        elif byte_fallback and text == unknown:
            yield text, gguf.TokenType.UNKNOWN
        elif index in added:
            yield text, gguf.TokenType.CONTROL if added[index]["special"] else gguf.TokenType.USER_DEFINED
        elif byte_fallback and len(text) == 6 and text.startswith("<0x"):
            yield text, gguf.TokenType.BYTE
        else:
            yield text, gguf.TokenType.NORMAL


def _ranks(merges: list[str | list[str]]) -> dict[str, float]:
    """Return piece -> minus the rank of the first merge that yields it: llama.cpp merges the highest score first."""
    ranks: dict[str, float] = {}
    for rank, merge in enumerate(merges):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault(left + right, -float(rank))
    return ranks


def _prefixes_space(content: dict[str, Any]) -> bool:
    """Say whether a space is put before the text."""
    steps = [*_steps(content["normalizer"]), *_steps(content["pre_tokenizer"])]
    return any(
        step["type"] == "Prepend" or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )


def _pre_tokenizer(content: dict[str, Any]) -> str:
    splits = tuple(_splits(content["pre_tokenizer"]))
    if splits not in PRE_TOKENIZERS:
        raise ExportError(
            f"llama.cpp's name for a tokenizer that splits text by {list(splits)} is not known here; "
            "set export.gguf.pre_tokenizer (the export is compared with the tokenizer all the same)"
        )
    return PRE_TOKENIZERS[splits]


def _splits(pre_tokenizer: dict[str, Any] | None) -> Iterator[str]:
    for step in _steps(pre_tokenizer):
        if step["type"] == "Split":
            yield step["pattern"].get("Regex", str(step["pattern"]))
        elif step["type"] == "Digits" and step["individual_digits"]:
            yield "digits"
        elif step["type"] == "ByteLevel":
            if step.get("use_regex", True):
                yield "bytes"
        else:
            yield step["type"]


def _steps(node: dict[str, Any] | None) -> list[dict[str, Any]]:
    if node is None:
        return []
    return node.get("pretokenizers") or node.get("normalizers") or [node]


def _added_around(tokenizer: Any) -> dict[str, bool]:
    """Return whether the tokenizer puts its first and last special token around a text."""
    ids = tokenizer("a")["input_ids"]
    return {
        "bos": tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id is not None and ids[-1] == tokenizer.eos_token_id,
    }
