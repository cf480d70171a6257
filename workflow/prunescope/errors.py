"""Errors that a user can cause, each one a sentence: what, where, what is allowed, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class PrunescopeError(Exception):
    """Base of every error that is reported to the user as one sentence, without a traceback."""


class ConfigError(PrunescopeError):
    """A value in the configuration or in an experiment name is not valid."""


class DataError(PrunescopeError):
    """Text or a model could not be obtained, or is not what it should be."""


class NonFiniteError(PrunescopeError):
    """A loss, gradient or score is NaN or infinite."""


class BudgetError(PrunescopeError):
    """The requested pruning ratio cannot be reached under the limits."""


class ExportError(PrunescopeError):
    """A format cannot hold a model, or the exported model is not the checkpoint's."""


def first_line(error: BaseException) -> str:
    """Return the first line of what a library's error says, or its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(word: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` of `candidates` that resemble `word`, best first."""
    return get_close_matches(word, list(candidates), n=count, cutoff=0.4)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ``did you mean 'a' or 'b'?``, or the whole list when nothing resembles `word`."""
    names = sorted(candidates)
    close = nearest(word, names)
    if close:
        return "did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
    return "known: " + (", ".join(names) or "none")
