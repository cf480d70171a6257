"""Optional packages: what needs each of them, and how to install it."""

from dataclasses import dataclass
from importlib.util import find_spec

from prunescope.errors import ConfigError


def installing(extra: str) -> str:
    """Return the command that installs an extra of this package, in a checkout."""
    return f"pip install -c requirements.lock -e '.[{extra}]'"


@dataclass(frozen=True)
class Package:
    """An optional package.

    Attributes:
        module: what is imported. extra: of this package, which installs it. purpose: what it is for, in a few words.
        said: the sentence for a person who lacks it.
    """

    module: str
    extra: str
    purpose: str
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
    "zeroshot",
    "zero-shot tasks",
    "evaluation.zeroshot needs lm-evaluation-harness, which is not installed: install prunescope[zeroshot] "
    f"(in a checkout: {installing('zeroshot')}), or set evaluation.zeroshot to null",
)
PEFT = Package(
    "peft",
    "recover",
    "recovery, training after pruning",
    "recovery.enabled needs peft, which is not installed: install prunescope[recover] (in a checkout: "
    f"{installing('recover')}), or set recovery.train to projections, or recovery.enabled to false",
)
LLAMA_CPP = Package(
    "llama_cpp",
    "gguf",
    "GGUF files for llama.cpp",
    "a GGUF file, which is compared with its checkpoint or measured (evaluation.efficiency.gguf), needs llama.cpp, "
    f"which is not installed: {installing('gguf')} (compiles for some minutes; needs cmake and a C++ compiler)",
)
SLURM = Package(
    "snakemake_executor_plugin_slurm",
    "slurm",
    "jobs on a Slurm cluster",
    "profiles/slurm needs Snakemake's executor for Slurm, which is not installed: install prunescope[slurm] (in a "
    f"checkout: {installing('slurm')})",
)
OPTIONAL = (PEFT, LM_EVAL, LLAMA_CPP)
