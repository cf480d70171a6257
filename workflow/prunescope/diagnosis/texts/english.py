"""Every word of the report and of the plots in English, by code."""

from collections.abc import Iterable, Mapping

from prunescope.diagnosis.wording import (
    Language,
    Text,
    by_kind,
    by_layers,
    parameter_names,
    percent,
    percents,
    runs,
    spans,
    times,
)

BLOCKS = {"attention": "attention", "mlp": "MLP", "total": "parameters", "layer": "the whole"}


def _layers(layers: Iterable[int]) -> str:
    layers = tuple(layers)
    return f"layer{'s' * (len(layers) != 1)} {runs(layers)}"


def _losses(losses: Mapping[str, Mapping[str, float]]) -> str:
    """Say who loses what: ``layers 2, 3, 4 lose 99 % of their MLP``."""
    said = []
    for layers, rates in by_layers(losses).items():
        verb, whose = ("loses", "its") if len(layers) == 1 else ("lose", "their")
        parts = [f"{percents(values)} of {whose} {BLOCKS[block]}" for block, values in rates.items()]
        said.append(f"{_layers(layers)} {verb} {' and '.join(parts)}")
    return "; ".join(said)


def _blocks(blocks: Iterable[str]) -> str:
    """Say blocks such as ``3.mlp``: ``MLP of layers 3, 4; attention of layer 7``."""
    return "; ".join(f"{BLOCKS[kind]} of {_layers(layers)}" for kind, layers in by_kind(blocks).items())


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"layer {layer}: z = {z:.1f}" for layer, z in scores.items())


def _deltas(deltas: Mapping[str, float]) -> str:
    split = ((*key.split("."), delta) for key, delta in deltas.items())
    return ", ".join(f"{BLOCKS[block]} of layer {layer}: {delta:.2g}" for layer, block, delta in split)


def _parameters(names: list[str]) -> str:
    named, more = parameter_names(names)
    return ", ".join(named) + (f" and {more} more" if more else "") or "none by name"


def _others(texts: list[str]) -> str:
    if texts:
        return f"Compare the perplexity on {', '.join(texts)}, which calibration does not draw on."
    return "Evaluate on another text as well (evaluation.datasets), or calibrate on another one."


def _or_unknown(value: float | None, say) -> str:
    return "unknown" if value is None else say(value)


