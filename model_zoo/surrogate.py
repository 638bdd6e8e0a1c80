"""A stand-in for VGG-19 that needs no download: the same layers with seeded weights, no photograph and no training.

Each layer whitens what it gets. From seeded procedural pictures (dead leaves) the covariance of the layer's 3 x 3
input patches is measured; filters are random mixtures of its leading directions, scaled so that the responses are about
uncorrelated; they come in pairs f and -f, so that the rectifier loses nothing; each channel's mean activation is
MEAN_ACTIVATION. Filters are blind to the mean of their input and biases are 0 (but in the first layer), so zero
padding looks like the mean and draws no frame.

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
from .vgg19 import LAYERS, Layer
from .weights import VGG_MEAN_RGB, Preprocessing, Weights
from .whitening import average_pool, convolve, sample_patches, whitening_filters

RECIPE_VERSION = 1  # raise it whenever the numbers that come out change
SEED = 0


@dataclass(frozen=True)
class Recipe:
    """The numbers of the recipe. Each was chosen by looking at stylised pictures; none comes from the paper."""

    version: int = RECIPE_VERSION
    seed: int = SEED
    pictures: int = 4
    picture_size: int = 256
    patches: int = 4096  # sampled at each layer, over all pictures
    first_shrinkage: float = 1.0  # conv1_1: colour matters more than the finest detail
    shrinkage: float = 0.05  # every other layer
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


def make_parameters(recipe: Recipe, notify: Callable[[str], None] = lambda text: None) -> dict[str, np.ndarray]:
    """The parameters of all sixteen convolutions, float32, by the names and in the layout of `vgg19`."""
    rng = np.random.default_rng(recipe.seed)
    mean_colour = np.reshape(VGG_MEAN_RGB, (3, 1, 1))
    maps = [dead_leaves(recipe.picture_size, (recipe.seed, k)) - mean_colour for k in range(recipe.pictures)]
    parameters: dict[str, np.ndarray] = {}
    convolutions = sum(row.kind == "conv" for row in LAYERS.values())
    for row in LAYERS.values():
        if row.kind == "pool":
            maps = [average_pool(x) for x in maps]
        elif row.kind == "conv":
            notify(f"making the surrogate network: {row.name} ({len(parameters) // 2 + 1} of {convolutions})")
            weight, bias, maps = _make_layer(row, maps, recipe, rng)
            parameters[f"{row.name}_weight"] = weight.astype(np.float32)
            parameters[f"{row.name}_bias"] = bias.astype(np.float32)
    return parameters


def _make_layer(
    row: Layer, maps: list[np.ndarray], recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Weight and bias of one convolution, and its rectified responses to `maps`, all float64."""
    patches = sample_patches(maps, recipe.patches, rng)
    mean = patches.mean(axis=(0, 2))
    half = row.channels // 2
    if row.in_channels == 3:
        # Here the mean is a colour like any other: seen, and taken off by the bias.
        centred = patches - mean[:, None]
        filters = whitening_filters(centred, None, half, recipe.first_shrinkage, rng)
        bias = -(filters.sum(axis=(2, 3)) @ mean)
    else:
        filters = whitening_filters(patches, mean, half, recipe.shrinkage, rng)
        bias = np.zeros(half)
    responses = [convolve(x, filters, bias) for x in maps]
    # The mean of relu(f) and relu(-f) over the pair is half the mean of |f|.
    level = sum(np.abs(y).sum(axis=(1, 2)) for y in responses) / sum(2 * y[0].size for y in responses)
    scale = recipe.mean_activation / level
    filters *= scale[:, None, None, None]
    bias *= scale
    rectified = []
    for y in responses:
        y *= scale[:, None, None]
        rectified.append(np.concatenate([np.maximum(y, 0), np.maximum(-y, 0)]))
    return np.concatenate([filters, -filters]), np.concatenate([bias, -bias]), rectified


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
