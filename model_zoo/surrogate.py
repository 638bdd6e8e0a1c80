"""A stand-in for VGG-19 that needs no download: the same layers with seeded weights, no photograph and no training.

The filters are those of `pyramid`. Their strengths are set layer by layer on seeded procedural pictures (dead leaves):
each kind of channel gets its share, and the mean activation after every rectifier, away from the border, is 45. Nothing
but means and extremes enters, in float64, so builds with different numbers of threads agree.

Related: He, Wang and Hopcroft (2016) and Ustyuzhaninov et al. (ICLR 2017) transfer style with random filters, Baradad
et al. (NeurIPS 2021) train features on dead leaves. Pictures made with it are no reproduction of the paper's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .convolution import average_pool, convolve
from .errors import InputError
from .files import cache_home, file_hash, locked, make_folder, whole_file, write_json
from .pyramid import (
    COLOUR_CHANNELS,
    COLOURS,
    INSIDE,
    RIM,
    border_taps,
    hand_down,
    is_blur,
    mixtures,
    picture_filters,
    scale_filters,
)
from .vgg19 import Layer, rows_up_to
from .weights import VGG_MEAN_RGB, Preprocessing, Weights

RECIPE_VERSION = 5  # raise it whenever the numbers that come out change
SEED = 1  # of 0 to 4 the one whose strokes looked best: the random mixtures' orientations show in them
BLURRED = ("conv2_2", "conv3_4", "conv4_4")  # before poolings; pool1's squares of 2 pixels are too small to see


@dataclass(frozen=True)
class Recipe:
    """The numbers of the recipe. Each was chosen by looking at stylised pictures; none comes from the paper."""

    version: int = RECIPE_VERSION
    seed: int = SEED
    pictures: int = 2
    picture_size: int = 192
    colours: float = 1.5  # strengths of the kinds of channels: mean activation of a pair, in units of the edges'
    edges: float = 1.0
    mixtures: float = 0.35  # at 1 the finest detail of pictures is noise
    fan: int = 4  # channels that a mixture sees
    colour_gain: float = 0.9  # on colours handed down to the next block; at 0.4 contrast is lost
    mean_activation: float = 45.0  # about VGG-19's: the optimisers' clip at 3HW moves the picture only at this scale


def load_surrogate(*, notify: Callable[[str], None] = lambda text: None) -> Weights:
    """The surrogate network, from the cache folder; on first use it is made, in some seconds.

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
    from .dead_leaves import dead_leaves  # loads SciPy, which a network from the cache does without

    rng = np.random.default_rng(recipe.seed)
    mean_colour = np.reshape(VGG_MEAN_RGB, (3, 1, 1))
    maps = [dead_leaves(recipe.picture_size, (recipe.seed, k)) - mean_colour for k in range(recipe.pictures)]
    parameters: dict[str, np.ndarray] = {}
    rows = rows_up_to(deepest)
    convolutions = sum(row.kind == "conv" for row in rows)
    kept = 0
    for row in rows:
        if row.kind == "pool":
            maps = [average_pool(x) for x in maps]
        elif row.kind == "conv":
            notify(f"making the surrogate network: {row.name} ({len(parameters) // 2 + 1} of {convolutions})")
            rims = len(maps[0]) < row.in_channels
            weight, bias, kept, maps = _make_layer(row, maps, kept, recipe, rng)
            if rims:
                weight = np.concatenate([weight, weight[:, COLOURS]], axis=1)
            parameters[f"{row.name}_weight"] = weight.astype(np.float32)
            parameters[f"{row.name}_bias"] = bias.astype(np.float32)
    return parameters


@dataclass(frozen=True)
class _Filters:
    """A layer's filters before their strengths are set.

    filters: (K, C, 3, 3): handed down, new ones in pairs f and -f, and the rims.
    kept: how many of the first are to be handed down. new, rims, off_border: those that are new, that are rims, and
        that have to be switched off at the border. strengths: of the new ones, pair by pair.
    """

    filters: np.ndarray
    kept: int
    new: slice
    strengths: np.ndarray
    off_border: np.ndarray

    @property
    def rims(self) -> slice:
        return slice(self.new.stop, None)


