"""The evaluation-text step: the same test tokens for the baseline and for every pruned model."""

import logging
from collections.abc import Iterable, Iterator

import numpy as np

from prunescope.artifacts.folders import EvaluationTextFolder, ModelFolder
from prunescope.artifacts.manifests import EvaluationText
from prunescope.config.protocols import Protocol
from prunescope.data.calibration import tokens_sha256
from prunescope.data.documents import SEPARATOR, Document, TooShortError
from prunescope.data.reading import about, divided, origin, read_documents, split_name
from prunescope.data.splits import telling_sizes
from prunescope.data.tokenizer import Encoder, check_window, load_encoder
from prunescope.steps.job import Job
from prunescope.steps.texts import EvaluationTextSpec

log = logging.getLogger(__name__)

BATCH_CHARACTERS = 1_000_000
"""Text tokenised at once: documents are joined first, so that tokens are those of running text."""

STREAM_TOKENS = 1_000_000
"""Tokens read from a streamed split, at least."""

WINDOWS_PER_SPAN = 4
"""Of a strided protocol: longer spans have fewer tokens in first windows, more spans cover a split better."""


def cut_evaluation_text(job: Job[EvaluationTextSpec, EvaluationTextFolder]) -> None:
    """Write token windows spread evenly over the test split of every text, by protocol, and their manifest.

    Raises:
        DataError: a text or the tokenizer cannot be obtained, or a text is shorter than a window.
        ConfigError: a window is longer than the model takes.
    """
    from torch import from_numpy

    spec, facts = job.spec, job.input(ModelFolder).ready()
    protocols = [Protocol.parse(name) for name in spec.protocols]
    check_window("evaluation.protocols: window", max(protocol.window for protocol in protocols), facts.context)
    params = {"datasets": list(spec.texts), "protocols": spec.protocols, "max_tokens": spec.max_tokens}
    with job.recording(params) as record:
        encode = load_encoder(facts.path)
        tensors, manifest = {}, {}
        for name in spec.texts:
            with about(name):
                spans, manifest[name] = _cut(spec, name, encode, protocols)
            for protocol, tokens in spans.items():
                tensors[f"{name}/{protocol}"] = from_numpy(tokens)
            record.metrics[f"evaluation_text/{name}/tokens"] = manifest[name].tokens
            log.info("%s: %d tokens of test text", name, manifest[name].tokens)
        job.folder.windows.write(tensors)
        job.folder.manifest.write(manifest)


def _cut(
    spec: EvaluationTextSpec, name: str, encode: Encoder, protocols: list[Protocol]
) -> tuple[dict[str, np.ndarray], EvaluationText]:
    """Return the spans of one text by protocol, int32 ``[n, length]``, and its manifest."""
    source = spec.texts[name].source
    enough = streamed_tokens(spec.max_tokens) if source.streaming else None
    tokens, documents = tokenize(read_documents(source, "test", name), encode, enough)
    with telling_sizes(source, "test", name, encode):
        spans = {protocol.name: cut_spans(tokens, protocol, spec.max_tokens) for protocol in protocols}
    return spans, EvaluationText(
        source=origin(source),
        revision=source.revision,
        split=split_name(source, "test"),
        documents=documents,
        **divided(source),
        tokens=len(tokens),
        whole_split=enough is None or len(tokens) < enough,
        tokens_used={protocol: tokens.size for protocol, tokens in spans.items()},
        sha256=tokens_sha256(tokens),
    )


def streamed_tokens(max_tokens: int) -> int:
    """Return how many tokens are read of a streamed split to evaluate `max_tokens` of them."""
    return max(STREAM_TOKENS, 4 * max_tokens)


def tokenize(documents: Iterable[Document], encode: Encoder, enough: int | None = None) -> tuple[np.ndarray, int]:
    """Return the tokens of documents joined by blank lines, int32 ``[T]``, and how many documents they are.

    Reading stops once there are `enough` tokens (None: at the end); T is then at least that.
    """
    parts, total, count = [np.empty(0, np.int32)], 0, 0
    for batch in _batches(documents):
        lead = SEPARATOR if count else ""
        parts.append(np.array(encode(lead + SEPARATOR.join(batch)), np.int32))
        total += len(parts[-1])
        count += len(batch)
        if enough is not None and total >= enough:
            break
    return np.concatenate(parts), count


def _batches(documents: Iterable[Document]) -> Iterator[list[str]]:
    """Yield texts together that have `BATCH_CHARACTERS` or, at the end, fewer."""
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document.text)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def cut_spans(tokens: np.ndarray, protocol: Protocol, max_tokens: int) -> np.ndarray:
    """Cut what a protocol evaluates from the tokens of a split.

    A span is a stretch of running text that is scored on its own. Under independent windows it is one window.
    Under a strided protocol it is about four windows long, or the whole split when `max_tokens` allows that, which
    is the protocol of published figures; its length is the window plus a multiple of the stride.

    Args:
        tokens: ``[T]`` token ids. max_tokens: at most this many of them are used.

    Returns:
        int32 ``[n, length]``, in the order of the text, spread evenly from its first token to its last.

    Raises:
        TooShortError: not one window fits.
    """
    window, stride = protocol.window, protocol.stride
    budget = min(max_tokens, len(tokens))
    if budget < window:
        raise TooShortError(
            f"a window of {window} tokens does not fit into {len(tokens)} tokens of test text with max_tokens "
            f"{max_tokens}: shorten evaluation.protocols, raise evaluation.max_tokens or give more text"
        )
    if not stride:
        return _spread(tokens, window, budget)
    spans = 1 if budget == len(tokens) else max(1, budget // (WINDOWS_PER_SPAN * window))
    return _spread(tokens, window + (budget // spans - window) // stride * stride, budget)


def _spread(tokens: np.ndarray, length: int, budget: int) -> np.ndarray:
    """Cut ``budget // length`` windows that do not overlap, the first at the start, the last at the end."""
    count = budget // length
    # Rounding down cannot bring two starts closer than `length`: their exact distance is at least that.
    starts = np.arange(count) * (len(tokens) - length) // max(count - 1, 1)
    return tokens[starts[:, None] + np.arange(length)].astype(np.int32)
