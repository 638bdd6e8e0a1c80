"""What a run starts from: pictures and network read, the objective bound, the start and the calibration point."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import model_zoo
from model_zoo.errors import InputError
from model_zoo.weights import Weights

from . import calibration, record
from .config import TransferConfig
from .denoising import denoise_pixels
from .evaluation import noise
from .images import Picture, deprocess, preprocess, read_picture, resize, resize_to
from .precision import require_precision
from .threads import choose_threads

Source = str | os.PathLike | np.ndarray | Picture
Inputs = Mapping[str, tuple[Picture, str | None]]  # the absolute path beside it, None for an array

_NETWORK_NAMES = ("auto", "vgg19", "surrogate")  # never a file for model_zoo.load


@dataclass(frozen=True)
class Setting:
    """Everything that an optimisation starts from.

    network: the record's entry of the weights; the objective alone keeps the parameters, and only those it needs.
    style_shape: (1, 3, H_S, W_S), the style picture as it is compared.
    start: the preprocessed picture (1, 3, H, W) that the run begins with.
    content: the content picture at its size in the run, uint8 (H, W, 3); None without one.
    """

    config: TransferConfig
    objective: Any
    network: dict[str, Any]
    inputs: dict[str, Any]
    style_shape: tuple[int, ...]
    start: np.ndarray
    content: np.ndarray | None

    @property
    def point(self) -> np.ndarray:
        """The preprocessed picture (1, 3, H, W) at which beta' is measured; made anew, for a run needs it but once."""
        return self._named_point()[0]

    @property
    def point_name(self) -> str:
        """What `point` is, in words."""
        return self._named_point()[1]

    def measure_balance(self) -> calibration.Balance:
        """Calibrate here."""
        return calibration.balance(self.objective, self.point, self.point_name, self.start)

    def _named_point(self) -> tuple[np.ndarray, str]:
        x = None
        if self.content is not None:
            x = preprocess(self.content, tuple(self.network["mean_rgb"]), self.config.input_range)
        return calibration.calibration_point(self.config, self.objective.shape, x)

    def picture(self, x: np.ndarray) -> np.ndarray:
        """The iterate `x` (1, 3, H, W) as it is saved: uint8 (H, W, 3), denoised where the setting is so."""
        pixels = deprocess(x, tuple(self.network["mean_rgb"]), self.config.rounding)
        return denoise_pixels(pixels, self.config.denoise) if self.config.denoise else pixels


def prepare(
    content: Source | None,
    style: Source,
    config: TransferConfig,
    *,
    weights: Weights | None = None,
    device: str = "cpu",
    threads: int | None = None,
    targets_folder: Path | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> Setting:
    """Read, check and measure everything; InputError for what cannot be used. The targets that are in targets_folder
    already are not measured again, see Objective."""
    require_precision(config, device)
    inputs = read_inputs(content, style, config, notify)
    return bind(inputs, config, load_network(config, threads, notify, weights), device, targets_folder)


def read_inputs(content: Source | None, style: Source, config: TransferConfig, notify: Callable[[str], None]) -> Inputs:
    """The pictures "content", "style" and "init", those that there are; what reading them chose is said."""
    if (content is None) != (config.alpha == 0):
        what = "no content picture is given, but alpha" if content is None else "a content picture is given, but alpha"
        raise InputError(f"{what} is {config.alpha:g}; alpha 0 goes without a content picture, any other with one")
    sources = {"content": content, "style": style, "init": _init_file(config)}
    inputs = {name: (read_picture(source), _path(source)) for name, source in sources.items() if source is not None}
    for name, (picture, _) in inputs.items():
        for note in picture.notes:
            notify(f"{name}: {note}")
    return inputs


def load_network(
    config: TransferConfig, threads: int | None, notify: Callable[[str], None], weights: Weights | None = None
) -> Weights:
    """The network, if it is not loaded already. The threads are chosen here, before anything loads MXNet."""
    choose_threads(threads)
    return model_zoo.load(config.weights, offline=config.offline, notify=notify) if weights is None else weights


def bind(
    inputs: Inputs, config: TransferConfig, weights: Weights, device: str, targets_folder: Path | None = None
) -> Setting:
    """The setting of inputs and a network that are read."""
    from .objective import Objective  # loads MXNet

    pictures = {name: picture for name, (picture, _) in inputs.items()}
    mean = weights.preprocessing.mean_rgb
    style_pixels = resize(pictures["style"].pixels, config.style_size or config.size)
    content, x_content = None, None
    if "content" in pictures:
        content = resize(pictures["content"].pixels, config.size)
        x_content = preprocess(content, mean, config.input_range)
        if config.style_shape == "content":
            style_pixels = resize_to(pictures["style"].pixels, (x_content.shape[3], x_content.shape[2]))
    x_style = preprocess(style_pixels, mean, config.input_range)
    shape = x_style.shape if x_content is None else x_content.shape
    objective = Objective(config, weights, x_style, x_content, shape, device, targets_folder)
    return Setting(
        config=config,
        objective=objective,
        network=record.describe_weights(weights),
        inputs={name: record.describe_picture(picture, path) for name, (picture, path) in inputs.items()},
        style_shape=x_style.shape,
        start=_start(config, shape, x_content, pictures.get("init"), mean),
        content=content,
    )


def with_absolute_paths(config: TransferConfig) -> TransferConfig:
    """`config` with the files that it names, `init` and `weights`, as absolute paths: a record is read elsewhere."""
    if (init := _init_file(config)) is not None:
        config = replace(config, init=os.path.abspath(init))
    path = os.path.expanduser(config.weights)
    if config.weights not in _NETWORK_NAMES and os.path.exists(path):  # the order in which model_zoo.load looks
        config = replace(config, weights=os.path.abspath(path))
    return config


def _init_file(config: TransferConfig) -> str | None:
    return None if config.init in ("noise", "content") else config.init


def _path(source: Source) -> str | None:
    return os.path.abspath(source) if isinstance(source, (str, os.PathLike)) else None


def _start(
    config: TransferConfig, shape: tuple[int, ...], content: np.ndarray | None, picture: Picture | None, mean
) -> np.ndarray:
    """The first picture, preprocessed (1, 3, H, W)."""
    if config.init == "content" and content is not None:
        return content.copy()
    if picture is not None:
        return preprocess(resize_to(picture.pixels, (shape[3], shape[2])), mean, config.input_range)
    return noise(shape, config.init_amplitude, config.seed, calibration.START_DRAW)
