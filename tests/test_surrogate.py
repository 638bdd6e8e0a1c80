"""The surrogate network: what it promises to be, and how it is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_zoo import Weights, load
from model_zoo.convolution import average_pool, convolve
from model_zoo.dead_leaves import dead_leaves
from model_zoo.pyramid import COLOUR_CHANNELS, EDGE_CHANNELS, is_blur, mixtures
from model_zoo.surrogate import RECIPE_VERSION, SEED, Recipe, load_surrogate, make_parameters
from model_zoo.vgg19 import parameter_shapes, rows_up_to
from neural_style_mmd import TransferConfig
from neural_style_mmd.objective import Objective

SMALL = Recipe(pictures=2, picture_size=64)  # the same steps on little data,
DEEPEST = "relu4_2"  # and not to the end
COLOURS = slice(1, 1 + COLOUR_CHANNELS)  # after the channel that knows the inside


def edges(block: int) -> slice:
    """The edge channels of a block."""
    return slice(COLOURS.stop, COLOURS.stop + block * EDGE_CHANNELS)


@pytest.fixture(scope="module")
def small() -> dict[str, np.ndarray]:
    return make_parameters(SMALL, deepest=DEEPEST)


@pytest.fixture(scope="module")
def surrogate() -> Weights:
    return load_surrogate()


def responses(parameters: dict[str, np.ndarray], x: np.ndarray, deepest: str) -> dict[str, np.ndarray]:
    """Every relu's features (C, H, W) of one input (3, H, W), tap by tap in float64."""
    found = {}
    for row in rows_up_to(deepest):
        if row.kind == "conv":
            weight, bias = (parameters[f"{row.name}_{part}"].astype(float) for part in ("weight", "bias"))
            patches = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
            x = np.einsum("ihwab,oiab->ohw", patches, weight, optimize=True) + bias[:, None, None]
        elif row.kind == "relu":
            x = found[row.name] = np.maximum(x, 0)
        else:
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean(axis=(2, 4))
    return found


# What it is


def test_it_is_a_whole_vgg19_that_says_what_it_is(surrogate: Weights) -> None:
    assert {name: array.shape for name, array in surrogate.parameters.items()} == parameter_shapes("pool5")
    assert surrogate.kind == surrogate.name == "surrogate"
    assert surrogate.preprocessing.mean_rgb == (123.68, 116.779, 103.939)
    assert f"recipe {RECIPE_VERSION}" in surrogate.origin
    assert f"seed {SEED}" in surrogate.origin


def test_the_door_of_the_zoo_leads_to_it(surrogate: Weights) -> None:
    assert load("surrogate").sha256 == load("auto").sha256 == surrogate.sha256


def test_mean_activation_away_from_the_border_is_45_after_every_relu(small: dict[str, np.ndarray]) -> None:
    mean = np.reshape((123.68, 116.779, 103.939), (3, 1, 1))
    features = [responses(small, dead_leaves(64, (SEED, k)) - mean, "relu3_2") for k in range(2)]
    for name in features[0]:
        found = np.mean([each[name][1:, 1:-1, 1:-1] for each in features])  # the first is the inside
        assert found == pytest.approx(45, rel=1e-4), name


def test_the_first_channel_knows_where_the_picture_is(small: dict[str, np.ndarray]) -> None:
    noise = np.random.default_rng(0).uniform(-100, 100, (3, 64, 64))
    for name, found in responses(small, noise, DEEPEST).items():
        np.testing.assert_allclose(found[0], 45, rtol=1e-6, err_msg=name)


