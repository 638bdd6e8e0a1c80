"""beta' over many pairs, under both presets: how far a constant chosen by hand is from a balanced one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from model_zoo.errors import InputError
from model_zoo.vgg19 import LAYERS, STYLE_LAYERS
from model_zoo.weights import Weights

from .config import TransferConfig
from .evaluation import style_term
from .images import WRITABLE, read_picture
from .objective import Objective
from .presets import RELEASE_BETA_PRIME, RELEASE_LAYER_SCALES
from .stylization import Setting, prepare

CONTENTS = ("brad_pitt", "golden_gate", "hoovertowernight", "IMG_4343", "tubingen")
STYLES = (
    "frida_kahlo",
    "picasso_selfport1907",
    "seated-nude",
    "shipwreck",
    "starry_night",
    "the_scream",
    "woman-with-hat-matisse",
)
"""The release's sweep (gen_run.py at 9c63009)."""

TABLE_METHODS = ("linear", "poly", "gaussian", "bn")


@dataclass(frozen=True)
class Measured:
    """One pair. All by method, all at the calibration point with gamma 1.

    paper, release: beta' measured, in the normalisation of the preset.
    constant_ratio: norm of the style gradient over that of the content gradient under the release's constants.
    """

    content: str
    style: str
    paper: dict[str, float]
    release: dict[str, float]
    constant_ratio: dict[str, float]


@dataclass(frozen=True)
class Spread:
    """Geometric mean, geometric standard deviation (a factor; None for one number), least and largest."""

    mean: float
    factor: float | None
    least: float
    largest: float


def measure_pairs(
    pairs: Sequence[tuple[Path, Path]],
    weights: Weights,
    size: int,
    notify: Callable[[str], None] = lambda text: None,
) -> Iterator[Measured]:
    """Measure each (content, style) at the long edge `size`, in order."""
    for k, (content, style) in enumerate(pairs, 1):
        notify(f"{k} of {len(pairs)}: {content.stem} x {style.stem}")
        pictures = read_picture(content), read_picture(style)
        found = {}
        for preset in ("paper", "release"):
            config = TransferConfig(preset=preset, method=TABLE_METHODS, balance="measured", gamma=1.0, size=size)
            setting = prepare(*pictures, config, weights=weights)
            found[preset] = _beta_prime(setting)
            del setting
        ratios = {method: RELEASE_BETA_PRIME[method] / found["release"][method] for method in TABLE_METHODS}
        yield Measured(content.stem, style.stem, found["paper"], found["release"], ratios)


def _beta_prime(setting: Setting) -> dict[str, float]:
    """|content gradient| / |style gradient| of each method: what calibration.balance gives, without what it adds."""

    def norm(objective: Objective, heads: dict[str, float]) -> float:
        return float(np.linalg.norm(objective.evaluate(setting.point, heads).gradient.astype(np.float64)))

    objective = setting.objective
    content = norm(objective, {"content": 1.0})
    return {
        method: content
        / norm(objective, {style_term(method, layer): objective.style_weight(method, layer) for layer in STYLE_LAYERS})
        for method in TABLE_METHODS
    }


def spread(values: Sequence[float]) -> Spread:
    """Of positive numbers."""
    logs = [math.log(value) for value in values]
    factor = math.exp(stdev(logs)) if len(logs) > 1 else None
    return Spread(math.exp(mean(logs)), factor, min(values), max(values))


def constants_in_paper_normalisation(height: int, width: int) -> dict[str, list[float]]:
    """The release's constant times its layer's scale over its content factor 2, for each style layer of a picture: the
    beta' w_l that the paper's losses would need, gamma 1, alpha 1. The paper has one beta' and w_l = 1. For gaussian
    the kernel's width differs too, and no constant makes up for it."""
    return {
        method: [
            RELEASE_BETA_PRIME[method]
            * RELEASE_LAYER_SCALES[method](
                LAYERS[layer].channels, (height // LAYERS[layer].stride) * (width // LAYERS[layer].stride)
            )
            / 2
            for layer in STYLE_LAYERS
        ]
        for method in TABLE_METHODS
    }


def summarise(found: Sequence[Measured], height: int, width: int) -> dict[str, Any]:
    """The table in JSON's types; `height` and `width` are of the picture for which constants are converted."""
    converted = constants_in_paper_normalisation(height, width)
    return {
        "methods": {
            method: {
                "paper": asdict(spread([each.paper[method] for each in found])),
                "release": asdict(spread([each.release[method] for each in found])),
                "release_constant": RELEASE_BETA_PRIME[method],
                "constant_ratio": asdict(spread([each.constant_ratio[method] for each in found])),
                "constant_by_layer": dict(zip(STYLE_LAYERS, converted[method], strict=True)),
            }
            for method in TABLE_METHODS
        },
        "by_layer_at": [width, height],
        "pairs": [asdict(each) for each in found],
    }


def sweep(folder: Path, contents: Sequence[str] = CONTENTS, styles: Sequence[str] = STYLES) -> list[tuple[Path, Path]]:
    """Every content with every style, files of `folder` named with or without their extension. InputError where one is
    missing."""
    return [(_picture(folder, content), _picture(folder, style)) for content in contents for style in styles]


def _picture(folder: Path, name: str) -> Path:
    for path in (folder / name, *(folder / f"{name}{suffix}" for suffix in WRITABLE)):
        if path.is_file():
            return path
    raise InputError(f"{folder} has no picture {name}; put it there, or name others with --contents and --styles")


def text(table: dict[str, Any]) -> str:
    """The table as Markdown."""
    width, height = table["by_layer_at"]
    lines = [
        f"beta' measured over {len(table['pairs'])} pairs: geometric mean, times or divided by the geometric standard "
        "deviation (least to largest).",
        "",
        "| method | beta', paper's normalisation | beta', release's | release's constant | style : content it gives |",
        "|---|---|---|---|---|",
    ]
    for method, row in table["methods"].items():
        cells = (_shown(row[key]) for key in ("paper", "release"))
        lines.append(
            f"| {method} | {' | '.join(cells)} | {row['release_constant']:g} | {_shown(row['constant_ratio'])} |"
        )
    layers = list(next(iter(table["methods"].values()))["constant_by_layer"])
    lines += [
        "",
        f"What the release's constants amount to in the paper's normalisation, beta' w_l of each layer at {width} x "
        f"{height}:",
        "",
        f"| method | {' | '.join(layers)} |",
        "|---|" + "---|" * len(layers),
    ]
    for method, row in table["methods"].items():
        lines.append(f"| {method} | {' | '.join(f'{value:.3g}' for value in row['constant_by_layer'].values())} |")
    return "\n".join(lines)


def _shown(value: dict[str, Any]) -> str:
    factor = f" ×÷ {value['factor']:.2f}" if value["factor"] else ""
    return f"{value['mean']:.3g}{factor} ({value['least']:.3g} to {value['largest']:.3g})"
