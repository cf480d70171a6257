"""Optional packages: what needs each of them, and how to install it."""

from dataclasses import dataclass
from importlib.util import find_spec

from prunescope.errors import ConfigError


@dataclass(frozen=True)
class Package:
    """An optional package.

    Attributes:
        module: what is imported. said: the sentence for a person who lacks it.
    """

    module: str
    said: str

    @property
    def installed(self) -> bool:
        return find_spec(self.module) is not None

    def require(self) -> None:
        """Raise `ConfigError` where it is not installed."""
        if not self.installed:
            raise ConfigError(self.said)


LM_EVAL = Package(
    "lm_eval",
    "evaluation.zeroshot needs lm-evaluation-harness, which is not installed: install prunescope[zeroshot] "
    "(in a checkout: pip install -c requirements.lock -e '.[zeroshot]'), or set evaluation.zeroshot to null",
)
PEFT = Package(
    "peft",
    "recovery.enabled needs peft, which is not installed: install prunescope[recover] (in a checkout: "
    "pip install -c requirements.lock -e '.[recover]'), or set recovery.train to projections, or recovery.enabled to "
    "false",
)
LLAMA_CPP = Package(
    "llama_cpp",
    "a GGUF file, which is compared with its checkpoint or measured (evaluation.efficiency.gguf), needs llama.cpp, "
    "which is not installed: pip install -c requirements.lock -e '.[gguf]' (compiles for some minutes; needs cmake and "
    "a C++ compiler)",
)
