"""What the sixteen convolutions are called in the files in circulation.

A style is a way of naming; it also tells, where nothing better does, which input the network expects. One file uses
one style. A name that is neither a convolution of VGG-19 nor one of its fully connected layers means that the file
holds another network, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..vgg19 import LAYERS, parameter_shapes
from .binary import UnreadableError, quoted

CONVOLUTIONS = tuple(name for name, row in LAYERS.items() if row.kind == "conv")
SHAPES = parameter_shapes()
LONGEST_NAME = 256
MOST_TENSORS = 1000  # VGG-19 has 38, fully connected layers and all

_PARAMETER = {"weight": "weight", "bias": "bias", "w_0": "weight", "b_0": "bias"}

STYLES = {
    "caffe": re.compile(r"(?:arg:)?(conv\d+_\d+)[_.](weight|bias|w_0|b_0)"),
    "torchvision": re.compile(r"(?:arg:)?(?:module\.)?features\.(\d+)\.(weight|bias)"),
    "gluon": re.compile(r"(?:arg:)?(?:vgg\d+_)?conv(\d+)_(weight|bias)"),
}
"""Oxford's layer names; the position in torchvision's `features` (our table's, with relu and pool); the position
among the convolutions, as MXNet Gluon counts."""

_FULLY_CONNECTED = re.compile(
    r"(?:arg:)?(?:module\.)?"
    r"(?:fc[678][_.](?:weight|bias|w_0|b_0)|classifier\.\d\.\w+|pre_logits\.fc[12]\.\w+|head\.fc\.\w+"
    r"|(?:vgg\d+_)?dense[012]_\w+|features\.(?:37|39)\.\w+|output\.\w+)"
)


def assign(names: Iterable[str]) -> tuple[dict[str, str], str]:
    """{name in the file: canonical parameter name} and the style; fully connected layers are left out."""
    found: dict[str, str] = {}
    styles: dict[str, str] = {}
    for count, name in enumerate(names):
        if count >= MOST_TENSORS:
            raise UnreadableError(f"holds more than {MOST_TENSORS} tensors: not a VGG-19")
        if len(name) > LONGEST_NAME:
            raise UnreadableError(f"the name {quoted(name)} is longer than {LONGEST_NAME} characters")
        canonical, style = _canonical(name)
        if canonical is None:
            continue
        if canonical in found.values():
            raise UnreadableError(f"holds {canonical} twice")
        found[name] = canonical
        styles[style] = name
    if not found:
        raise UnreadableError("holds no convolution of VGG-19")
    if len(styles) > 1:
        raise UnreadableError(f"mixes ways of naming: {' and '.join(quoted(name) for name in styles.values())}")
    return found, next(iter(styles))


def require_shape(name: str, got: Sequence[int], order: str = "OIHW") -> None:
    """UnreadableError unless `got` is the shape of the parameter `name`, its filters laid out as `order` says."""
    expected = SHAPES[name]
    if len(expected) == 4:
        expected = tuple(expected["OIHW".index(axis)] for axis in order)
    if tuple(got) != expected:
        raise UnreadableError(f"{name} has shape {tuple(got)}, VGG-19 has {expected}: another network or layout")


def _canonical(name: str) -> tuple[str | None, str]:
    if _FULLY_CONNECTED.fullmatch(name):
        return None, ""
    for style, pattern in STYLES.items():
        match = pattern.fullmatch(name)
        if match:
            layer = _layer(match[1], style)
            if layer is not None:
                return f"{layer}_{_PARAMETER[match[2]]}", style
    raise UnreadableError(f"{quoted(name)} is not a layer of VGG-19: the file holds another network")


def _layer(text: str, style: str) -> str | None:
    if style == "caffe":
        layer = text
    else:
        order = CONVOLUTIONS if style == "gluon" else tuple(LAYERS)
        layer = order[int(text)] if len(text) < 4 and int(text) < len(order) else ""
    return layer if layer in CONVOLUTIONS else None
