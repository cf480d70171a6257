"""The view that MLflow opens on: the columns and charts that decide between experiments.

MLflow keeps views of the runs table as tags of its experiment and opens the one that a link names; without it the table
has no column of a metric. Tag and content are no documented interface: they were read off the pages of MLflow 3.17,
which pass over what they do not know. At worst the link opens the plain table.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

NAME = "prunescope"
TAG = f"mlflow.sharedViewState.{NAME}"
PERPLEXITY = "ppl/"
GEOMEAN = "ppl/geomean_ratio"
"""How much worse a model is: its perplexities divided by those of the unpruned one, geometric mean of all texts."""
RATIO = "prune/ratio_of_total"
ASKED = "method.ratio"
COLUMNS = {
    "prune/max_layer_rate": 175,
    "diagnosis/extreme_layers": 185,
    "diagnosis/findings_critical": 195,
    "diagnosis/findings_high": 175,
    "grad/mean_ratio": 120,
}
"""Metrics beside ratio and perplexity, with the width of their column in pixels: names are not to be cut off."""
SETTINGS = {"method.criterion": 130, "method.temperature": 150, "method.tau": 100, "dataset": 90}
CURVES = {
    "prune/rate_by_layer": "linear",
    "prune/attention_rate_by_layer": "linear",
    "prune/mlp_rate_by_layer": "linear",
    "grad/mean_by_layer": "log",
}
"""Curves over the layers, with the scale of their axis."""
EXACT = {"lineSmoothness": 0, "useGlobalLineSmoothing": False, "useGlobalXaxisKey": False}
KIND = "workflowType=machine_learning"
"""Without it pages come with the menus for language-model traces."""


def runs_page(experiment_id: str) -> str:
    """Return where a server shows the runs table of an experiment in this view."""
    return f"/#/experiments/{experiment_id}/runs?{KIND}&viewStateShareKey={NAME}"


def run_page(experiment_id: str, run_id: str) -> str:
    """Return where a server shows one run."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}?{KIND}"


def content(perplexities: Iterable[str]) -> str:
    """Return the content of `TAG` for experiments with these perplexity metrics; the same for the same metrics."""
    state = json.dumps(_state(sorted(perplexities)), sort_keys=True).encode()
    packed = base64.b64encode(zlib.compress(state)).decode()
    return json.dumps({"name": NAME.capitalize(), "createdAt": 0, "state": f"deflate;{packed}"})


def _state(perplexities: list[str]) -> dict[str, Any]:
    metrics = dict.fromkeys((GEOMEAN, *perplexities, RATIO), 150) | COLUMNS
    widths = {f"metrics.`{name}`": width for name, width in metrics.items()}
    widths |= {f"params.`{name}`": width for name, width in SETTINGS.items()}
    order = {"orderByKey": f"metrics.`{GEOMEAN}`", "orderByAsc": True}
    # The ratio that was asked for: those that came out differ in the fourth digit, and the axis would show just that.
    asked = {"key": ASKED, "type": "PARAM"}
    scatters = [
        _card("SCATTER", name, xaxis=asked, yaxis={"key": name, "type": "METRIC"}, runsCountToCompare=100)
        for name in (GEOMEAN, *perplexities)
    ]
    curves = [
        _card("LINE", name, metricKey=name, selectedMetricKeys=[name], xAxisKey="step", scaleType=scale, **EXACT)
        for name, scale in CURVES.items()
    ]
    return order | {
        "selectedColumns": list(widths),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "compareRunCharts": scatters + curves,
        "compareRunSections": [{"uuid": NAME, "name": "Perplexity and layers", "display": True, "isReordered": True}],
        # Else sections are put in the order of their names, and this one is not the first.
        "isAccordionReordered": True,
    }


def _card(kind: str, metric: str, **more: Any) -> dict[str, Any]:
    card = {"type": kind, "uuid": f"{NAME} {metric}", "metricSectionId": NAME, "deleted": False, "isGenerated": False}
    return card | more
