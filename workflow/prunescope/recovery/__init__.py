"""Recovery: LoRA fine-tuning of a pruned model, by peft and transformers' Trainer, merged into its weights."""

from importlib.util import find_spec

from prunescope.errors import ConfigError


def require_peft() -> None:
    """Raise `ConfigError` where peft is not installed."""
    if find_spec("peft") is None:
        raise ConfigError(
            "recovery.enabled needs peft, which is not installed: install prunescope[recover] (in a checkout: "
            "pip install -c requirements.lock -e '.[recover]'), or set recovery.enabled to false"
        )
