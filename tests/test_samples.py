"""The procedural sample pairs: what a newcomer without pictures gets."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from model_zoo import InputError
from model_zoo.samples import Pair, pair

WIDTH = 128  # small: the same painters, less time


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [pair(k, WIDTH) for k in range(6)]


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Means of 8 x 8 squares: what is left when a picture is seen from afar."""
    height, width = (n // 8 for n in image.shape[:2])
    return image[: 8 * height, : 8 * width].reshape(height, 8, width, 8, 3).mean(axis=(1, 3))


def test_pictures_are_rgb_bytes_of_aspect_4_to_3(pairs: list[Pair]) -> None:
    for image in itertools.chain.from_iterable((one.content, one.style) for one in pairs):
        assert image.dtype == np.uint8
        assert image.shape == (96, 128, 3)


def test_the_default_is_768_by_576() -> None:
    assert pair(1).content.shape == (576, 768, 3)


def test_names_say_which_picture_it_is(pairs: list[Pair]) -> None:
    assert [one.content_name for one in pairs] == [f"procedural-{k}-content" for k in range(6)]
    assert [one.style_name for one in pairs] == [f"procedural-{k}-style" for k in range(6)]


def test_all_twelve_pictures_differ_visibly(pairs: list[Pair]) -> None:
    views = [thumbnail(image) for one in pairs for image in (one.content, one.style)]
    for first, second in itertools.combinations(views, 2):
        assert np.sqrt(np.mean((first - second) ** 2)) > 25  # of 255, averaged over squares


def test_every_picture_has_contrast_colour_and_detail(pairs: list[Pair]) -> None:
    for image in (image for one in pairs for image in (one.content, one.style)):
        values = image.astype(float)
        assert values.mean(axis=2).std() > 20
        assert (values.max(axis=2) - values.min(axis=2)).mean() > 20
        assert np.abs(np.diff(values.mean(axis=2), axis=1)).mean() > 2


def test_another_process_draws_the_same_bytes(pairs: list[Pair]) -> None:
    program = (
        "import hashlib; from model_zoo.samples import pair\n"
        f"for k in range(6):\n    one = pair(k, {WIDTH})\n"
        "    print(hashlib.sha256(one.content.tobytes() + one.style.tobytes()).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = [hashlib.sha256(one.content.tobytes() + one.style.tobytes()).hexdigest() for one in pairs]
    assert run.stdout.split() == here


def test_a_larger_width_shows_the_same_scene(pairs: list[Pair]) -> None:
    large = pair(0, 2 * WIDTH)
    reduced = large.content.reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(reduced.ravel(), pairs[0].content.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("k", [-1, 6, 0.5, "0"])
def test_an_unknown_pair_is_refused_with_the_range(k: int) -> None:
    with pytest.raises(InputError, match="choose 0 to 5"):
        pair(k)


@pytest.mark.parametrize("width", [0, 63, 2049, 100.5])
def test_an_impossible_width_is_refused_with_the_range(width: int) -> None:
    with pytest.raises(InputError, match="64 to 2048"):
        pair(0, width)
