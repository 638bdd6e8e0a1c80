"""Denoising by total variation, as the release does on saving: judged by scikit-image, and by a case solved by hand."""

import numpy as np
import pytest

from neural_style_mmd import denoising
from neural_style_mmd.denoising import denoise, denoise_pixels


def noisy_picture(seed, height=37, width=50):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    clean = np.stack([x / width, y / height, ((x - 20) ** 2 + (y - 15) ** 2 < 90) * 0.8], axis=-1)
    return np.clip(255 * (clean + random.normal(0, 0.1, clean.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("weight", [0.02, 0.1, 0.5])
def test_it_gives_scikit_images_numbers(weight):
    restoration = pytest.importorskip("skimage.restoration")
    for seed, size in enumerate([(37, 50), (8, 8), (64, 21)]):
        image = noisy_picture(seed, *size) / 255
        expected = restoration.denoise_tv_chambolle(image, weight=weight, channel_axis=-1)
        np.testing.assert_allclose(denoise(image, weight), expected, rtol=0, atol=1e-12)


def test_it_gives_scikit_images_picture():
    restoration, util = pytest.importorskip("skimage.restoration"), pytest.importorskip("skimage.util")
    pixels = noisy_picture(5)
    expected = util.img_as_ubyte(np.clip(restoration.denoise_tv_chambolle(pixels, weight=0.02, channel_axis=-1), 0, 1))
    np.testing.assert_array_equal(denoise_pixels(pixels, 0.02), expected)


def test_a_step_loses_the_weight_over_its_width_at_each_side(monkeypatch):
    """The minimiser of 1/2 |u - f|^2 + weight TV(u) of a step: each plateau of w columns moves by weight / w."""
    monkeypatch.setattr(denoising, "TOLERANCE", 1e-12)
    monkeypatch.setattr(denoising, "MOST_ITERATIONS", 20000)
    image = np.zeros((6, 10, 1))
    image[:, 4:] = 0.5
    expected = np.zeros_like(image)
    expected[:, :4], expected[:, 4:] = 0.2 / 4, 0.5 - 0.2 / 6
    np.testing.assert_allclose(denoise(image, 0.2), expected, atol=1e-4)
    np.testing.assert_allclose(denoise(image.transpose(1, 0, 2), 0.2), expected.transpose(1, 0, 2), atol=1e-4)


def test_it_lowers_the_objective_and_keeps_the_mean():
    image = noisy_picture(1) / 255

    def total_variation(u):
        steps = np.zeros((2, *u.shape))
        steps[0, :-1], steps[1, :, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
        return np.sqrt((steps**2).sum(0)).sum()

    def objective(u):
        return ((u - image) ** 2).sum() / 2 + 0.1 * total_variation(u)

    found = denoise(image, 0.1)
    assert objective(found) < 0.6 * objective(image)
    np.testing.assert_allclose(found.mean((0, 1)), image.mean((0, 1)), atol=1e-12)


def test_channels_do_not_mix():
    image = noisy_picture(2) / 255
    alone = np.concatenate([denoise(image[..., c : c + 1], 0.1) for c in range(3)], axis=-1)
    np.testing.assert_array_equal(denoise(image, 0.1), alone)


def test_a_flat_picture_stays():
    flat = np.full((9, 7, 3), 131, np.uint8)
    np.testing.assert_array_equal(denoise_pixels(flat, 0.02), flat)
