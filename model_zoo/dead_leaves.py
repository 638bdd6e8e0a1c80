"""Seeded procedural pictures with the statistics of natural ones: the dead leaves model.

Opaque shapes whose radius r has density ~ r^-3 fall on each other (Lee, Mumford and Huang, IJCV 2001); the picture of
what is on top has edges at every scale, occlusions and the power spectrum of photographs. Baradad et al. (NeurIPS 2021)
found such pictures enough to train visual features. Here they take the place of photographs when the surrogate
network's statistics are measured. Shading and gratings are our addition: they give the leaves form and texture.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SMALLEST_RADIUS = 2.0  # pixels


def dead_leaves(size: int, seed: int | tuple[int, ...], leaves: int = 1200) -> np.ndarray:
    """One picture, float64 (3, size, size), RGB of range 0 to 255; the same for the same arguments.

    The last of the leaves falls on top. A slight blur (0.6 pixels) stands for a lens: no edge is sharper than a pixel.
    """
    rng = np.random.default_rng(seed)
    picture = np.empty((3, size, size))
    picture[:] = rng.uniform(0, 255, (3, 1, 1))
    largest = size / 3
    u = rng.random(leaves)
    radii = (largest**-2 + u * (SMALLEST_RADIUS**-2 - largest**-2)) ** -0.5  # inverse of the cumulative distribution
    for radius in radii:
        _drop_leaf(picture, rng, radius)
    return np.clip(ndimage.gaussian_filter(picture, (0, 0.6, 0.6)), 0, 255)


def _drop_leaf(picture: np.ndarray, rng: np.random.Generator, radius: float) -> None:
    """Paint one leaf, an ellipse or a rectangle at any angle, over `picture`."""
    size = picture.shape[1]
    cy, cx = rng.uniform(-radius, size + radius, 2)
    angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.3, 1)
    y, x = (slice(max(0, int(c - radius)), min(size, int(c + radius) + 2)) for c in (cy, cx))
    dy, dx = np.ogrid[y, x]
    along = ((dy - cy) * np.cos(angle) + (dx - cx) * np.sin(angle)) / radius
    across = ((dx - cx) * np.cos(angle) - (dy - cy) * np.sin(angle)) / (radius * aspect)
    if rng.random() < 0.6:
        inside = along**2 + across**2 < 1
    else:
        inside = np.maximum(abs(along), abs(across)) < 0.7
    colour = rng.uniform(0, 255) + 40 * rng.standard_normal(3)
    light = 25 * rng.standard_normal() * along
    if rng.random() < 0.5:
        grating = along + rng.uniform(-1, 1) * across
        light = light + rng.uniform(0, 35) * np.sin(2 * np.pi * radius / rng.uniform(4, 24) * grating)
    patch = picture[:, y, x]
    patch[:, inside] = np.clip(colour[:, None] + light[inside], 0, 255)
