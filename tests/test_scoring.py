"""The numbers beside a picture: fixed points, an independent computation, the command that prints them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from model_zoo.errors import InputError
from model_zoo.weights import Weights
from neural_style_mmd.cli import cli
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.images import resize
from neural_style_mmd.scoring import SCORED_METHODS, granularity, score

CONFIG = TransferConfig(size=40, layers=("relu1_1", "relu2_1"), content_layer="relu1_1")


def pixels(path: Path, edge: int = 40) -> np.ndarray:
    return resize(np.array(Image.open(path)), edge)


@pytest.fixture
def originals(pictures: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    return pixels(pictures[0]), pixels(pictures[1])


def mixture(originals: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """A picture that is neither."""
    content = originals[0].astype(int)
    return np.clip(content[:, ::-1] // 2 + 40, 0, 255).astype(np.uint8)


def test_the_content_picture_is_unstyled_and_keeps_all_content(small_network: Weights, originals) -> None:
    (one,) = score(*originals, [originals[0]], CONFIG)
    assert one.content == 0
    assert all(one.style[method] == 1 for method in SCORED_METHODS)
    assert all(value == 1 for method in SCORED_METHODS for value in one.layers[method].values())
    assert one.colour == 1


def test_the_style_picture_is_matched_by_every_deterministic_method(small_network: Weights, originals) -> None:
    style = originals[1]
    content = np.ascontiguousarray(originals[0][:, ::-1][: style.shape[0], : style.shape[1]])
    content = np.array(Image.fromarray(content).resize((style.shape[1], style.shape[0])))
    (one,) = score(content, style, [style], CONFIG)
    assert one.content == pytest.approx(1)
    for method in ("linear", "poly", "bn"):
        assert one.style[method] == pytest.approx(0, abs=1e-9)
    assert one.colour == 0


def relu1_1(picture: np.ndarray, network: Weights) -> np.ndarray:
    """Features (64, M) of the first layer in float64, by shifts: nothing of the package."""
    x = picture.astype(np.float64).transpose(2, 0, 1) - np.reshape(network.preprocessing.mean_rgb, (3, 1, 1))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    height, width = x.shape[1:]
    weight = network.parameters["conv1_1_weight"].astype(np.float64)
    out = sum(
        np.einsum("oi,ihw->ohw", weight[:, :, i, j], padded[:, i : i + height, j : j + width])
        for i in range(3)
        for j in range(3)
    )
    return np.maximum(out + network.parameters["conv1_1_bias"][:, None, None], 0).reshape(64, -1)


def test_the_discrepancies_are_the_papers_losses_divided_by_those_of_the_content(
    small_network: Weights, originals
) -> None:
    content, style = originals
    picture = mixture(originals)
    config = TransferConfig(size=40, layers=("relu1_1",), content_layer="relu1_1")
    (one,) = score(content, style, [picture], config)
    f, p, s = (relu1_1(each, small_network) for each in (picture, content, style))

    def linear(a: np.ndarray) -> float:  # Eq. 2 with k(x, y) = x^T y
        return float(np.sum((a.mean(1) - s.mean(1)) ** 2))

    def poly(a: np.ndarray) -> float:  # Eq. 6, for different numbers of positions
        return float(np.sum((a @ a.T / a.shape[1] - s @ s.T / s.shape[1]) ** 2))

    def bn(a: np.ndarray) -> float:  # Eq. 11
        return linear(a) + float(np.sum((a.std(1) - s.std(1)) ** 2))

    for method, loss in (("linear", linear), ("poly", poly), ("bn", bn)):
        assert one.style[method] == pytest.approx(loss(f) / loss(p), rel=1e-4)
    assert one.content_loss == pytest.approx(0.5 * np.sum((f - p) ** 2), rel=1e-4)
    means = np.sum((picture.mean((0, 1)) - style.mean((0, 1))) ** 2)
    stds = np.sum((picture.std((0, 1)) - style.std((0, 1))) ** 2)
    base = np.sum((content.mean((0, 1)) - style.mean((0, 1))) ** 2)
    base += np.sum((content.std((0, 1)) - style.std((0, 1))) ** 2)
    assert one.colour == pytest.approx((means + stds) / base, rel=1e-9)


@pytest.mark.parametrize("period", [4, 8, 16, 32])
def test_stripes_have_the_granularity_of_their_period(period: int) -> None:
    x = np.arange(256)
    stripes = np.rint(128 + 100 * np.sin(2 * np.pi * x / period)).astype(np.uint8)
    for picture in (np.broadcast_to(stripes, (256, 256)), np.broadcast_to(stripes[:, None], (256, 256))):
        assert granularity(np.repeat(picture[..., None], 3, axis=2)) == pytest.approx(period, rel=0.03)


def test_white_noise_has_the_granularity_of_a_flat_spectrum() -> None:
    """The mean of |f| over the square of all frequencies is (sqrt 2 + asinh 1) / 6 = 0.3826 cycles per pixel."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 1)).astype(np.uint8)
    expected = 6 / (np.sqrt(2) + np.arcsinh(1))
    assert granularity(np.repeat(noise, 3, axis=2)) == pytest.approx(expected, rel=0.02)


