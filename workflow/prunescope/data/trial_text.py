"""Windows that settings are searched and tried on before the cut, of documents that nothing else reads.

A search takes the windows after those of the trial, so that what it finds is measured on others than chose it.
"""

import logging
from collections.abc import Iterator

from prunescope.artifacts.folders import ModelFolder, SearchTextFolder, TrialTextFolder
from prunescope.artifacts.manifests import TrialManifest
from prunescope.data.calibration import documents_of, tokens_sha256
from prunescope.data.documents import Document, TooShortError
from prunescope.data.evaluation_text import streamed_tokens, tokenize
from prunescope.data.packing import SHUFFLE_BUFFER, Packed, pack
from prunescope.data.reading import about, read_documents, split_name
from prunescope.data.tokenizer import Encoder, check_window, load_encoder
from prunescope.errors import DataError
from prunescope.steps.job import Job
from prunescope.steps.texts import SearchTextSpec, TrialTextSpec

log = logging.getLogger(__name__)

NO_TEXT = "give more text, or name a validation split of its own in the `splits` of a hub dataset"
"""What to do where no text is held out."""

SEED = 0
"""Of the documents: not that of calibration, so that experiments which differ in it are tried on the same windows."""


def draw_trial_text(job: Job[TrialTextSpec, TrialTextFolder | SearchTextFolder]) -> None:
    """Write full windows of the validation split of every text, without BOS or padding, and their manifest.

    A text that cannot be read, or that fills no window, is left out, and the manifest says why. With none left nothing
    is tried, which is no reason to stop.

    Raises:
        DataError: the tokenizer cannot be loaded.
        ConfigError: a window is longer than the model takes.
    """
    from torch import from_numpy

    spec, facts = job.spec, job.input(ModelFolder).ready()
    check_window("calibration.seq_len", spec.seq_len, facts.context)
    with job.recording({"texts": list(spec.texts), "samples": spec.samples, "seq_len": spec.seq_len}) as record:
        encode = load_encoder(facts.path)
        drawn, left_out = dict[str, Packed](), dict(spec.left_out)
        for name in spec.texts:
            try:
                drawn[name] = _draw(spec, name, encode)
            except DataError as error:
                left_out[name] = str(error)
        for name, reason in left_out.items():
            log.warning("%s is not tried on: %s", name, reason)
        if not drawn:
            log.warning("no settings are tried: %s", NO_TEXT)
        texts = {name: documents_of(spec.texts[name].source, packed, "validation") for name, packed in drawn.items()}
        sha256 = {name: tokens_sha256(packed.tokens) for name, packed in drawn.items()}
        job.folder.windows.write({name: from_numpy(packed.tokens) for name, packed in drawn.items()})
        job.folder.manifest.write(TrialManifest(texts=texts, sha256=sha256, left_out=left_out))
        log.info("%s", ", ".join(f"{len(packed.tokens)} windows of {name}" for name, packed in drawn.items()))
        record.metrics = {f"{spec.step}/{name}/windows": len(packed.tokens) for name, packed in drawn.items()}


def _draw(spec: TrialTextSpec, name: str, encode: Encoder) -> Packed:
    source, skip = spec.texts[name].source, spec.skip if isinstance(spec, SearchTextSpec) else 0
    with about(name):
        documents = _documents(spec, name, encode)
        buffer = SHUFFLE_BUFFER if source.streaming else None
        try:
            return pack(documents, encode, spec.samples, spec.seq_len, SEED, buffer, fewer=True, skip=skip)
        except TooShortError:
            split, beside = split_name(source, "validation"), f" beside the {skip} of the trial" if skip else ""
            raise TooShortError(f"the split '{split}' fills no window of {spec.seq_len} tokens{beside}") from None


def _documents(spec: TrialTextSpec, name: str, encode: Encoder) -> Iterator[Document]:
    """Yield the validation documents; of a stream that is tested on too, those after what the evaluation reads."""
    documents = read_documents(spec.texts[name].source, "validation", name)
    if name in spec.tested:
        tokenize(documents, encode, streamed_tokens(spec.tested[name]))
    return documents
