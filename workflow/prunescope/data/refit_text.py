"""The refit-text step: more windows of the calibration text than a gradient pass needs."""

import logging

from prunescope.artifacts.folders import ModelFolder, RefitTextFolder
from prunescope.data.calibration import SHOWN, draw_windows
from prunescope.data.documents import TooShortError
from prunescope.data.tokenizer import check_window, load_encoder
from prunescope.steps.job import Job
from prunescope.steps.texts import RefitTextSpec

log = logging.getLogger(__name__)


def draw_refit_text(job: Job[RefitTextSpec, RefitTextFolder]) -> None:
    """Write full windows of the calibration split without BOS or padding, as many as there are, and their manifest.

    Raises:
        DataError: the text or the tokenizer cannot be obtained, or the text is too short to hold a window out.
        ConfigError: a window is longer than the model takes.
    """
    from torch import from_numpy

    spec, facts = job.spec, job.input(ModelFolder).ready()
    check_window("repair.refit.seq_len", spec.seq_len, facts.context)
    with job.recording(spec.model_dump(include=SHOWN)) as record:
        tokens, manifest = draw_windows(spec, load_encoder(facts.path), fewer=True)
        if len(tokens) < 2:
            raise TooShortError(
                f"the calibration text of {spec.dataset} fills one window of {spec.seq_len} tokens, and the refit holds"
                " one out: shorten repair.refit.seq_len, ask for more repair.refit.tokens, or give more text"
            )
        job.folder.samples.write({"input_ids": from_numpy(tokens)})
        job.folder.manifest.write(manifest)
        record.metrics = {"refit_text/tokens": tokens.size, "refit_text/documents": manifest.documents}
    log.info("%d windows of %d tokens from %d documents", *tokens.shape, manifest.documents)
