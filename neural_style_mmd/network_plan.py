"""How the network of a picture is made within 1.3 times the memory of the network alone, as fast as that allows.

Five choices: the first layers' features, the largest, are kept for the backward pass or computed again there, and so
are samples; these layers are made whole or by halves of the picture; wide convolutions are made by Winograd's
algorithm, whose kernels must be kept; these are made once or in each evaluation. None changes more than rounding.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import cache
from typing import NamedTuple

from .config import BF16, BLOCKS, PAIRS
from .losses import method
from .processor import instructions


class NetworkPlan(NamedTuple):
    """recompute: the last of the first layers that are computed again for the backward pass, see vgg19_symbol.
    winograd: the fewest channels of the features that a convolution by Winograd's algorithm reads, in float32; None for
        none. bfloat16 has another, see winograd_bf16.py.
    direct: those that are not made so nonetheless. conv4_4 saves as much time as conv4_3, and its kernels are made when
        the most arrays are kept.
    samples_again: whether samples, and what compares them in pairs, are computed again for the backward pass.
    kernels_once: whether the kernels for Winograd's algorithm in float32 are made once and stay, which is faster. Those
        that each evaluation makes take less memory: they are gone when it needs most.
    halves: whether the layers before pool1, and FIRST_LAYER's moments, are made of the picture's halves, one after the
        other. It takes as long. Their arrays, the largest of all, are then half as large, and so is what MXNet needs
        to put them into another order.
    """

    recompute: str | None
    winograd: int | None
    samples_again: bool = True
    kernels_once: bool = False
    halves: bool = False
    direct: tuple[str, ...] = ()


_SMALL, _MIDDLE, _ANY = 384**2, 512**2, math.inf  # pixels

_MEANS, _MOMENTS, _AND_OTHERS = "means", "moments", " and others"

_ALL_KEPT = NetworkPlan(None, 256, samples_again=False, kernels_once=True)

_HALVES = NetworkPlan("pool1", 256, halves=True)
_HALVES_AND_512 = _HALVES._replace(winograd=512)

_PLANS: dict[str, dict[float, NetworkPlan]] = {
    # Hardly an array beside the network's.
    _MEANS: {_SMALL: _ALL_KEPT, _MIDDLE: NetworkPlan(None, 256), _ANY: NetworkPlan("pool1", 256)},
    _MOMENTS: {_SMALL: _ALL_KEPT, _ANY: NetworkPlan("pool1", 256)},
    # What MXNet needs to reorder pairs stays with it when blocks are bound.
    PAIRS: {_SMALL: _ALL_KEPT, _ANY: _HALVES},
    BLOCKS: {_SMALL: _ALL_KEPT, _ANY: _HALVES},
    PAIRS + _AND_OTHERS: {_SMALL: _ALL_KEPT, _ANY: _HALVES._replace(direct=("conv4_4",))},
    # A Gram matrix's backward pass leaves no place for the kernels of 256 channels, however large the picture.
    BLOCKS + _AND_OTHERS: {_SMALL: _ALL_KEPT, _ANY: _HALVES_AND_512},
}
"""What the losses read, or how samples are compared -> the largest picture, in pixels -> its plan. Small pictures need
little memory in any case."""

_WITH_AVX512: dict[str, dict[float, NetworkPlan]] = {
    _MOMENTS: {_MIDDLE: NetworkPlan(None, 512)},
    PAIRS: {_MIDDLE: NetworkPlan(None, 512)},
    BLOCKS: {_MIDDLE: _HALVES_AND_512},
}
"""The same, where the CPU has these instructions. oneDNN's convolutions use them and then need more memory, also in the
network alone, so that more may be kept; the products of Winograd's algorithm do not, which gains less, and least with
256 channels, whose kernels take as much again."""

_IN_BF16: dict[str, dict[float, NetworkPlan]] = {
    PAIRS: {_MIDDLE: NetworkPlan("pool1", None), _ANY: NetworkPlan("conv2_1", None)},
    BLOCKS: {_MIDDLE: NetworkPlan("pool1", None), _ANY: NetworkPlan("conv2_1", None)},
    PAIRS + _AND_OTHERS: {_ANY: NetworkPlan("conv2_1", None)},
    BLOCKS + _AND_OTHERS: {_MIDDLE: NetworkPlan(None, None), _ANY: NetworkPlan("conv2_1", None)},
}
"""The same, where the network runs in bfloat16, in which halves were not tried. "conv2_1" takes longer than "pool1"."""


def network_plan(
    methods: Collection[str], height: int, width: int, precision: str, estimator: str = PAIRS
) -> NetworkPlan:
    """Of the network in `precision` for the losses of `methods` on pictures of this size, with samples compared by
    `estimator`."""
    read = [method(each) for each in methods]
    if any(each.samples_pairs for each in read):
        kind = estimator if all(each.samples_pairs for each in read) else estimator + _AND_OTHERS
    else:
        kind = _MEANS if all(each.reads_mean_alone for each in read) else _MOMENTS
    pixels = height * width / (2 if precision == BF16 else 1)  # whose features take half
    plans = _PLANS[kind] | (_WITH_AVX512.get(kind, {}) if has_avx512() else {})
    plans |= _IN_BF16.get(kind, {}) if precision == BF16 else {}
    return next(plans[largest] for largest in sorted(plans) if pixels <= largest)


@cache
def has_avx512() -> bool:
    """Whether this CPU is one of _WITH_AVX512."""
    return "avx512f" in instructions()
