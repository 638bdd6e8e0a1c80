"""What a reader hands on: the convolutions of a file, and what the file says of the input they expect."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..conventions import CONVENTIONS, Convention


@dataclass(frozen=True)
class Contents:
    """The convolutions as the file holds them.

    parameters: canonical name -> float32 tensor of its own, filters (O, I, 3, 3); the input channels of conv1_1 are
        still in the file's order.
    convention: the input that the network expects.
    stated: whether the file or its format says so; otherwise it follows from the style of the names, by custom.
    notes: what the reader had to decide.
    """

    parameters: dict[str, np.ndarray]
    convention: Convention
    stated: bool
    notes: tuple[str, ...] = field(default=())


def by_custom(parameters: dict[str, np.ndarray], style: str, caffe: str = "vgg-rgb") -> Contents:
    """Contents whose convention follows from the names: `caffe` for Oxford's layer names, else torchvision's."""
    name = caffe if style == "caffe" else "torchvision"
    note = f"the file does not say which input it expects; taken to be {CONVENTIONS[name]}, as its names suggest"
    return Contents(parameters, CONVENTIONS[name], False, (note,))