ENGLISH = Language(
    code="en",
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
            "Among the first {of} layers, {count:are} above the extreme rate of "
            "{extreme_rate:percent}: {losses:losses}. All later layers compute on what these ones leave, and "
            "errors made here are not repaired.",
            "Early layers are rarely as dispensable as small gradients make them look. Only the perplexity "
            "of an experiment that spares them can tell.",
        ),
        "many_extreme_layers": Text(
            "Many layers are pruned to extremes",
            "{share:percent} of the layers ({count} of {of}) lie above the extreme rate of "
            "{extreme_rate:percent}, where at most {threshold:percent} of the layers should be: "
            "{losses:losses}.",
            "The budget is taken from few places. Spread it more evenly, or ask for a lower ratio.",
        ),
        "gradient_scale_gap": Text(
            "Gradient scale gap between layers",
            "The layers' mean |gradient| differs by a factor of {mean_ratio:times}{norm_ratio:and_norm} "
            "(threshold {threshold:times}): lowest in {lowest_layers:layers}, highest in "
            "{highest_layers:layers}. The lowest is {below_median:times} times below the median, the highest "
            "{above_median:times} times above it: {kind:gap}. One ranking over all groups then cuts where "
            "gradients are small, which need not be where the model can spare them.",
            "Scores of different layers are hardly comparable here. See in gradient_analysis.png whether "
            "rates follow the gradient rather than the importance.",
        ),
        "score_scale_gap": Text(
            "Score scale gap between blocks",
            "The mean scores of the blocks differ by a factor of {ratio:times} (threshold {threshold:times}): "
            "lowest in {lowest_blocks:blocks}, highest in {highest_blocks:blocks}.{unscored_blocks:unscored}",
            "The ranking between blocks hangs on this scale more than on the groups inside them. See "
            "importance_heatmap.png: blocks whose colours all lie below the line of the colour bar go whatever "
            "their groups do.",
        ),
        "block_imbalance": Text(
            "Attention and MLP are pruned unequally",
            "Over all layers, {higher:block} loses {higher_rate:percent} and {lower:block} "
            "{lower_rate:percent}: a difference of {difference:points} (threshold {threshold:points}).",
            "A GQA group holds hundreds of times the parameters of an MLP channel, and nothing makes "
            "their scores comparable by itself. Check that the model can spare so much of its "
            "{higher:block}.",
        ),
        "rate_spread": Text(
            "Rates differ strongly between layers",
            "Of its {block:block}, layer {highest_layer} loses {highest_rate:percent} and layer "
            "{lowest_layer} only {lowest_rate:percent}: a difference of {spread:points} (threshold "
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
        "few_samples": Text(
            "Few calibration samples for a stable ranking",
            "Between two halves of the {samples} calibration windows, the {criterion} scores of {count} of "
            "{of} layers have a rank correlation below {threshold:.2f} ({layers:layers}: {rho:span}; median "
            "over the layers {median:.2f}).",
            "Part of the order inside these layers is chance. More windows make the halves agree better.",
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
            "{limit} decided against the score in {count} of {of} blocks ({layers:layers}); what it kept or took "
            "was balanced elsewhere.",
            "This is what a limit is for.",
        ),
        "limit_saturation": Text(
            "Most blocks stand at a limit: {limit}",
            "{limit} decides against the score in {count} of {of} blocks ({share:percent}; {layers:layers}).",
            "Here the limit sets the rates more than the importance does, and the result comes close to "
            "pruning all blocks alike. A looser limit gives the scores more say.",
        ),
        "collapsed_blocks": Text(
            "Blocks were removed whole",
            "limits.collapse_below removed {count} blocks that would have kept next to nothing: {blocks:blocks}.",
            "A block that is gone costs no time at all, but its last groups are often its most important "
            "ones. Compare the perplexity without limits.collapse_below.",
        ),
        "negative_removal_delta": Text(
            "Negative removal loss",
            "Removing some blocks lowered the calibration loss ({deltas:deltas}). The values were raised to "
            "0 (with share: to method.prior_floor), since a negative prior would reverse the order of the groups "
            "inside these blocks.",
            "With so small a value these blocks go first. If the deltas are tiny, they may be noise of few "
            "calibration windows.",
        ),
        "shared_source": Text(
            "Calibration and evaluation share a source",
            "Calibration draws on the source of {texts:texts} too. No document is in both splits, but the domain is "
            "the same, and on it the loss of perplexity looks smaller than it is elsewhere.",
            "{others:others}",
        ),
        "shared_documents": Text(
            "Calibration and evaluation share documents",
            "Calibration uses the very split of {texts:texts} that perplexity is measured on: the figure is no test.",
            "{others:others}",
        ),
    },
    remedies={
        "block_correction": "T = {temperature:g}, tau = {tau:g}: scores weighed by the prior of each block, "
        "which helps some models and hurts others",
        "share": "{combine}: the removal loss of each block shared out among its groups, which puts "
        "attention and MLP on one scale",
        "cap_rates": "at most {max_rate:percent} of any block",
        "cap_early": "at most {max_rate:percent} of the first layers",
        "cap_attention": "at most {max_rate:percent} of any attention block",
        "cap_mlp": "at most {max_rate:percent} of any MLP block",
        "shorter_windows": "calibration windows of {seq_len} tokens, since long windows can widen the "
        "differences between gradients",
        "more_samples": "{samples} calibration windows, to see whether it is noise",
        "normalize_log": "logarithm of the saliency ({normalize}), per block, relative to its mean",
        "block_mean": "saliency divided by the mean of its block",
        "clip": "saliency clipped to the percentiles {clip:percentiles} of its block",
        "other_text": "calibration on {dataset}; then judge by another text than {dataset}",
        "depth_weight": "scores of early layers weighed up to {depth_weight:percent} more",
        "protect": "{protect:layers} protected, nothing removed there",
        "collapse": "blocks that would keep less than {collapse_below:percent} removed whole",
        "full_precision": "gradients in {dtype} (gradients.dtype)",
        "lower_ratio": "{ratio:ratio} of all parameters instead",
    },
    compare="To compare: {}.",
    offer="{experiment} ({what})",
    joiner="; or ",
    exhausted="What the configuration offers against it is in force, or cannot be reached at this ratio.",
    gap=" ",
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
        "removed_of_all": "{rate} of all parameters removed (attention {attention}, MLP {mlp})",
        "colon": ": ",
        "none": "none",
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
        "attention_limit": "limit {rate}, attention",
        "mlp_limit": "limit {rate}, MLP",
        "early_limit": "limit {rate}, first layers",
        "minimum": "minimum {rate}",
        "attention_minimum": "minimum {rate}, attention",
        "mlp_minimum": "minimum {rate}, MLP",
        "protected": "protected layer",
        "at_limit": "stands at a limit",
        "rates": "Pruning rates per layer",
        "layer_shares": "What each layer loses, of all its parameters",
        "block_rates": "What each attention block and each MLP loses, of its own parameters",
        "attention_part": "attention part",
        "mlp_part": "MLP part",
        "of_layer": "of the layer",
        "of_block": "of the block",
        "importance": "Importance: scores of the groups, lowest at the bottom of each block",
        "quantile": "groups of the block",
        "score": "score (log)",
        "cut": "removed up to here",
        "highest_cut": "{score}; line: highest removed score",
        "before_after": "Pruning rates before and after",
        "before": "before",
        "after": "after",
        "extreme_before": "extreme before",
        "extreme_after": "extreme after",
        "from_to": "{before} → {after}",
        "changed": "{block}: highest rate {highest}, spread {spread}",
        "setting": "{path}: {before} → {after}",
        "more_settings": "and {count} more",
        "same_settings": "no setting that decides what is removed differs",
        "diagnosis": "Diagnosis",
        "severity": "severity",
        "critical": "critical",
        "high": "high",
        "info": "info",
        "seen": "what was seen",
        "advice": "what to do",
        "extreme_layers": "Extreme layers",
        "above": "above the threshold",
        "commands": "Commands that apply the remedies",
        "change": "Configuration changes without an experiment name",
    },
    formats={
        "percent": percent,
        "maybe_percent": lambda rate: _or_unknown(rate, percent),
        "maybe": lambda value: _or_unknown(value, "{:.2f}".format),
        "points": lambda value: f"{100 * value:.0f} points",
        "ratio": lambda ratio: f"{100 * ratio:.4g} %",
        "times": lambda ratio: _or_unknown(ratio, times),
        "and_norm": lambda ratio: f" and its norm by {times(ratio)}" if ratio else "",
        "are": lambda count: "1 is" if count == 1 else f"{count} are",
        "gap": {
            "vanishing": "at the low end the gradient vanishes",
            "exploding": "at the high end the gradient explodes",
        }.__getitem__,
        "layers": _layers,
        "layers_or_none": lambda layers: _layers(layers) if layers else "no layer aggregate",
        "losses": _losses,
        "block": BLOCKS.__getitem__,
        "blocks": _blocks,
        "unscored": lambda blocks: f" Without any score: {_blocks(blocks)}." if blocks else "",
        "span": lambda values: spans(values.values(), "{} to {}"),
        "percentiles": lambda clip: "{:g} and {:g}".format(*clip),
        "scores": _scores,
        "deltas": _deltas,
        "parameters": _parameters,
        "texts": ", ".join,
        "others": _others,
    },
)