def test_colours_are_handed_down_to_the_content_layer(small: dict[str, np.ndarray]) -> None:
    # An even colour, off the mean by d along an axis, shows as relu(d) and relu(-d) at any depth, away from the border.
    shift = np.array([30.0, 0.0, -30.0])  # red against blue: the second axis
    picture = np.broadcast_to(shift[:, None, None], (3, 64, 64))
    deep = responses(small, picture, "relu4_2")["relu4_2"][COLOURS, 4, 4]
    opposite = responses(small, -picture, "relu4_2")["relu4_2"][COLOURS, 4, 4]
    assert deep[2] > 0
    assert deep[3] == 0
    np.testing.assert_allclose(opposite[[3, 2]], deep[[2, 3]], rtol=1e-4)
    half = responses(small, picture / 2, "relu4_2")["relu4_2"][COLOURS, 4, 4]
    assert half[2] == pytest.approx(deep[2] / 2, rel=1e-4)


@pytest.mark.parametrize("name", ["relu2_1", "relu3_1", "relu4_1"])
def test_an_even_colour_stays_even_up_to_the_border(name: str, small: dict[str, np.ndarray]) -> None:
    # Only the very first layer, which cannot know the border, loses some of it there: a ring of one pixel.
    found = responses(small, np.full((3, 96, 96), 50.0), name)[name][COLOURS]
    middle = found[:, found.shape[1] // 2, found.shape[2] // 2]
    lowest = found.min(axis=(1, 2))
    assert (lowest > 0.85 * middle - 1e-6).all()


def test_the_content_holds_the_border_as_it_holds_the_rest(surrogate: Weights) -> None:
    # Where it holds it more, the style moves it less, and a rim is left.
    content = np.full((1, 3, 128, 128), 40.0, np.float32)
    config = TransferConfig(method=("linear",), weights="surrogate")
    objective = Objective(config, surrogate, content, content, content.shape)
    gradient = objective.evaluate(content + 10, {"content": 1.0}).gradient.mean(axis=(0, 1))
    of_rows = gradient[:, 48:80].mean(axis=1)
    relative = of_rows[:64] / of_rows[60:64].mean()
    assert relative.min() > 0.7 and relative.max() < 1.2


def test_the_first_layer_sees_nothing_at_the_border_that_is_not_inside(small: dict[str, np.ndarray]) -> None:
    # It cannot know the border, so an edge filter would find one there in every picture, and draw a line.
    rng = np.random.default_rng(0)
    for colour in rng.uniform(-100, 100, (20, 3, 1, 1)):
        found = responses(small, np.broadcast_to(colour, (3, 8, 8)), "relu1_1")["relu1_1"]
        assert (found <= found[:, 4:5, 4:5] * (1 + 1e-6)).all()
        assert (found[1:, 4, 4] > 0).sum() in (31, 32)  # one of each of 31 pairs, and perhaps the single last one


@pytest.mark.parametrize("name", ["relu1_2", "relu2_1", "relu3_1", "relu4_1"])
def test_edges_see_structure_but_neither_an_even_colour_nor_the_border(name: str, small: dict[str, np.ndarray]) -> None:
    even = responses(small, np.full((3, 96, 96), 50.0), name)[name][edges(int(name[4]))]
    stripes = np.broadcast_to(np.where(np.arange(96) // 16 % 2, 50.0, -50.0), (3, 96, 96))
    seen = responses(small, stripes, name)[name][edges(int(name[4]))]
    assert seen.mean() > 3
    # Beside the border the first layer's loss of an eighth shows, see above.
    assert even[:, 1:-1, 1:-1].max() < 0.15 * seen.max()
    assert name != "relu1_2" or even[:, 2:-2, 2:-2].max() < 1e-6 * seen.max()
    new = even[-EDGE_CHANNELS:]  # of this block's scale
    assert max(new[:, [0, -1]].max(), new[:, :, [0, -1]].max()) < 1e-3


def test_new_filters_come_in_pairs_of_opposite_sign_but_for_what_knows_the_border(surrogate: Weights) -> None:
    for name, array in surrogate.parameters.items():
        if array.ndim == 4:
            first = 1 if name.startswith("conv1_1") else edges(int(name[4])).stop
            first -= EDGE_CHANNELS * (first > 1 and name[4:7] in ("1_2", "2_1", "3_1", "4_1", "5_1"))  # the new scale
            last = len(array) - COLOUR_CHANNELS * (name in ("conv2_2_weight", "conv3_4_weight", "conv4_4_weight"))
            last -= (last - first) % 2
            seen = array if name.startswith("conv1_1") else array[:, 1:]
            np.testing.assert_array_equal(seen[first:last:2], -seen[first + 1 : last : 2], err_msg=name)


def test_no_filter_of_the_picture_can_see_a_checkerboard(surrogate: Weights) -> None:
    sign = np.array([1, -1, 1])
    weight = surrogate.parameters["conv1_1_weight"].astype(float)
    assert np.abs((weight * np.outer(sign, sign)).sum(axis=(2, 3))).max() < 1e-5 * np.abs(weight).max()


def test_the_only_bias_is_the_inside_s_so_that_padding_is_the_mean_colour(surrogate: Weights) -> None:
    biases = {name: array for name, array in surrogate.parameters.items() if name.endswith("bias")}
    assert len(biases) == 16
    assert biases["conv1_1_bias"][0] == 45
    assert sum(np.count_nonzero(array) for array in biases.values()) == 1


def test_another_seed_gives_another_network(small: dict[str, np.ndarray]) -> None:
    other = make_parameters(replace(SMALL, seed=SEED + 1), deepest="relu2_2")
    ours, theirs = (found["conv2_1_weight"][-32:, 1:].ravel() for found in (small, other))  # mixtures
    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.5


# How a layer is made


def test_convolution_is_the_definition() -> None:
    rng = np.random.default_rng(3)
    x, weight, bias = rng.standard_normal((3, 5, 7)), rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    expected = np.empty((4, 5, 7))
    for o, h, w in np.ndindex(4, 5, 7):
        expected[o, h, w] = (padded[:, h : h + 3, w : w + 3] * weight[o]).sum() + bias[o]
    np.testing.assert_allclose(convolve(x, weight, bias), expected, atol=1e-12)


def test_pooling_drops_an_odd_row_and_column() -> None:
    x = np.arange(2 * 5 * 7, dtype=float).reshape(2, 5, 7)
    assert average_pool(x).shape == (2, 2, 3)
    assert average_pool(x)[1, 1, 2] == pytest.approx(x[1, 2:4, 4:6].mean())


def test_mixtures_see_a_few_channels_and_not_their_mean() -> None:
    rng = np.random.default_rng(4)
    mean, deviation = rng.uniform(10, 100, 40), rng.uniform(1, 50, 40)
    filters = mixtures(200, mean, deviation, 4, rng)
    assert set(np.abs(filters).sum(axis=(2, 3)).astype(bool).sum(axis=1)) <= {3, 4}
    even = np.broadcast_to(mean[:, None, None], (40, 3, 3))
    assert np.abs((filters * even).sum(axis=1)).max() < 1e-9 * np.abs(filters).max() * mean.max()


def test_a_mixture_is_of_blurs_or_of_slopes_and_lines() -> None:
    rng = np.random.default_rng(5)
    filters = mixtures(200, rng.uniform(10, 100, 40), rng.uniform(1, 50, 40), 4, rng)
    blurs = filters[is_blur(filters)]
    others = filters[~is_blur(filters)]
    assert 70 < len(blurs) < 130
    assert np.abs(others.sum(axis=(2, 3))).max() < 1e-9 * np.abs(others).max()  # no even feature shows in them
    tent = np.outer([1, 2, 1], [1, 2, 1]) / 4
    np.testing.assert_allclose(blurs, blurs[:, :, 1:2, 1:2] * tent, atol=1e-12 * np.abs(blurs).max())


# Determinism


@pytest.mark.parametrize("threads", ["1", "2"])
def test_builds_with_one_and_two_threads_agree(threads: str, small: dict[str, np.ndarray], tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np; from model_zoo.surrogate import Recipe, make_parameters\n"
        "recipe = Recipe(pictures=2, picture_size=64)\n"
        f"np.savez(sys.argv[1], **make_parameters(recipe, deepest='{DEEPEST}'))"
    )
    variables = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    path = tmp_path / "built.npz"
    subprocess.run([sys.executable, "-c", program, str(path)], env=os.environ | variables, check=True)
    with np.load(path) as built:
        for name, array in small.items():
            np.testing.assert_allclose(
                built[name], array, rtol=0, atol=1e-6 * max(1e-9, np.abs(array).max()), err_msg=name
            )


# How it is kept


@pytest.fixture
def quick_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, surrogate: Weights) -> Path:
    """An empty cache folder, and in place of the recipe something that takes no time."""

    def made(recipe: Recipe, notify: Callable[[str], None]) -> dict[str, np.ndarray]:
        notify("making conv1_1")
        time.sleep(0.05)
        return dict(surrogate.parameters)

    monkeypatch.setenv("NEURAL_STYLE_MMD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("model_zoo.surrogate.make_parameters", made)
    return tmp_path / "home"


def cached_file(home: Path) -> Path:
    (path,) = home.glob("*.npz")
    return path


def test_a_line_per_layer_says_how_far_it_is() -> None:
    lines: list[str] = []
    make_parameters(SMALL, lines.append, deepest="relu2_1")
    assert [line.split(": ")[1] for line in lines] == ["conv1_1 (1 of 3)", "conv1_2 (2 of 3)", "conv2_1 (3 of 3)"]


def test_it_is_made_once_and_then_read(quick_home: Path) -> None:
    first: list[str] = []
    again: list[str] = []
    made = load_surrogate(notify=first.append)
    read = load_surrogate(notify=again.append)
    assert first == ["making conv1_1"]
    assert again == []
    assert made.sha256 == read.sha256
    for name, array in made.parameters.items():
        np.testing.assert_array_equal(read.parameters[name], array)


def test_a_flipped_bit_is_noticed_and_the_network_made_again(quick_home: Path) -> None:
    made = load_surrogate()
    path = cached_file(quick_home)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    lines: list[str] = []
    assert load_surrogate(notify=lines.append).sha256 == made.sha256
    assert "damaged" in lines[0]
    assert str(path) in lines[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"file": 1}'])
def test_an_unreadable_record_means_made_again(quick_home: Path, text: str) -> None:
    load_surrogate()
    path = cached_file(quick_home).with_suffix(".json")
    path.write_text(text)
    lines: list[str] = []
    load_surrogate(notify=lines.append)
    assert "made again" in lines[0]
    assert set(json.loads(path.read_text())) == {"file", "network", "recipe"}


def test_two_that_need_it_at_once_make_it_once(quick_home: Path) -> None:
    lines: list[str] = []
    threads = [threading.Thread(target=load_surrogate, kwargs={"notify": lines.append}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("conv1_1" in line for line in lines) == 1


# The pictures it is measured on


def test_dead_leaves_are_seeded_pictures_in_range() -> None:
    first, again, other = dead_leaves(48, 1), dead_leaves(48, 1), dead_leaves(48, 2)
    assert first.shape == (3, 48, 48)
    assert first.min() >= 0
    assert first.max() <= 255
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_dead_leaves_have_the_power_spectrum_of_photographs() -> None:
    # Photographs: power ~ frequency^-2 in two dimensions (Field, JOSA A 1987); dead leaves come within 0.8 of that.
    grey = np.stack([dead_leaves(128, seed).mean(axis=0) for seed in range(6)])
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) * np.outer(np.hanning(128), np.hanning(128))
    power = (np.abs(np.fft.fft2(grey)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    band = (frequency > 0.03) & (frequency < 0.25)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert -3.3 < slope < -1.7
