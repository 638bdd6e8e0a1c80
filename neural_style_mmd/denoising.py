"""Total variation denoising by Chambolle's projection (J. Math. Imaging Vis. 20, 2004), in NumPy.

The release passes what it saves through scikit-image's denoise_tv_chambolle; this gives the same numbers.
"""

from __future__ import annotations

import numpy as np

TOLERANCE, MOST_ITERATIONS = 2e-4, 200  # scikit-image's defaults, which the release uses
_STEP = 0.25  # 1 / (2 d) for d = 2 dimensions


def denoise(image: np.ndarray, weight: float) -> np.ndarray:
    """The u that minimises 1/2 |u - image|^2 + weight TV(u), each channel alone, to TOLERANCE.

    image: float (H, W, C) of range 0 to 1. weight: more than 0. Returns float64 of the same shape.
    """
    image = image.astype(np.float64)
    return np.stack([_denoise_plane(image[..., c], weight) for c in range(image.shape[-1])], axis=-1)


def denoise_pixels(pixels: np.ndarray, weight: float) -> np.ndarray:
    """`denoise` of uint8 (H, W, 3), back to uint8 by rounding."""
    return np.rint(np.clip(denoise(pixels / 255.0, weight), 0, 1) * 255).astype(np.uint8)


def _denoise_plane(plane: np.ndarray, weight: float) -> np.ndarray:
    """One channel (H, W). `dual` (2, H, W) is bounded by `weight` at each pixel; the result is plane + grad^T dual."""
    dual = np.zeros((2, *plane.shape))
    first = previous = 0.0
    for iteration in range(MOST_ITERATIONS):
        change = _adjoint(dual)
        result = plane + change
        gradient = _gradient(result)
        length = np.sqrt(np.square(gradient).sum(axis=0))
        energy = float((np.square(change).sum() + weight * length.sum()) / plane.size)
        if iteration == 0:
            first = energy
        elif abs(previous - energy) < TOLERANCE * first:
            break
        previous = energy
        dual = (dual - _STEP * gradient) / (1 + _STEP / weight * length)
    return result


def _gradient(plane: np.ndarray) -> np.ndarray:
    """Forward differences along both axes, (2, H, W), 0 at the far border."""
    gradient = np.zeros((2, *plane.shape))
    gradient[0, :-1] = np.diff(plane, axis=0)
    gradient[1, :, :-1] = np.diff(plane, axis=1)
    return gradient


def _adjoint(field: np.ndarray) -> np.ndarray:
    """The adjoint of `_gradient`: (2, H, W) -> (H, W); `field` is 0 at the far border of its axis."""
    total = -field.sum(axis=0)
    total[1:] += field[0, :-1]
    total[:, 1:] += field[1, :, :-1]
    return total
