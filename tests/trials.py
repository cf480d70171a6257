"""An experiment on a tiny model, selected and ready for its trial."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import (
    ExperimentFolder,
    GradientsFolder,
    GramFolder,
    ModelFolder,
    RefitTextFolder,
    RemovalFolder,
    TrialTextFolder,
)
from prunescope.artifacts.manifests import TrialManifest
from prunescope.artifacts.passes import BlockValues, LayerStatistics, StatisticsFile
from prunescope.artifacts.stability import Stability
from prunescope.config.names import parse_name
from prunescope.config.patches import merge
from prunescope.config.sections import Settings
from prunescope.importance.decision import score_and_select
from prunescope.pruning.repair import keep_grams
from prunescope.steps.gram import GramSpec
from prunescope.steps.importance import ImportanceSpec
from prunescope.steps.job import Job
from prunescope.steps.trial import Deciding, TrialSpec
from tiny import save_source, tiny_model, tiny_tokens
from toy import random_saliency

TEXTS = {"wiki": 3, "hansard": 2}
CRITERIA = ("taylor", "gate", "wanda", "shortgpt")
PLAIN = Settings(limits={"width_multiple": 1})


@dataclass
class Ready:
    """Where the files of the shared steps are."""

    root: Path
    facts: ModelFacts

    @property
    def text(self) -> TrialTextFolder:
        return TrialTextFolder(self.root / "trial_text")

    def job(self, name: str, *candidates: dict, prior: bool = True) -> Job:
        """Select by the settings of a name, and return the job of its trial."""
        settings = Settings(**merge(PLAIN.model_dump(), parse_name(name, ["wiki"])[1]))
        deciding = dict(Deciding.within(settings))
        steps = [kind.step for kind in (ModelFolder, GradientsFolder, TrialTextFolder)]
        ridge = settings.repair.refit.middle
        more = (*(["removal"] if prior else []), *([] if ridge is None else ["gram"]))
        inputs = {step: self.root / step for step in (*steps, *more)}
        folder = ExperimentFolder(self.root / name)
        names = {"model": "tiny", "experiment": name}
        score_and_select(Job(ImportanceSpec(**names, **deciding), folder, inputs))
        told = {"extreme_rate": 0.5, "early_layers": 2, "ridge": ridge, "candidates": candidates}
        spec = TrialSpec(**names, **deciding, **told, plain=Deciding.within(PLAIN))
        return Job(spec, folder, inputs)

    def refitted(self) -> "Ready":
        """Write what trials and searches of refitted experiments read too."""
        inputs = {step: self.root / step for step in ("model", "refit_text")}
        RefitTextFolder(inputs["refit_text"]).samples.write({"input_ids": tiny_tokens(17).to(torch.int32)})
        keep_grams(Job(GramSpec(dtype="auto"), GramFolder(self.root / "gram"), inputs))
        return self


def ready(root: Path) -> Ready:
    """Write what the steps before a trial leave, with random scores."""
    facts = save_source(tiny_model(), root / "checkpoint")
    ModelFolder(root / "model").facts.write(facts)
    gradients = GradientsFolder(root / "gradients")
    gradients.saliency.write(
        {
            f"{criterion}/{block}": scores.astype(np.float32)
            for seed, criterion in enumerate(CRITERIA)
            for block, scores in random_saliency(facts, seed).items()
        }
    )
    half = {f"taylor/{block}": scores.astype(np.float32) for block, scores in random_saliency(facts, 99).items()}
    gradients.first_half.write(half)
    layers = {layer: dict.fromkeys(LayerStatistics.model_fields, 1.0) for layer in range(facts.layers)}
    gradients.statistics.write(StatisticsFile(parameters={}, layers=layers))
    gradients.stability.write(Stability(criterion="taylor", layers={}, samples=8, first_samples=4, others={}))
    RemovalFolder(root / "removal").losses.write(BlockValues.of(*np.linspace(0.1, 1.2, 12).reshape(3, 4).tolist()))
    tokens = tiny_tokens(sum(TEXTS.values())).to(torch.int32)
    parts = tokens.split([*TEXTS.values()])
    text = TrialTextFolder(root / "trial_text")
    text.windows.write({name: part.contiguous() for name, part in zip(TEXTS, parts, strict=True)})
    drawn = {"source": "files", "revision": None, "split": "validation", "windows": 1, "documents": 1}
    texts = {name: drawn | {"document_ids": []} for name in TEXTS}
    text.manifest.write(
        TrialManifest(texts=texts, sha256=dict.fromkeys(TEXTS, "0" * 64), left_out={"talk": "too short"})
    )
    return Ready(root, facts)
