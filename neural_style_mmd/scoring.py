"""Numbers beside a picture: how far it is from the content and from the style, whatever program made it.

Every number but `granularity` is divided by the same number between the content picture and the style picture, so a
style number is 1 where nothing of the style was taken on and 0 where it is matched; the content number is 0 for the
content picture itself and 1 for one as far from it as the style picture is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import model_zoo
from model_zoo.errors import InputError
from model_zoo.weights import Weights

from .config import TransferConfig
from .images import Picture, preprocess, read_picture, resize, resize_to
from .kept_arrays import KeptArrays
from .progress import network_line
from .record import describe_weights
from .threads import choose_threads

SCORED_METHODS = ("linear", "poly", "gaussian", "bn")  # the paper's four
SCORED_SEED = 0  # of the gaussian method's pairs, so that every program's picture is judged by the same pairs

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Score:
    """The numbers of one picture. A ratio is None where its divisor is not above 0.

    content: Eq. 4, divided as above; content_loss: Eq. 4 itself. Both None without a content picture.
    style: {method: sum over the layers of L_l, divided}; layers: {method: {layer: L_l, divided}}.
    style_loss: {method: {layer: L_l itself}}.
    colour: squared distance of the means plus that of the standard deviations of R, G and B, divided.
    granularity: in pixels of the scored picture, see `granularity`; None for a flat one.
    """

    content: float | None
    content_loss: float | None
    style: Mapping[str, float | None]
    layers: Mapping[str, Mapping[str, float | None]]
    style_loss: Mapping[str, Mapping[str, float]]
    colour: float | None
    granularity: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON's types."""
        return asdict(self)

    def flat(self) -> dict[str, float | None]:
        """One row of a table: {column: number}."""
        row: dict[str, float | None] = {"content": self.content, "content_loss": self.content_loss}
        for method, total in self.style.items():
            row[f"style.{method}"] = total
        for method, layers in self.layers.items():
            row |= {f"style.{method}.{layer}": value for layer, value in layers.items()}
        return row | {"colour": self.colour, "granularity": self.granularity}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """The inverse of as_dict."""
        return cls(**values)


class Scorer:
    """Scores pictures against one content and one style picture.

    content: uint8 (H, W, 3), or None for a reconstruction of the style; then `unstyled` takes its part as the picture
        without any style.
    style: uint8 (H_S, W_S, 3) of any size.
    config: its layers, content layer, pooling and c of the poly method are used, nothing else.
    targets_folder: where what does not depend on the scored picture is kept for other scorers, see Objective.
    """

    def __init__(
        self,
        content: np.ndarray | None,
        style: np.ndarray,
        weights: Weights,
        config: TransferConfig,
        unstyled: np.ndarray | None = None,
        device: str = "cpu",
        targets_folder: Path | None = None,
    ) -> None:
        from .objective import Objective  # loads MXNet

        reference = content if content is not None else unstyled
        if reference is None:
            raise ValueError("without a content picture the unstyled one must be given")
        judge = TransferConfig(
            method=SCORED_METHODS,
            layers=config.layers,
            content_layer=config.content_layer,
            pooling=config.pooling,
            poly_c=config.poly_c,
            seed=SCORED_SEED,
        )
        self._mean, self._layers, self._style = weights.preprocessing.mean_rgb, config.layers, style
        x_content = None if content is None else preprocess(content, self._mean)
        x_reference = preprocess(reference, self._mean)
        self._shape = x_reference.shape
        x_style = preprocess(style, self._mean)
        self._objective = Objective(judge, weights, x_style, x_content, self._shape, device, targets_folder)
        kept = KeptArrays(targets_folder)
        depends = {
            "unstyled": judge.as_dict(),
            "content": content is not None,
            "device": device,
            "network": weights.sha256,
            "reference": x_reference,
            "style": x_style,
        }
        self._unstyled = {name: float(value) for name, value in kept.find(depends).items()}
        if not self._unstyled:
            self._unstyled = self._measure_unstyled(reference, content is not None)
            kept.keep({name: np.array(value) for name, value in self._unstyled.items()}, depends)
        self._unstyled_colour = _colour_distance(reference, style)

    def score(self, picture: np.ndarray) -> Score:
        """The numbers of uint8 (H, W, 3), which must have the content's size."""
        terms = self._terms(picture)
        losses = {m: {layer: terms[f"style.{m}.{layer}"] for layer in self._layers} for m in SCORED_METHODS}
        base = {m: {layer: self._unstyled[f"style.{m}.{layer}"] for layer in self._layers} for m in SCORED_METHODS}
        content = terms.get("content")
        return Score(
            content=None if content is None else _ratio(content, self._unstyled["content"]),
            content_loss=content,
            style={m: _ratio(sum(losses[m].values()), sum(base[m].values())) for m in SCORED_METHODS},
            layers={m: {l: _ratio(losses[m][l], base[m][l]) for l in self._layers} for m in SCORED_METHODS},  # noqa: E741
            style_loss=losses,
            colour=_ratio(_colour_distance(picture, self._style), self._unstyled_colour),
            granularity=coarseness if np.isfinite(coarseness := granularity(picture)) else None,
        )

    def _measure_unstyled(self, reference: np.ndarray, with_content: bool) -> dict[str, float]:
        """What the terms are divided by: their values where nothing of the style was taken on, of the content loss that
        of the style picture."""
        terms = self._terms(reference)
        if with_content:
            # The content loss needs two pictures of one size.
            terms["content"] = self._terms(resize_to(self._style, (self._shape[3], self._shape[2])))["content"]
        return terms

    def _terms(self, picture: np.ndarray) -> dict[str, float]:
        x = preprocess(picture, self._mean)
        if x.shape != self._shape:
            raise ValueError(f"a picture to score has shape {x.shape}, expected {self._shape}")
        return self._objective.terms_at(x)