def test_a_coarser_picture_has_more_and_brightness_and_contrast_do_not_matter() -> None:
    small = np.random.default_rng(1).integers(0, 100, (64, 64, 1)).astype(np.uint8)
    fine = np.repeat(np.tile(small, (2, 2, 1)), 3, axis=2)
    coarse = np.repeat(np.kron(small[..., 0], np.ones((2, 2), np.uint8))[..., None], 3, axis=2)
    assert granularity(coarse) > 1.3 * granularity(fine)
    assert granularity(fine * 2 + 7) == pytest.approx(granularity(fine), rel=1e-6)
    assert granularity(np.full((32, 32, 3), 9, np.uint8)) == float("inf")


def test_the_command_prints_the_same_numbers_as_table_csv_and_json(
    small_network: Weights, pictures: tuple[Path, Path], originals, tmp_path: Path
) -> None:
    made = tmp_path / "made.png"
    Image.fromarray(mixture(originals)).save(made)
    expected = score(*pictures, [made, pictures[0]], CONFIG)
    arguments = ["score", *map(str, (*pictures, made, pictures[0])), "--size", "40",
                 "--layers", "relu1_1,relu2_1", "--content-layer", "relu1_1"]  # fmt: skip

    def output(form: str) -> str:
        result = CliRunner().invoke(cli, [*arguments, "--format", form])
        assert result.exit_code == 0, result.output
        return result.stdout

    in_json = json.loads(output("json"))
    assert [entry["style"] for entry in in_json] == [dict(each.style) for each in expected]
    in_csv = list(csv.DictReader(io.StringIO(output("csv"))))
    assert [float(row["style.bn"]) for row in in_csv] == [each.style["bn"] for each in expected]
    assert [float(row["granularity"]) for row in in_csv] == [each.granularity for each in expected]
    lines = output("table").splitlines()
    assert lines[0].split()[:3] == ["picture", "content", "style.linear"]
    assert len(lines) == 3 and lines[2].split()[1:3] == ["0", "1"]


def test_another_size_is_scaled_and_told_and_another_aspect_refused(small_network: Weights, originals) -> None:
    content, style = originals
    told: list[str] = []
    larger = np.repeat(np.repeat(content, 2, axis=0), 2, axis=1)
    (one,) = score(content, style, [larger], CONFIG, notify=told.append)
    network = f"network: unverified (small, sha256 {small_network.sha256[:12]})"
    assert told == ["array: scaled from 80 x 60 to 40 x 30", network]
    assert one.content is not None and one.content < 0.5
    with pytest.raises(InputError, match="aspects differ"):
        score(content, style, [np.ascontiguousarray(larger[:40])], CONFIG)
