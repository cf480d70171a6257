"""A toy model's facts and an importance table over it."""

import numpy as np
from hypothesis import strategies as st

from prunescope.artifacts.facts import BlockFacts, ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, GradientsFolder, ModelFolder, RemovalFolder
from prunescope.artifacts.passes import BlockValues, StatisticsFile
from prunescope.artifacts.stability import Stability
from prunescope.config.sections import Corrections, Limits, Method
from prunescope.importance.decision import score_and_select
from prunescope.importance.prior import choose_prior
from prunescope.importance.table import build_table
from prunescope.steps.importance import ImportanceSpec
from prunescope.steps.job import Job

FREE = Limits(width_multiple=1)
PLAIN = Method(temperature=0.0)


def facts_of(layers=3, kv_groups=2, channels=6, attention_cost=10, channel_cost=3, embedding=40, overhead=2):
    blocks = tuple(
        block
        for layer in range(layers)
        for block in (
            BlockFacts(layer, "attention", kv_groups, attention_cost, overhead),
            BlockFacts(layer, "mlp", channels, channel_cost, overhead),
        )
    )
    decoder = sum(block.parameters + block.overhead for block in blocks)
    return ModelFacts(
        name="toy", path="", origin="", revision=None, model_type="llama", dtype="float32", context=64,
        layers=layers, total_parameters=decoder + embedding, decoder_parameters=decoder,
        blocks=blocks, stock_groups=tuple(range(1, kv_groups + 1)),
    )  # fmt: skip


def random_saliency(facts, seed=0):
    random = np.random.default_rng(seed)
    return {f"{b.layer}.{b.block}": random.lognormal(0, 2, b.groups) for b in facts.blocks}


def table_of(facts, seed=0, prior=None, method=PLAIN):
    return build_table(facts.blocks, random_saliency(facts, seed), prior, method)


def scores_of(table, block):
    return table.query("layer == @block.layer and block == @block.block")["score"].to_numpy()


def prior_of(removal, tau):
    """Choose the prior of removal losses: ``{part: [layers]}``."""
    return choose_prior(BlockValues.of(**removal), tau)


shapes = st.builds(
    facts_of,
    layers=st.integers(1, 5),
    kv_groups=st.integers(1, 4),
    channels=st.integers(1, 40),
    attention_cost=st.integers(5, 60),
    channel_cost=st.integers(1, 5),
)

REMOVAL = {
    "attention": np.array([0.5, -0.1, 0.3]),
    "mlp": np.array([2.0, 0.2, 0.1]),
    "layer": np.array([3.0, 0.05, 0.4]),
}


def run_importance(root, facts, method, limits=FREE, removal=None):
    """Run the importance step on random saliency; the experiment is in ``root/run``."""
    inputs = {kind.step: root / kind.step for kind in (ModelFolder, GradientsFolder)}
    ModelFolder(root / "model").facts.write(facts)
    gradients = GradientsFolder(root / "gradients")
    gradients.saliency.write({f"{method.criterion}/{name}": s for name, s in random_saliency(facts).items()})
    gradients.statistics.write(StatisticsFile(parameters={}, layers={}))
    gradients.stability.write(Stability(criterion=method.criterion, layers={}, samples=0, first_samples=0, others={}))
    if removal:
        inputs["removal"] = root / "removal"
        RemovalFolder(root / "removal").losses.write(BlockValues.of(**removal))
    spec = ImportanceSpec(model="toy", experiment="x", method=method, corrections=Corrections(), limits=limits)
    folder = ExperimentFolder(root / "run")
    score_and_select(Job(spec, folder, inputs))
    return folder
