"""How numbers, layers and blocks read in any language: what the templates of the words use as filters."""

import math
from collections.abc import Callable, Iterable, Mapping


def rate(value: float) -> str:
    """Return a rate in percent, without the sign; 100 is said of nothing that keeps a part."""
    if 0.995 <= value < 1:
        return f"{math.floor(value * 1000) / 10}"
    return f"{100 * value:.0f}"


def rates(values: Iterable[float]) -> str:
    """Return the range of some rates, as one number when they read the same: ``60-100``."""
    return "-".join(_ends(values, rate))


def ends(values: Iterable[float]) -> list[str]:
    """Return the lowest and the highest of some correlations, or one of them when they read the same."""
    return _ends(values, "{:.2f}".format)


def _ends(values: Iterable[float], read: Callable[[float], str]) -> list[str]:
    ordered = sorted(values)
    return list(dict.fromkeys((read(ordered[0]), read(ordered[-1]))))


def factor(ratio: float) -> str:
    """Return a ratio with the digits that matter."""
    if ratio < 1000:
        return f"{ratio:.3g}"
    return f"{ratio:,.5g}" if ratio < 99_999 else f"{ratio:,.0f}"


def runs(layers: Iterable[int]) -> str:
    """Return layer numbers, four or more in a row as a range: ``2, 3, 7-12``."""
    groups: list[list[int]] = []
    for layer in sorted(layers):
        if groups and layer == groups[-1][-1] + 1:
            groups[-1].append(layer)
        else:
            groups.append([layer])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 3 else ", ".join(map(str, run)) for run in groups)


def by_layers(losses: Mapping[str, Mapping[str, float]]) -> dict[tuple[int, ...], dict[str, list[float]]]:
    """Turn rates by block and layer into rates by layers and block: blocks that concern the same layers together.

    The total of a layer is left out where its attention or MLP is there already.
    """
    apart = {layer for block in ("attention", "mlp") for layer in losses.get(block, {})}
    grouped: dict[tuple[int, ...], dict[str, list[float]]] = {}
    for block, values in losses.items():
        said = {int(layer): value for layer, value in values.items() if block != "total" or layer not in apart}
        if said:
            grouped.setdefault(tuple(said), {})[block] = list(said.values())
    return grouped


def by_kind(blocks: Iterable[str]) -> dict[str, list[int]]:
    """Turn blocks such as ``3.mlp`` into layers by kind of block."""
    kinds: dict[str, list[int]] = {}
    for block in blocks:
        layer, kind = block.split(".")
        kinds.setdefault(kind, []).append(int(layer))
    return kinds
