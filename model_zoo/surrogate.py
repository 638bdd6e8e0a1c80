"""A stand-in for VGG-19 that needs no download: the same layers with seeded weights, no photograph and no training.

Each layer whitens what it gets. From seeded procedural pictures (dead leaves) the covariance of the layer's 3 x 3
input patches is measured, and the filters are random mixtures of its leading directions, each divided by a power of its
variance. They come in pairs f and -f, so that the rectifier loses nothing, and each channel's mean activation is the
recipe's. There are two kinds:

- Linear filters see only the differences relu(f) - relu(-f) = f of linear filters above them, so they are linear in the
  picture at any depth. The content layer has no others, so the content loss has nearly the shape of a bowl and the
  content is found even from a flat start; without them houses were lost in false minima.
- Mixed filters see all channels, products of many rectifications. They hold the style's strokes.

Filters see no mean of their input and have no bias (but in the first layer), so zero padding looks like the mean.

Related: He, Wang and Hopcroft (2016) and Ustyuzhaninov et al. (ICLR 2017) transfer style with random filters, Baradad
et al. (NeurIPS 2021) train features on dead leaves. Pictures made with it are no reproduction of the paper's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .dead_leaves import dead_leaves
from .errors import InputError
from .files import cache_home, file_hash, locked, make_folder, whole_file, write_json
from .vgg19 import CONTENT_LAYER, Layer, rows_up_to
from .weights import VGG_MEAN_RGB, Preprocessing, Weights
from .whitening import average_pool, convolve, sample_patches, whitening_filters

RECIPE_VERSION = 2  # raise it whenever the numbers that come out change
SEED = 0
CONTENT_CONVOLUTION = CONTENT_LAYER.replace("relu", "conv")


@dataclass(frozen=True)
class Recipe:
    """The numbers of the recipe. Each was chosen by looking at stylised pictures; none comes from the paper."""

    version: int = RECIPE_VERSION
    seed: int = SEED
    pictures: int = 4
    picture_size: int = 256
    patches: int = 4096  # sampled at each layer, over all pictures
    first_shrinkage: float = 0.2  # conv1_1: colour matters more than the finest detail
    linear_share: float = 0.25  # of a layer's filters; 1 in conv1_1 and the content layer
    linear_power: float = 0.5
    linear_shrinkage: float = 0.1  # 0.01 leaves a weave of fine lines
    mixed_power: float = 0.3  # 0.5 fills pictures with noise, 0.15 leaves blurs
    mixed_shrinkage: float = 0.1
    mean_activation: float = 45.0  # about VGG-19's: the optimisers' clip at 3HW moves the picture only at this scale


def load_surrogate(*, notify: Callable[[str], None] = lambda text: None) -> Weights:
    """The surrogate network, from the cache folder; on first use it is made, which takes some 20 s.

    The cached file is verified by its sha256 each time; a damaged one is made again. notify gets one line per layer
    made. Two processes that need it at once make it once. InputError where the cache folder cannot be written.
    """
    recipe = Recipe()
    path = cache_home() / f"surrogate-recipe{recipe.version}-seed{recipe.seed}.npz"
    weights = _read(path, recipe, notify)
    if weights is not None:
        return weights
    make_folder(path.parent)
    with locked(path.with_suffix(".lock"), lambda: notify("another process is making the surrogate network; waiting")):
        weights = _read(path, recipe, lambda text: None)
        if weights is None:
            weights = _weights(make_parameters(recipe, notify), recipe)
            _write(path, weights, recipe)
    return weights


def make_parameters(
    recipe: Recipe, notify: Callable[[str], None] = lambda text: None, deepest: str = "pool5"
) -> dict[str, np.ndarray]:
    """The parameters of all convolutions up to `deepest`, float32, by the names and in the layout of `vgg19`."""
    rng = np.random.default_rng(recipe.seed)
    mean_colour = np.reshape(VGG_MEAN_RGB, (3, 1, 1))
    maps = [dead_leaves(recipe.picture_size, (recipe.seed, k)) - mean_colour for k in range(recipe.pictures)]
    parameters: dict[str, np.ndarray] = {}
    rows = rows_up_to(deepest)
    convolutions = sum(row.kind == "conv" for row in rows)
    linear = 0
    for row in rows:
        if row.kind == "pool":
            maps = [average_pool(x) for x in maps]
        elif row.kind == "conv":
            notify(f"making the surrogate network: {row.name} ({len(parameters) // 2 + 1} of {convolutions})")
            patches = sample_patches(maps, recipe.patches, rng)
            filters, bias, linear = _make_filters(row, patches, linear, recipe, rng)
            maps, scale = _respond(maps, filters, bias, recipe.mean_activation)
            for part, half in (("weight", filters * scale[:, None, None, None]), ("bias", bias * scale)):
                parameters[f"{row.name}_{part}"] = np.concatenate([half, -half]).astype(np.float32)
    return parameters


def _make_filters(
    row: Layer, patches: np.ndarray, linear: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """The first half of a layer's filters, their biases, and how many of them are linear in the picture.

    patches: (n, C, 9) of the input; linear: how many of its pairs of channels are linear.
    """
    half = row.channels // 2
    mean = patches.mean(axis=(0, 2))
    if row.in_channels == 3:
        filters = whitening_filters(patches - mean[:, None], half, recipe.linear_power, recipe.first_shrinkage, rng)
        return filters, -(filters.sum(axis=(2, 3)) @ mean), half
    count = half if row.name == CONTENT_CONVOLUTION else int(half * recipe.linear_share)
    filters = np.zeros((half, row.in_channels, 3, 3))
    pairs = row.in_channels // 2
    signal = patches[:, :linear] - patches[:, pairs : pairs + linear]
    found = whitening_filters(signal, count, recipe.linear_power, recipe.linear_shrinkage, rng)
    filters[:count, :linear], filters[:count, pairs : pairs + linear] = found, -found
    if count < half:
        unit = mean / np.linalg.norm(mean)
        signal = patches - unit[:, None] * np.einsum("nct,c->nt", patches, unit)[:, None, :]
        filters[count:] = whitening_filters(signal, half - count, recipe.mixed_power, recipe.mixed_shrinkage, rng)
    return filters, np.zeros(half), count


def _respond(
    maps: list[np.ndarray], filters: np.ndarray, bias: np.ndarray, level: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """relu(f) and relu(-f) of the maps, scaled so that each pair's mean is `level`; and the scales (O / 2,)."""
    responses = [convolve(x, filters, bias) for x in maps]
    # The mean of relu(f) and relu(-f) over the pair is half the mean of |f|.
    now = sum(np.abs(y).sum(axis=(1, 2)) for y in responses) / sum(2 * y[0].size for y in responses)
    scale = level / now
    rectified = []
    for y in responses:
        y *= scale[:, None, None]
        rectified.append(np.concatenate([np.maximum(y, 0), np.maximum(-y, 0)]))
    return rectified, scale