def score(
    content: Any,
    style: Any,
    pictures: Sequence[Any],
    config: TransferConfig | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> list[Score]:
    """Score pictures of any program against CONTENT and STYLE: paths, or uint8 arrays (H, W, 3) in RGB.

    config: size, style_size, layers, content_layer, pooling, poly_c and weights are used. Content and style are scaled
    as for a transfer; each picture is scaled to the content's size. `notify` is told what reading changed, which
    pictures are scaled, and which network judges.
    """
    config = config or TransferConfig()
    read = [read_picture(source) for source in (content, style, *pictures)]
    x_content = resize(read[0].pixels, config.size)
    x_style = resize(read[1].pixels, config.style_size or config.size)
    size = (x_content.shape[1], x_content.shape[0])
    for picture in read[2:]:
        _require_aspect(picture, size)
    for name, picture in zip(("content", "style", *(each.name for each in read[2:])), read, strict=True):
        for note in picture.notes:
            notify(f"{name}: {note}")
    for picture in read[2:]:
        if picture.size != size:
            notify(f"{picture.name}: scaled from {picture.size[0]} x {picture.size[1]} to {size[0]} x {size[1]}")
    choose_threads(threads)
    weights = model_zoo.load(config.weights, offline=config.offline, notify=notify)
    notify(network_line(describe_weights(weights)))
    scorer = Scorer(x_content, x_style, weights, config, device=device)
    return [scorer.score(resize_to(picture.pixels, size)) for picture in read[2:]]


def _require_aspect(picture: Picture, size: tuple[int, int]) -> None:
    """InputError where a picture cannot be scaled to the content's (width, height) without being distorted."""
    aspect = picture.size[0] * size[1] / (picture.size[1] * size[0])
    if abs(aspect - 1) > 0.05:
        raise InputError(
            f"{picture.name} is {picture.size[0]} x {picture.size[1]}, the content {size[0]} x {size[1]}: "
            "their aspects differ by more than 5 %, so they are no picture and content of one transfer"
        )


def granularity(pixels: np.ndarray) -> float:
    """How coarse a texture is, in pixels: 1 / the centroid of the radial power spectrum of the luma of (H, W, 3).

    The centroid is sum f P / sum P over all frequencies but 0, f in cycles per pixel; a Hann window keeps the border's
    jump out of it. White noise has 2.6, stripes of period p have p. A flat picture has infinity.
    """
    luma = pixels.astype(np.float64) @ np.array(_LUMA)  # (H, W)
    height, width = luma.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    centred = luma - np.sum(luma * window) / np.sum(window)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.fftfreq(width)[np.newaxis, :])
    power[0, 0] = 0.0
    total = float(power.sum())
    if total <= 1e-9 * pixels.size:
        return float("inf")
    return total / float(np.sum(radius * power))


def _colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Eq. 11 on the pixels: squared differences of mean and standard deviation, summed over R, G and B."""
    first, second = (pixels.reshape(-1, 3).astype(np.float64) for pixels in (a, b))
    means = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2)
    return float(means + np.sum((first.std(axis=0) - second.std(axis=0)) ** 2))


def _ratio(value: float, base: float) -> float | None:
    return value / base if base > 0 else None
