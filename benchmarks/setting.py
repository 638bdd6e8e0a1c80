"""What every section measures: the size, the methods, and two pictures on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_zoo import samples
from neural_style_mmd.config import METHODS
from neural_style_mmd.images import resize_to, save_picture

ALL_METHODS = (*METHODS, "bn+poly", "bn+gaussian")
DISTINCT_METHODS = tuple(name for name in ALL_METHODS if name != "gram")  # the same graph as poly with c = 0
SIZES = (128, 256, 384, 512, 768, 1024)
PAIRS = (0, 1, 2, 3, 4, 5)
EDGE = 96  # at full size the section quality takes hours
ITERATIONS = 500  # the paper's
BASELINES = ("sgd", "adam", "lbfgs")


@dataclass(frozen=True)
class Setting:
    """width, height: of the pictures. rounds: that count. methods: names, a + b for a fusion; () for a section's own.

    sizes: long edges for the section that scales. folder: for files. say: called with a line for who waits.
    pairs, edge, iterations, against: of the section quality: sample pairs, their long edge, and its baselines'
        iterations and optimizers. revisions: of the section revisions, as git names them.
    """

    width: int
    height: int
    rounds: int
    methods: tuple[str, ...]
    sizes: tuple[int, ...]
    folder: Path
    say: Callable[[str], None]
    pairs: tuple[int, ...] = PAIRS
    edge: int = EDGE
    iterations: int = ITERATIONS
    against: tuple[str, ...] = BASELINES
    revisions: tuple[str, ...] = ()

    def pictures(self, width: int | None = None, height: int | None = None) -> dict[str, str]:
        """Paths of a "content" and a "style" picture: procedural ones, at this setting's size or another."""
        size = (width or self.width, height or self.height)
        paths = {role: self.folder / f"{role}-{size[0]}x{size[1]}.png" for role in ("content", "style")}
        if not all(path.exists() for path in paths.values()):
            pair = samples.pair(0, min(max(*size, samples.SMALLEST_WIDTH), samples.LARGEST_WIDTH))
            for role, path in paths.items():
                save_picture(path, resize_to(getattr(pair, role), size))
        return {role: str(path) for role, path in paths.items()}
