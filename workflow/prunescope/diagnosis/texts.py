"""Every word of the report and of the plots, by code; another language is another `Language`."""

from collections.abc import Iterable, Mapping

from prunescope.diagnosis.wording import Language, Text, percent, percents, runs, times


def _layers(layers: Iterable[int]) -> str:
    layers = tuple(layers)
    return f"layer{'s' * (len(layers) != 1)} {runs(layers)}"


BLOCKS = {"attention": "attention", "mlp": "MLP", "total": "parameters"}


def _losses(losses: Mapping[str, Mapping[str, float]]) -> str:
    """Say who loses what: ``layers 2, 3, 4 lose 99 % of their MLP``."""
    apart = {layer for block in ("attention", "mlp") for layer in losses.get(block, {})}
    by_layers: dict[tuple[int, ...], list[str]] = {}
    for block, rates in losses.items():
        said = {int(k): rate for k, rate in rates.items() if block != "total" or k not in apart}
        if said:
            whose = "its" if len(said) == 1 else "their"
            by_layers.setdefault(tuple(said), []).append(f"{percents(said.values())} of {whose} {BLOCKS[block]}")
    return "; ".join(
        f"{_layers(layers)} {'loses' if len(layers) == 1 else 'lose'} {' and '.join(parts)}"
        for layers, parts in by_layers.items()
    )


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"layer {layer}: z = {z:.1f}" for layer, z in scores.items())


def _deltas(deltas: Mapping[str, float]) -> str:
    split = ((*key.split("."), delta) for key, delta in deltas.items())
    return ", ".join(f"{BLOCKS[block]} of layer {layer}: {delta:.2g}" for layer, block, delta in split)


