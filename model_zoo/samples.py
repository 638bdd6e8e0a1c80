"""Six procedural pairs of a content and a style picture, seeded, that need no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .errors import InputError
from .paintings import PAINTINGS
from .scenes import SCENES

WIDTH = 768  # pixels; the height is three quarters of it
SMALLEST_WIDTH = 64
LARGEST_WIDTH = 2048


@dataclass(frozen=True)
class Pair:
    """A content picture and a style picture, uint8 (H, W, 3) RGB, with names that say what they are."""

    content: np.ndarray
    style: np.ndarray
    content_name: str
    style_name: str


def pair(k: int, width: int = WIDTH) -> Pair:
    """Sample pair `k`, 0 to 5, at `width` x 3/4 `width` pixels; the same numbers every time.

    InputError for another k, or a width outside 64 to 2048.
    """
    require_pair(k)
    if width not in range(SMALLEST_WIDTH, LARGEST_WIDTH + 1):
        raise InputError(
            f"a sample picture cannot be {width!r} pixels wide; choose {SMALLEST_WIDTH} to {LARGEST_WIDTH}"
        )
    pictures = []
    for role, painter in enumerate((SCENES[k], PAINTINGS[k])):
        canvas = Canvas(width, (k, role))
        painter(canvas)
        pictures.append(canvas.image())
    return Pair(pictures[0], pictures[1], f"procedural-{k}-content", f"procedural-{k}-style")


def require_pair(k: object) -> None:
    """InputError for a k that is no sample pair, before one is drawn, which takes seconds."""
    if k not in range(len(SCENES)):
        raise InputError(f"there is no sample pair {k!r}; choose 0 to {len(SCENES) - 1}")