def _draw(row: Layer, maps: list[np.ndarray], kept: int, recipe: Recipe, rng: np.random.Generator) -> _Filters:
    """The filters of one convolution."""
    first, next_block, blurred = row.in_channels == 3, row.name.endswith("_1"), row.name in BLURRED
    new_scale = next_block or row.name == "conv1_2"
    channels = len(maps[0])
    if first:
        passed = np.zeros((1, 3, 3, 3))  # the inside channel is nothing but a bias
        signed, kinds = picture_filters(row.channels // 2, rng), (COLOUR_CHANNELS // 2, 0)
    else:
        passed = hand_down(kept, channels, recipe.colour_gain if next_block else 1.0, blurred)
        edges = scale_filters(channels) if new_scale else np.zeros((0, channels, 3, 3))
        samples = np.concatenate([_interior(x).reshape(channels, -1) for x in maps], axis=1)
        # More than there is room for: `new` cuts them off.
        mixed = mixtures(row.channels // 2, samples.mean(axis=1), samples.std(axis=1), recipe.fan, rng)
        signed, kinds = np.concatenate([edges, mixed]), (0, len(edges))
    rims = hand_down(kept, channels, RIM, False)[COLOURS] if blurred else passed[:0]
    new = slice(len(passed), row.channels - len(rims))
    pairs = np.stack([signed, -signed], axis=1).reshape(-1, *signed.shape[1:])[: new.stop - new.start]
    off_border = np.zeros(row.channels, bool)
    if not first:
        off_border[new] = ~is_blur(pairs)
    return _Filters(
        filters=np.concatenate([passed, pairs, rims]),
        kept=len(passed) + 2 * sum(kinds),
        new=new,
        strengths=np.repeat((recipe.colours, recipe.edges, recipe.mixtures), (*kinds, len(signed) - sum(kinds))),
        off_border=off_border,
    )


def _make_layer(
    row: Layer, maps: list[np.ndarray], kept: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int, list[np.ndarray]]:
    """One convolution's filters and bias, how many of its first channels are to be handed down, its features of `maps`.

    kept: how many of the first channels of `maps` (C, H, W) are handed down: the inside, colours and edges. In the
    features that are returned rims are joined with their colours, as the next layer's filters see both alike.
    """
    drawn = _draw(row, maps, kept, recipe, rng)
    filters, bias = drawn.filters, np.zeros(row.channels)
    if row.in_channels == 3:
        bias[INSIDE] = recipe.mean_activation
    else:
        largest = np.max([np.abs(convolve(x, filters, bias)).max(axis=(1, 2)) for x in maps], axis=0)
        filters[:, INSIDE] += border_taps(largest / recipe.mean_activation, drawn.off_border, drawn.rims)
    rectified = [np.maximum(convolve(x, filters, bias), 0) for x in maps]
    means = np.mean([_interior(x).mean(axis=(1, 2)) for x in rectified], axis=0)
    pair = np.arange(drawn.new.stop - drawn.new.start) // 2
    gains = np.ones(row.channels)
    gains[drawn.new] = drawn.strengths[pair] * (np.bincount(pair) / np.bincount(pair, means[drawn.new]))[pair]
    gains[drawn.new] *= recipe.mean_activation
    gains[INSIDE + 1 :] *= recipe.mean_activation / (gains * means)[INSIDE + 1 :].mean()
    features = [x * gains[:, None, None] for x in rectified]
    for x in features:
        x[COLOURS][: len(x[drawn.rims])] += x[drawn.rims]
    return filters * gains[:, None, None, None], bias * gains, drawn.kept, [x[: drawn.new.stop] for x in features]


def _interior(x: np.ndarray) -> np.ndarray:
    """Features (C, H, W) without the border, where many are switched off: small pictures have more of it."""
    return x[:, 1:-1, 1:-1]


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
    if not os.path.exists(path):  # nor where it cannot be looked for: the writing that follows says why
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
