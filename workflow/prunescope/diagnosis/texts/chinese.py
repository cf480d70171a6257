"""Every word of the report and of the plots in Chinese, by code."""

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

# A Latin word stands between spaces, a Chinese one does not.
BLOCKS = {"attention": "注意力", "mlp": " MLP ", "total": "参数", "layer": "整体"}


def _percent(rate: float) -> str:
    return percent(rate).replace(" ", "")


def _layers(layers: Iterable[int]) -> str:
    return f"第 {runs(layers).replace(', ', '、')} 层"


def _losses(losses: Mapping[str, Mapping[str, float]]) -> str:
    """Say who loses what: ``第 2、3、4 层的 MLP 被剪去 99%``."""
    said = []
    for layers, rates in by_layers(losses).items():
        parts = [f"{BLOCKS[block]}被剪去 {percents(values).replace(' ', '')}" for block, values in rates.items()]
        said.append(f"{_layers(layers)}的{'，其'.join(parts)}")
    return "；".join(said)


def _blocks(blocks: Iterable[str]) -> str:
    """Say blocks such as ``3.mlp``: ``第 3、4 层的 MLP；第 7 层的注意力``."""
    return "；".join(f"{_layers(layers)}的{BLOCKS[kind]}".rstrip() for kind, layers in by_kind(blocks).items())


def _scores(scores: Mapping[str, float]) -> str:
    return "，".join(f"第 {layer} 层：z = {z:.1f}" for layer, z in scores.items())


def _deltas(deltas: Mapping[str, float]) -> str:
    split = ((*key.split("."), delta) for key, delta in deltas.items())
    return "，".join(f"第 {layer} 层的{BLOCKS[block].rstrip()}：{delta:.2g}" for layer, block, delta in split)


def _parameters(names: list[str]) -> str:
    named, more = parameter_names(names)
    return "、".join(named) + (f" 等，另有 {more} 个" if more else "") or "未列出名称"


def _others(texts: list[str]) -> str:
    if texts:
        return f"请对照校准未使用的 {'、'.join(texts)} 上的困惑度。"
    return "请再用另一种文本评测（evaluation.datasets），或改用其他文本校准。"


def _or_unknown(value: float | None, say) -> str:
    return "未知" if value is None else say(value)


