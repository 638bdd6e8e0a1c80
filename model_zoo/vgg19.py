"""VGG-19 as a table (Simonyan and Zisserman, ICLR 2015, configuration E; the paper's reference [24]).

The table stops at pool5: the fully connected layers play no part in style transfer. Everything else about the
network (parameter names and shapes, which layers exist, how deep a layer lies) is read off it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import InputError

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""(channels, number of 3 x 3 convolutions) of each block; a 2 x 2 pooling of stride 2 ends it."""


@dataclass(frozen=True)
class Layer:
    """One row: `conv` is 3 x 3, stride 1, zero padding 1; `pool` is 2 x 2, stride 2, no padding (sizes round down)."""

    name: str
    kind: str  # "conv", "relu" or "pool"
    in_channels: int
    channels: int  # N_l
    stride: int  # pixels of the picture per position of this layer


def _rows() -> Iterable[Layer]:
    in_channels, stride = 3, 1
    for block, (channels, convolutions) in enumerate(BLOCKS, 1):
        for i in range(1, convolutions + 1):
            yield Layer(f"conv{block}_{i}", "conv", in_channels, channels, stride)
            yield Layer(f"relu{block}_{i}", "relu", channels, channels, stride)
            in_channels = channels
        stride *= 2
        yield Layer(f"pool{block}", "pool", channels, channels, stride)


LAYERS: dict[str, Layer] = {row.name: row for row in _rows()}
"""Every layer by name, from the picture downwards."""

FEATURE_LAYERS = tuple(name for name, row in LAYERS.items() if row.kind != "conv")
"""The layers whose features may be asked for: every relu and every pool."""

CONTENT_LAYER = "relu4_2"  # paper, section 4, Implementation Details
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # the same paragraph


def require_layers(names: Iterable[str]) -> None:
    """Raise InputError, listing the known layers, unless each name is a relu or pool layer."""
    for name in names:
        if name not in FEATURE_LAYERS:
            raise InputError(f"unknown layer {name!r}; the layers are {', '.join(FEATURE_LAYERS)}")


def rows_up_to(deepest: str) -> tuple[Layer, ...]:
    """The rows from the picture to `deepest`, inclusive."""
    require_layers([deepest])
    names = list(LAYERS)
    return tuple(LAYERS[name] for name in names[: names.index(deepest) + 1])


def deepest_of(names: Iterable[str]) -> str:
    """The one of `names` that lies deepest."""
    names = list(names)
    require_layers(names)
    order = list(LAYERS)
    return max(names, key=order.index)


def parameter_shapes(deepest: str = "pool5") -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters up to `deepest`: `convB_I_weight` (O, I, 3, 3), `convB_I_bias` (O,)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for row in rows_up_to(deepest):
        if row.kind == "conv":
            shapes[f"{row.name}_weight"] = (row.channels, row.in_channels, 3, 3)
            shapes[f"{row.name}_bias"] = (row.channels,)
    return shapes