def _parameters(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "none by name"


def _optional(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _optional_times(value: float | None) -> str:
    return "undefined" if value is None else times(value)


def _optional_percent(value: float | None) -> str:
    return "unknown" if value is None else percent(value)


ENGLISH = Language(
    findings={
        "no_problem": Text(
            "No problem found",
            "No rule of severity high or critical applies: the layers' mean gradients differ by a factor "
            "of {mean_ratio:times}, {extreme} layers are above the extreme rate of {extreme_rate:percent} "
            "(highest rate: {highest_rate:maybe_percent}), and the rank correlation of importance and rate "
            "is {spearman:maybe}.",
            "Nothing needs to change. The perplexity of the pruned model has the last word.",
        ),
        "non_finite_gradient": Text(
            "NaN or infinite gradients",
            "The gradient statistics hold values that are not finite ({layers:layers_or_none}; "
            "parameters: {parameters:parameters}). Scores computed from them mean nothing, and neither "
            "does what they removed.",
            "Do not use the pruned model. Half-precision overflow is the usual cause; a damaged weight is another.",
        ),
        "vanishing_gradient": Text(
            "Vanishing gradient",
            "The mean |gradient| is exactly 0 in {layers:layers}, so the ratio between layers is not "
            "defined. A layer without gradient scores 0 and is removed first, whether or not the model "
            "needs it.",
            "Find out whether these layers contribute to the output at all, or whether their gradients "
            "are lost to precision.",
        ),
        "early_layers_extreme": Text(
            "Early layers are pruned to extremes",
            "Of the first {of} layers, {count} are above the extreme rate of {extreme_rate:percent}: "
            "{losses:losses}. All later layers compute on what these ones leave, and errors made here are "
            "not repaired.",
            "Early layers are rarely as dispensable as small gradients make them look. Only the perplexity "
            "of an experiment that spares them can tell.",
        ),
        "many_extreme_layers": Text(
            "Many layers are pruned to extremes",
            "{count} of {of} layers ({share:percent}) are above the extreme rate of "
            "{extreme_rate:percent}, where at most {threshold:percent} of the layers should be: "
            "{losses:losses}.",
            "The budget is taken from few places. Spread it more evenly, or ask for a lower ratio.",
        ),
        "gradient_scale_gap": Text(
            "Gradient scale gap between layers",
            "The layers' mean |gradient| differs by a factor of {mean_ratio:times} (threshold "
            "{threshold:times}; norm: {norm_ratio:times}): lowest in {lowest_layers:layers}, "
            "highest in {highest_layers:layers}. One threshold for all groups then cuts where gradients "
            "are small, which need not be where the model can spare them.",
            "Scores of different layers are hardly comparable here. See in gradient_analysis.png whether "
            "rates follow the gradient rather than the importance.",
        ),
        "rate_spread": Text(
            "Rates differ strongly between layers",
            "Of its {block:block}, layer {highest_layer} loses {highest_rate:percent} and layer "
            "{lowest_layer} {lowest_rate:percent}: a difference of {spread:points} (threshold "
            "{threshold:points}).",
            "Some difference is the point of global pruning; this much often means that scores of layers "
            "are not on one scale.",
        ),
        "importance_rate_inverted": Text(
            "More important layers lose more",
            "The rank correlation of importance and pruning rate over the layers is {spearman:+.2f}; it "
            "should be clearly negative (below {threshold:+.1f}).",
            "Look at importance_heatmap.png: a few outstanding groups can raise the mean of a layer whose "
            "other groups score low, and limits can push removals into important layers. Noise is a third "
            "cause.",
        ),
        "importance_rate_weak": Text(
            "Importance and rate are hardly related",
            "The rank correlation of importance and pruning rate over the layers is {spearman:+.2f}, not "
            "clearly negative (below {threshold:+.1f}).",
            "Expected when layers score alike or when limits decide; otherwise see importance_heatmap.png.",
        ),
        "gradient_valley": Text(
            "Valley in the gradient profile",
            "The mean |gradient| of {layers:layers} lies far below that of the other layers ({z:scores}; "
            "robust z on a log scale, threshold {threshold:.1f}).",
            "Groups of these layers tend to be removed first. Check their rates against their importance.",
        ),
        "gradient_spike": Text(
            "Spike in the gradient profile",
            "The mean |gradient| of {layers:layers} lies far above that of the other layers ({z:scores}; "
            "robust z on a log scale, threshold {threshold:.1f}).",
            "Groups of these layers tend to be spared, at the expense of the rest. Common at the first "
            "and last layer; elsewhere a few unusual documents can cause it.",
        ),
        "limit_bound": Text(
            "A limit was reached: {limit}",
            "{limit} kept groups that their score alone would have removed, in {count} blocks "
            "({layers:layers}); the budget was taken elsewhere.",
            "This is what a limit is for. If many blocks stand at it, the ratio is high for this limit: "
            "then compare a looser limit or a lower ratio.",
        ),
        "negative_removal_delta": Text(
            "Negative removal loss",
            "Removing some blocks lowered the calibration loss ({deltas:deltas}). The values were set to "
            "0, since a negative prior would reverse the order of the groups inside these blocks.",
            "With a value of 0 these blocks go first. If the deltas are tiny, they may be noise of few "
            "calibration windows.",
        ),
    },
    remedies={
        "block_correction": "T = {temperature:g}, tau = {tau:g}: scores weighed by the measured removal loss "
        "of each block, which helps some models and hurts others",
        "cap_rates": "at most {max_rate:percent} of any block",
        "cap_early": "at most {max_rate:percent} of the first layers",
        "shorter_windows": "calibration windows of {seq_len} tokens, since long windows can widen the "
        "differences between gradients",
        "more_samples": "{samples} calibration windows, to see whether it is noise",
        "full_precision": "gradients in {dtype} (gradients.dtype)",
    },
    compare="To compare: {}.",
    joiner="; or ",
    exhausted="What the configuration offers against it is in force or cannot be reached at this ratio; "
    "compare a lower ratio, or other calibration text.",
    labels={
        "layer": "layer",
        "attention": "attention",
        "mlp": "MLP",
        "total": "total",
        "mean": "mean",
        "std": "standard deviation",
        "norm": "norm",
        "max": "max",
        "min": "min",
        "between": "between",
        "floor": "{name} (0 drawn at {floor:.0e})",
        "analysis": "Gradient analysis",
        "gradients": "Mean, standard deviation and norm of |g|",
        "range": "Range of |g|",
        "decision": "Gradient, importance and pruning rate",
        "scaled": "0-1",
        "scaled_gradient": "gradient mean\n(log, scaled to 0-1)",
        "scaled_importance": "importance\n(log, scaled to 0-1)",
        "rate": "pruning rate",
        "total_rate": "pruning rate of layer",
        "highest_block": "rate of its attention or MLP,\nwhichever is higher",
        "extreme_layer": "extreme layer",
        "extreme_rate": "extreme above {rate}",
        "target": "target {rate} of all",
        "limit": "limit {rate}",
        "early_limit": "limit {rate}, first layers",
        "at_limit": "stands at a limit",
        "rates": "Pruning rates per layer",
        "importance": "Importance: scores of the groups",
        "score": "score (log)",
        "removed": "removed",
        "kept": "kept",
        "cut": "highest removed score",
        "density": "share of the block's channels",
        "severity": "severity",
        "seen": "what was seen",
        "advice": "what to do",
        "extreme_layers": "Extreme layers",
        "above": "above the threshold",
        "commands": "Commands that apply the first remedies",
        "change": "Configuration changes without an experiment name",
    },
    formats={
        "percent": percent,
        "maybe_percent": _optional_percent,
        "maybe": _optional,
        "points": lambda value: f"{100 * value:.0f} points",
        "times": _optional_times,
        "layers": _layers,
        "layers_or_none": lambda layers: _layers(layers) if layers else "no layer aggregate",
        "losses": _losses,
        "block": BLOCKS.__getitem__,
        "scores": _scores,
        "deltas": _deltas,
        "parameters": _parameters,
    },
)