def _weights(parameters: dict[str, np.ndarray], recipe: Recipe, sha256: str = "") -> Weights:
    return Weights(
        parameters=parameters,
        preprocessing=Preprocessing(VGG_MEAN_RGB),
        kind="surrogate",
        name="surrogate",
        origin=f"made by model_zoo.surrogate, recipe {recipe.version}, seed {recipe.seed}; seeded, not trained",
        sha256=sha256,
    )


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _write(path: Path, weights: Weights, recipe: Recipe) -> None:
    try:
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **weights.parameters)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; NEURAL_STYLE_MMD_HOME names another folder"
        ) from error
    write_json(_sidecar(path), {"file": file_hash(path), "network": weights.sha256, "recipe": asdict(recipe)})


def _read(path: Path, recipe: Recipe, notify: Callable[[str], None]) -> Weights | None:
    """The cached network, or None where it is missing, damaged or by another recipe."""
    if not path.exists():
        return None
    try:
        record = json.loads(_sidecar(path).read_text())
        if record["recipe"] == asdict(recipe) and record["file"] == file_hash(path):
            with np.load(path) as stored:
                return _weights(dict(stored), recipe, record["network"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # an unreadable record is a damaged one
    notify(f"the cached surrogate network {path} is damaged or outdated; it is made again")
    return None
