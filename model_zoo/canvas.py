"""What the procedural sample pictures are drawn on: polygons with soft shading, grain and flow, in picture units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SUPERSAMPLING = 2
Colour = Sequence[float] | np.ndarray  # RGB of range 0 to 255
Points = Sequence[Sequence[float] | np.ndarray] | np.ndarray  # (n, 2), x then y in picture units


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], slope: float, coarsest: float = 1.0) -> np.ndarray:
    """A random field (H, W) of mean 0 and standard deviation 1 whose amplitude falls as frequency^-slope.

    coarsest: longest wave present, as a share of the picture's width.
    """
    height, width = shape
    fy = np.fft.fftfreq(height)[:, None] * width
    fx = np.fft.rfftfreq(width)[None, :] * width
    frequency = np.hypot(fy, fx)
    gain = np.where(frequency >= 1 / coarsest, np.maximum(frequency, 1e-9) ** -slope, 0.0)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * gain, s=shape)
    return (field - field.mean()) / field.std()


class Canvas:
    """A picture of 4 x 3 units, x to the right, y down, drawn at twice its size and reduced at the end.

    rgb: float64 (H, W, 3) of range 0 to 255, to be changed in place. x, y: the units of its columns (1, W) and rows
    (H, 1). rng is for what the picture shows; noise is for draws that depend on the number of pixels, so that the scene
    is the same at every size. cloud: a fixed 1/f noise field (H, W), mean 0, standard deviation 1.
    """

    def __init__(self, width: int, seed: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.size = (width, width * 3 // 4)
        columns, rows = (SUPERSAMPLING * n for n in self.size)
        self.unit = columns / 4
        self.rgb = np.zeros((rows, columns, 3))
        self.x = (np.arange(columns) + 0.5)[None, :] / self.unit
        self.y = (np.arange(rows) + 0.5)[:, None] / self.unit
        self.noise = np.random.default_rng((*seed, 1))
        cloud = smooth_noise(self.noise, (576, 768), 1.6)
        self.cloud = ndimage.zoom(cloud, (rows / 576, columns / 768), order=1)
        self.grain = smooth_noise(self.noise, (rows, columns), 0.7, 0.05)

    def wash(self, colours: Sequence[Colour], heights: Sequence[float]) -> None:
        """Cover everything with a vertical gradient through `colours` at the given y."""
        for channel in range(3):
            level = np.interp(self.y[:, 0], heights, [colour[channel] for colour in colours])
            self.rgb[..., channel] = level[:, None]

    def blend(self, mask: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Put `colour`, one or (H, W, 3), over the picture with opacity `mask` (H, W) in 0 to 1."""
        mask = mask[..., None]
        self.rgb += mask * (np.asarray(colour) - self.rgb)

    def fill(
        self,
        points: Points,
        top: Colour,
        bottom: Colour | None = None,
        *,
        grain: float = 0.0,
        blur: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """A polygon with a vertical gradient from `top` to `bottom`.

        grain: strength of brightness noise; blur: softness of the edge in units; opacity: 0 to 1.
        """
        corners = np.asarray(points, dtype=float)
        window = self._window(corners.min(0), corners.max(0), int(3 * blur * self.unit) + 2)
        stencil, pixels = self._stencil(window, corners)
        ImageDraw.Draw(stencil).polygon(pixels, fill=255)
        mask = np.asarray(stencil, dtype=float) * (opacity / 255)
        if blur:
            mask = ndimage.gaussian_filter(mask, blur * self.unit)
        share = np.linspace(0, 1, len(mask))[:, None, None]
        paint = np.asarray(top) * (1 - share) + np.asarray(bottom if bottom is not None else top) * share
        if grain:
            paint = paint + grain * self.grain[window][..., None]
        self.rgb[window] += mask[..., None] * (paint - self.rgb[window])

    def line(self, points: Points, width: float, colour: Colour, *, opacity: float = 1.0, blur: float = 0.0) -> None:
        """A polyline of constant width; opacity and blur as for `fill`."""
        track = np.asarray(points, dtype=float)
        window = self._window(track.min(0), track.max(0), int((width + 3 * blur) * self.unit) + 2)
        stencil, pixels = self._stencil(window, track)
        ImageDraw.Draw(stencil).line(pixels, fill=255, width=max(1, round(width * self.unit)), joint="curve")
        mask = np.asarray(stencil, dtype=float) * (opacity / 255)
        if blur:
            mask = ndimage.gaussian_filter(mask, blur * self.unit)
        self.rgb[window] += mask[..., None] * (np.asarray(colour) - self.rgb[window])

    def ball(
        self,
        centre: Colour,
        radii: Colour,
        colour: Colour,
        *,
        grain: float = 0.0,
        gloss: float = 0.5,
        ambient: float = 0.28,
    ) -> None:
        """A shaded ellipsoid lit from the upper left, with its highlight. centre, radii: (x, y)."""
        window = self._window(np.subtract(centre, radii), np.add(centre, radii))
        dx, dy = (self.x[:, window[1]] - centre[0]) / radii[0], (self.y[window[0]] - centre[1]) / radii[1]
        distance = dx**2 + dy**2
        depth = np.sqrt(np.clip(1 - distance, 0, 1))
        light = np.clip(-0.5 * dx - 0.55 * dy + 0.67 * depth, 0, 1)
        spot = gloss * light**24
        paint = (
            np.asarray(colour) * (ambient + (1.1 - ambient) * light[..., None]) + grain * self.grain[window][..., None]
        )
        paint += (255 - paint) * spot[..., None]
        edge = min(radii) * self.unit / 2
        self.rgb[window] += np.clip((1 - distance) * edge, 0, 1)[..., None] * (paint - self.rgb[window])

    def _stencil(self, window: tuple[slice, slice], points: np.ndarray) -> tuple[Image.Image, list[tuple[float, ...]]]:
        """A black image of the window's size, and the points in its pixels."""
        rows, columns = self.rgb[window].shape[:2]
        shifted = points * self.unit - (window[1].start, window[0].start)
        return Image.new("L", (columns, rows)), [tuple(point) for point in shifted.tolist()]

    def _window(self, low: np.ndarray, high: np.ndarray, margin: int = 2) -> tuple[slice, slice]:
        """The rows and columns of the box from `low` to `high`, (x, y) in units, as far as it lies in the picture."""
        rows, columns = self.rgb.shape[:2]
        x0, y0 = np.clip(np.floor(low * self.unit) - margin, 0, (columns, rows)).astype(int)
        x1, y1 = np.clip(np.ceil(high * self.unit) + margin, 0, (columns, rows)).astype(int)
        return slice(int(y0), int(max(y0, y1))), slice(int(x0), int(max(x0, x1)))

    def image(self) -> np.ndarray:
        """The finished picture, uint8 (H, W, 3)."""
        large = Image.fromarray(np.clip(self.rgb, 0, 255).round().astype(np.uint8))
        return np.asarray(large.resize(self.size, Image.Resampling.LANCZOS))


def ellipse(x: float, y: float, rx: float, ry: float, steps: int = 48) -> np.ndarray:
    """The corners (steps, 2) of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    """The corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