CHINESE = Language(
    code="zh",
    cjk=True,
    findings={
        "no_problem": Text(
            "未发现问题",
            "没有触发任何“高”或“严重”级别的规则：各层梯度均值相差 {mean_ratio:times} 倍，"
            "{extreme} 层的剪枝率超过极端阈值 {extreme_rate:percent}（最高剪枝率：{highest_rate:maybe_percent}），"
            "重要性与剪枝率的秩相关系数为 {spearman:maybe}。",
            "无需调整。最终以剪枝后模型的困惑度为准。",
        ),
        "non_finite_gradient": Text(
            "梯度出现 NaN 或无穷大",
            "梯度统计中有非有限值（{layers:layers_or_none}；参数：{parameters:parameters}）。"
            "由此算出的得分没有意义，据此剪去的内容也不可信。",
            "不要使用剪枝后的模型。最常见的原因是半精度溢出，其次是权重损坏。",
        ),
        "vanishing_gradient": Text(
            "梯度消失",
            "{layers:layers}的梯度绝对值均值恰为 0，层间比值因此没有定义。"
            "没有梯度的层得分为 0，不论模型是否需要都会最先被剪去。",
            "请查明这些层究竟是对输出没有贡献，还是梯度因精度不足而丢失。",
        ),
        "early_layers_extreme": Text(
            "前几层被过度剪枝",
            "前 {of} 层中有 {count} 层超过极端阈值 {extreme_rate:percent}：{losses:losses}。"
            "后面各层都在这些层的输出上计算，这里的误差无法弥补。",
            "前几层很少像小梯度所显示的那样可有可无。是否如此，只能由保留这些层的对照实验的困惑度来判断。",
        ),
        "many_extreme_layers": Text(
            "大量层被过度剪枝",
            "{of} 层中有 {count} 层（{share:percent}）超过极端阈值 {extreme_rate:percent}，"
            "而此类层的占比不应超过 {threshold:percent}：{losses:losses}。",
            "剪枝预算集中在少数位置。应分散得更均匀，或降低剪枝比例。",
        ),
        "gradient_scale_gap": Text(
            "层间梯度尺度差异过大",
            "各层梯度绝对值的均值相差 {mean_ratio:times} 倍{norm_ratio:and_norm}"
            "（阈值 {threshold:times}）：最低的是{lowest_layers:layers}，最高的是{highest_layers:layers}。"
            "最低值为中位数的 1/{below_median:times}，最高值为中位数的 {above_median:times} 倍：{kind:gap}。"
            "此时对所有组统一排序，会优先剪去梯度小的位置，而那未必是模型用不到的位置。",
            "这里不同层的得分几乎不可比。请在 gradient_analysis.png 中查看剪枝率是否只跟随梯度而不跟随重要性。",
        ),
        "score_scale_gap": Text(
            "块间得分尺度差异过大",
            "各块的平均得分相差 {ratio:times} 倍（阈值 {threshold:times}）：最低的是{lowest_blocks:blocks}，"
            "最高的是{highest_blocks:blocks}。{unscored_blocks:unscored}",
            "块与块之间的排序主要由这一尺度决定，而不是由块内各组决定。请看 importance_heatmap.png："
            "颜色整体位于色标刻线以下的块，无论块内各组如何都会被剪去。",
        ),
        "block_imbalance": Text(
            "注意力与 MLP 的剪枝率失衡",
            "全部层的{higher:block}被剪去 {higher_rate:percent}，而{lower:block}被剪去 {lower_rate:percent}："
            "相差 {difference:points}（阈值 {threshold:points}）。",
            "一个 GQA 组的参数量是一个 MLP 中间通道的数百倍，二者的得分本身并不可比。"
            "请确认模型能够承受{higher:block}被剪去这么多。",
        ),
        "rate_spread": Text(
            "层间剪枝率差异过大",
            "就{block:block}而言，第 {highest_layer} 层被剪去 {highest_rate:percent}，"
            "第 {lowest_layer} 层被剪去 {lowest_rate:percent}：相差 {spread:points}（阈值 {threshold:points}）。",
            "全局剪枝本来就会产生差异，但差异如此之大往往说明各层得分不在同一尺度上。",
        ),
        "importance_rate_inverted": Text(
            "越重要的层剪得越多",
            "各层重要性与剪枝率的秩相关系数为 {spearman:+.2f}，而它应当明显为负（低于 {threshold:+.1f}）。",
            "请看 importance_heatmap.png：少数突出的组会抬高整层的均值，而该层其余各组得分很低；"
            "剪枝率限制也会把剪枝推向重要的层；此外还可能是噪声。",
        ),
        "importance_rate_weak": Text(
            "重要性与剪枝率几乎无关",
            "各层重要性与剪枝率的秩相关系数为 {spearman:+.2f}，并非明显为负（低于 {threshold:+.1f}）。",
            "各层得分相近或由限制决定剪枝率时属正常现象；否则请看 importance_heatmap.png。",
        ),
        "few_samples": Text(
            "校准样本偏少，排序不够稳定",
            "将 {samples} 个校准窗口分成两半，{of} 层中有 {count} 层的 {criterion} 得分在两半之间的秩相关系数"
            "低于 {threshold:.2f}（{layers:layers}：{rho:span}；各层中位数 {median:.2f}）。",
            "这些层内的次序有一部分出于偶然。增加窗口数会使两半的结果更一致。",
        ),
        "gradient_valley": Text(
            "梯度曲线出现低谷",
            "{layers:layers}的梯度绝对值均值远低于其他层（{z:scores}；对数尺度上的稳健 z 值，阈值 {threshold:.1f}）。",
            "这些层的组往往最先被剪去。请对照它们的剪枝率与重要性。",
        ),
        "gradient_spike": Text(
            "梯度曲线出现尖峰",
            "{layers:layers}的梯度绝对值均值远高于其他层（{z:scores}；对数尺度上的稳健 z 值，阈值 {threshold:.1f}）。",
            "这些层的组往往得以保留，代价由其他层承担。首层和末层常见；出现在别处时，可能由少数异常文档引起。",
        ),
        "limit_bound": Text(
            "触及限制：{limit}",
            "{limit} 在 {of} 个块中的 {count} 个块里取代得分作出决定（{layers:layers}），差额由别处补足。",
            "这正是限制的作用。",
        ),
        "limit_saturation": Text(
            "多数块已触及限制：{limit}",
            "{limit} 在 {of} 个块中的 {count} 个块（{share:percent}；{layers:layers}）里取代得分作出决定。",
            "此时剪枝率主要由限制而非重要性决定，结果接近对各块一律同剪。放宽限制，得分才能起更大作用。",
        ),
        "collapsed_blocks": Text(
            "有块被整体移除",
            "limits.collapse_below 移除了 {count} 个几乎所剩无几的块：{blocks:blocks}。",
            "整块移除后不再有任何计算开销，但最后剩下的组往往是该块中最重要的。"
            "请与不设 limits.collapse_below 时的困惑度对照。",
        ),
        "negative_removal_delta": Text(
            "移除损失为负",
            "移除某些块反而降低了校准损失（{deltas:deltas}）。这些值已提高到 0（share 时为 method.prior_floor），"
            "因为负的先验会颠倒块内各组的次序。",
            "值这样小的块会最先被剪去。若数值很小，可能只是校准窗口太少造成的噪声。",
        ),
        "shared_source": Text(
            "校准与评测使用同一来源的文本",
            "校准也取自 {texts:texts} 的来源。两部分没有共同的文档，但领域相同，"
            "因此在其上困惑度的恶化看起来比在别处小。",
            "{others:others}",
        ),
        "shared_documents": Text(
            "校准与评测使用相同的文档",
            "校准使用的正是测量困惑度的 {texts:texts} 那一部分，因此这一数值不能算作测试。",
            "{others:others}",
        ),
    },
    remedies={
        "block_correction": "T = {temperature:g}，tau = {tau:g}：用各块的先验对得分加权，对一些模型有益，对另一些有害",
        "share": "{combine}：将每块的移除损失分摊给块内各组，使注意力与 MLP 处于同一尺度",
        "cap_rates": "任何块最多剪去 {max_rate:percent}",
        "cap_early": "前几层最多剪去 {max_rate:percent}",
        "cap_attention": "任何注意力块最多剪去 {max_rate:percent}",
        "cap_mlp": "任何 MLP 块最多剪去 {max_rate:percent}",
        "shorter_windows": "校准窗口改为 {seq_len} 个 token，因为长窗口可能放大梯度差异",
        "more_samples": "校准窗口增至 {samples} 个，看是否只是噪声",
        "normalize_log": "显著性按块除以均值后取对数（{normalize}）",
        "block_mean": "显著性除以所在块的均值",
        "clip": "将显著性裁剪到所在块的第 {clip:percentiles} 百分位之间",
        "other_text": "改用 {dataset} 校准，之后应以 {dataset} 之外的文本评判",
        "depth_weight": "前面的层得分最多加权 {depth_weight:percent}",
        "protect": "保护{protect:layers}，一概不剪",
        "collapse": "保留不足 {collapse_below:percent} 的块整体移除",
        "full_precision": "以 {dtype} 计算梯度（gradients.dtype）",
        "lower_ratio": "改为剪去全部参数的 {ratio:ratio}",
    },
    compare="可对照：{}。",
    offer="{experiment}（{what}）",
    joiner="；或 ",
    exhausted="配置中可用的对策均已生效，或在此剪枝比例下无法满足。",
    gap="",
    labels={
        "layer": "层",
        "attention": "注意力",
        "mlp": "MLP",
        "total": "合计",
        "mean": "均值",
        "std": "标准差",
        "norm": "范数",
        "max": "最大值",
        "min": "最小值",
        "between": "区间",
        "floor": "{name}（0 画在 {floor:.0e} 处）",
        "analysis": "梯度分析",
        "gradients": "|g| 的均值、标准差和范数",
        "range": "|g| 的范围",
        "removed_of_all": "剪去全部参数的 {rate}（注意力 {attention}，MLP {mlp}）",
        "colon": "：",
        "none": "无",
        "decision": "梯度、重要性与剪枝率",
        "scaled": "0-1",
        "scaled_gradient": "梯度均值\n（对数，缩放至 0-1）",
        "scaled_importance": "重要性\n（对数，缩放至 0-1）",
        "rate": "剪枝率",
        "total_rate": "该层剪枝率",
        "highest_block": "注意力与 MLP 剪枝率\n中的较高者",
        "extreme_layer": "极端层",
        "extreme_rate": "极端阈值 {rate}",
        "target": "目标：全部参数的 {rate}",
        "limit": "上限 {rate}",
        "attention_limit": "上限 {rate}（注意力）",
        "mlp_limit": "上限 {rate}（MLP）",
        "early_limit": "上限 {rate}（前几层）",
        "minimum": "下限 {rate}",
        "attention_minimum": "下限 {rate}（注意力）",
        "mlp_minimum": "下限 {rate}（MLP）",
        "protected": "受保护的层",
        "at_limit": "已触及限制",
        "rates": "各层剪枝率",
        "layer_shares": "各层被剪去的部分，占该层全部参数",
        "block_rates": "各注意力块与 MLP 被剪去的部分，占该块自身参数",
        "attention_part": "注意力部分",
        "mlp_part": "MLP 部分",
        "of_layer": "占该层比例",
        "of_block": "占该块比例",
        "importance": "重要性：各组得分，每块由低到高自下而上",
        "quantile": "该块的组",
        "score": "得分（对数）",
        "cut": "剪去至此",
        "highest_cut": "{score}；线：被剪去的最高得分",
        "before_after": "前后剪枝率对照",
        "before": "之前",
        "after": "之后",
        "extreme_before": "之前的极端层",
        "extreme_after": "之后的极端层",
        "from_to": "{before} → {after}",
        "changed": "{block}：最高剪枝率 {highest}，跨度 {spread}",
        "setting": "{path}：{before} → {after}",
        "more_settings": "另有 {count} 项",
        "same_settings": "决定剪枝的设置没有不同",
        "diagnosis": "诊断",
        "severity": "级别",
        "critical": "严重",
        "high": "高",
        "info": "提示",
        "seen": "观察到的现象",
        "advice": "建议",
        "extreme_layers": "极端剪枝的层",
        "above": "超过阈值的部分",
        "commands": "应用这些对策的命令",
        "change": "没有实验名可表示的配置修改",
    },
    formats={
        "percent": _percent,
        "maybe_percent": lambda rate: _or_unknown(rate, _percent),
        "maybe": lambda value: _or_unknown(value, "{:.2f}".format),
        "points": lambda value: f"{100 * value:.0f} 个百分点",
        "ratio": lambda ratio: f"{100 * ratio:.4g}%",
        "times": lambda ratio: _or_unknown(ratio, times),
        "and_norm": lambda ratio: f"，范数相差 {times(ratio)} 倍" if ratio else "",
        "gap": {"vanishing": "低端梯度消失", "exploding": "高端梯度爆炸"}.__getitem__,
        "layers": _layers,
        "layers_or_none": lambda layers: _layers(layers) if layers else "没有层汇总值",
        "losses": _losses,
        "block": BLOCKS.__getitem__,
        "blocks": _blocks,
        "unscored": lambda blocks: f"得分为 0 的：{_blocks(blocks)}。" if blocks else "",
        "span": lambda values: spans(values.values(), "{} 至 {}"),
        "percentiles": lambda clip: "{:g} 与 {:g}".format(*clip),
        "scores": _scores,
        "deltas": _deltas,
        "parameters": _parameters,
        "texts": "、".join,
        "others": _others,
    },
)
