"""Floating-point operations per second: of our iteration and the bare network, of each convolution, of a product."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from model_zoo.vgg19 import rows_up_to

from .contenders import BARE, DEEPEST
from .ours import WHOLE
from .processes import Child, alternate, summary
from .setting import Setting

LARGEST_PRODUCT = 4096


def convolution_flops(width: int, height: int) -> dict[str, int]:
    """Operations of each convolution's forward up to relu5_1, a product and a sum counted as two.

    2 * 9 * C_in * C_out for each position, borders as if there were no padding. A backward with respect to the input
    takes as many; there is none with respect to the weights.
    """
    flops = {}
    for row in rows_up_to(DEEPEST):
        if row.kind == "conv":
            positions = (height // row.stride) * (width // row.stride)
            flops[row.name] = 2 * 9 * row.in_channels * row.channels * positions
    return flops


def measure(setting: Setting) -> dict[str, Any]:
    """Rows of {"what", "flops", "seconds", "rate"}; a rate counts the network's operations alone, not the losses', and
    those of direct convolutions: by Winograd's algorithm there are fewer, and an iteration may pass the best layer."""
    flops = convolution_flops(setting.width, setting.height)
    twins = _twins()
    n = min(LARGEST_PRODUCT, 8 * setting.width)
    method = (setting.methods or ("linear",))[0]
    setting.say(f"roofline: {method}, {len(twins)} convolutions, products of {n} x {n}")
    with ExitStack() as stack:
        iteration = stack.enter_context(Child("ours:iterate", {"methods": method, **setting.pictures()}))
        size = {"width": setting.width, "height": setting.height}
        single = stack.enter_context(Child("layers:convolutions", size))
        products = {
            f"{n} x {n} product, {name}": stack.enter_context(Child(f"layers:{name.lower()}_product", {"n": n}))
            for name in ("MXNet", "NumPy")
        }
        contenders: dict[str, Any] = {name: partial(iteration.ask, name) for name in (WHOLE, BARE)}
        contenders |= {name: partial(single.ask, name) for name in twins}
        contenders |= {name: child.ask for name, child in products.items()}
        answers = alternate(contenders, setting.rounds)
    rows = [
        _row(f"{method}, whole iteration", 2 * sum(flops.values()), answers[WHOLE]),
        _row("bare network", 2 * sum(flops.values()), answers[BARE]),
    ]
    alone = [
        sum(len(same) * sum(answers[name][k].values()) for name, same in twins.items()) for k in range(setting.rounds)
    ]
    rows.append(_row("every convolution, each timed alone", 2 * sum(flops.values()), alone))
    for name, same in twins.items():
        for way in ("forward", "backward"):
            label = f"{', '.join(same)}, {way}"
            rows.append(_row(label, flops[name], [each[way] for each in answers[name]]) | {"layer": name})
    rows += [_row(name, 2 * n**3, answers[name]) for name in products]
    best = max(row["rate"]["median"] for row in rows if "layer" in row)
    for row in rows:
        row["share"] = row["rate"]["median"] / best
    return {"rows": rows}


def _row(what: str, flops: int, seconds: list[float]) -> dict[str, Any]:
    return {"what": what, "flops": flops, "seconds": summary(seconds), "rate": summary([flops / s for s in seconds])}


def _twins() -> dict[str, list[str]]:
    """The first convolution of each shape -> all of that shape."""
    shapes: dict[tuple[int, ...], list[str]] = {}
    for row in rows_up_to(DEEPEST):
        if row.kind == "conv":
            shapes.setdefault((row.in_channels, row.channels, row.stride), []).append(row.name)
    return {same[0]: same for same in shapes.values()}
