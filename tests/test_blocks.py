"""--estimator blocks: the Gaussian method's MMD^2 estimated within blocks of samples, which scatters less than pairs.

The estimate and its gradient against float64 NumPy written from the definition (Zaremba, Gretton and Blaschko, NIPS
2013: the mean over blocks of the unbiased MMD^2 of each), and where a transfer uses it and where not.
"""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from small_transfer import small_config

from model_zoo.errors import InputError
from neural_style_mmd import TransferConfig, losses, transfer
from neural_style_mmd._mxnet import mx
from neural_style_mmd.blocks import block_distance, block_shape, draw_blocks, halves_of_blocks
from neural_style_mmd.cli import cli
from neural_style_mmd.stylization import prepare

N, M_F, M_S = 4, 23, 17
SHAPE = (4, 5)  # three positions of the picture are left over


def samples(positions, seed, channels=N):
    """(M, N), what follows a ReLU."""
    return np.maximum(np.random.default_rng(seed).normal(0.3, 1.0, (positions, channels)), 0)


def squared(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(axis=-1)


def couples(x, y, drawn):
    """Squared distances of all that are compared: x to x, y to y (of a block the first half to the second), x to y."""
    blocks = [(x[one], y[other]) for one, other in zip(drawn["pairs"], drawn["style_pairs"], strict=True)]
    half = drawn["pairs"].shape[1] // 2
    others = ~np.eye(drawn["pairs"].shape[1], dtype=bool)
    return (
        np.concatenate([squared(a, a)[others] for a, _ in blocks]),
        np.concatenate([((b[:half] - b[half : 2 * half]) ** 2).sum(axis=1) for _, b in blocks]),
        np.concatenate([squared(a, b).ravel() for a, b in blocks]),
    )


def estimate(x, y, drawn, bandwidth=1.0, sigma2=None):
    """Without sigma2, it is bandwidth times the mean squared distance, over xx, yy, xy and yx."""
    xx, yy, xy = couples(x, y, drawn)
    if sigma2 is None:
        sigma2 = bandwidth * (xx.mean() + yy.mean() + 2 * xy.mean()) / 4
    xx, yy, xy = (np.exp(-each / (2 * sigma2)).mean() for each in (xx, yy, xy))
    return xx + yy - 2 * xy, sigma2


def measured(x, y, drawn, bandwidth=1.0, dtype="float64", parts=0):
    """Value and gradient (M, N) of the symbol. parts: of samples that are drawn already, in so many parts."""
    arrays = {"x.samples": x, "y.samples": y}
    if parts:
        of = {"x": x[drawn["pairs"]], "y": y[drawn["style_pairs"]]}  # (B, b, N)
        split = {f"{side}.samples.{i}": part for side in of for i, part in enumerate(np.array_split(of[side], parts))}
        arrays = {name: part.reshape(-1, x.shape[1]) for name, part in split.items()}
    inputs = {name: mx.nd.array(array, dtype=dtype) for name, array in arrays.items()}
    sides = [{n[2:]: mx.sym.Variable(n) for n in inputs if n.startswith(side)} for side in ("x", "y")]
    if not parts:
        sides[1] |= {key: mx.sym.Variable(key, dtype="int32") for key in drawn}
        inputs |= {key: mx.nd.array(value, dtype="int32") for key, value in drawn.items()}
    symbol = block_distance(drawn["pairs"].shape, *sides, x.shape[1], len(x), bandwidth=bandwidth)
    gradients = {name: mx.nd.zeros_like(inputs[name]) for name in inputs if name.startswith("x")}
    requests = {name: "write" if name in gradients else "null" for name in inputs}
    executor = symbol.bind(mx.cpu(), inputs, gradients, requests)
    value = float(executor.forward(is_train=True)[0].asscalar())
    executor.backward([mx.nd.ones(1, dtype=dtype)])
    gradient = np.concatenate([each.asnumpy() for each in gradients.values()])
    if parts:
        of_drawn, gradient = gradient, np.zeros_like(x)
        gradient[drawn["pairs"].ravel()] = of_drawn  # no position is in two blocks
    return value, gradient


# The estimate


@pytest.mark.parametrize("shape", [SHAPE, (1, 17), (11, 2)], ids=["blocks", "one", "pairs"])
@pytest.mark.parametrize("bandwidth", [1.0, 0.5])
def test_value_and_gradient_are_those_of_the_definition(shape, bandwidth):
    x, y = samples(M_F, 1), samples(M_S, 2) + 0.4
    drawn = draw_blocks(shape, M_F, M_S, np.random.default_rng(3))
    value, gradient = measured(x, y, drawn, bandwidth)
    expected, held = estimate(x, y, drawn, bandwidth)
    assert value == pytest.approx(expected, rel=1e-10)
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        numeric[index] = (estimate(up, y, drawn, sigma2=held)[0] - estimate(down, y, drawn, sigma2=held)[0]) / 2e-6
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9)
    left_over = np.setdiff1d(np.arange(M_F), drawn["pairs"])
    assert len(left_over) == M_F - np.prod(shape) and not gradient[left_over].any()


def test_drawn_samples_in_parts_and_float32_give_the_same():
    x, y = samples(M_F, 1), samples(M_S, 2) + 0.4
    drawn = draw_blocks((5, 4), M_F, M_S, np.random.default_rng(3))  # parts of three blocks and of two
    value, gradient = measured(x, y, drawn)
    ways = [measured(x, y, drawn, parts=each) for each in (1, 2)] + [measured(x, y, drawn, dtype="float32")]
    for other in ways:
        assert other[0] == pytest.approx(value, rel=1e-5)
        np.testing.assert_allclose(other[1], gradient, rtol=1e-4, atol=1e-7)


def test_halves_of_blocks_are_all_of_them_in_their_order():
    for number in (1, 2, 5):
        drawn = np.arange(3 * number, dtype=np.int32).reshape(number, 3)
        halves = halves_of_blocks(mx.sym.Variable("drawn", dtype="int32"), drawn.shape)
        outputs = mx.sym.Group(halves).eval(drawn=mx.nd.array(drawn, dtype="int32"))
        found = [each.asnumpy() for each in outputs]
        np.testing.assert_array_equal(np.concatenate(found), drawn.ravel())
        assert [len(each) for each in found] == ([3] if number == 1 else [number // 2 * 3, (number + 1) // 2 * 3])


def test_equal_samples_are_at_distance_0_without_nan():
    flat = np.ones((M_F, N))
    value, gradient = measured(flat, flat[:M_S], draw_blocks(SHAPE, M_F, M_S, np.random.default_rng(0)))
    assert value == pytest.approx(0.0, abs=1e-12) and not gradient.any()


def test_it_is_unbiased():
    """Over many draws its mean is the U-statistic of all samples, sigma^2 held."""
    x, y, sigma2 = samples(64, 17), samples(48, 18) + 0.8, 2.0
    k_xx, k_yy, k_xy = (np.exp(-squared(*each) / (2 * sigma2)) for each in ((x, x), (y, y), (x, y)))

    def off_diagonal_mean(kernels):
        n = len(kernels)
        return (kernels.sum() - np.trace(kernels)) / (n * (n - 1))

    expected = off_diagonal_mean(k_xx) + off_diagonal_mean(k_yy) - 2 * k_xy.mean()
    draws = [draw_blocks((4, 16), 64, 48, np.random.default_rng(seed)) for seed in range(4000)]
    found = [estimate(x, y, drawn, sigma2=sigma2)[0] for drawn in draws]
    z = (np.mean(found) - expected) / (np.std(found) / np.sqrt(len(found)))
    assert abs(z) < 4
    assert np.std(found) / np.sqrt(len(found)) < 0.01 * expected  # a bias of some percent would show


def test_its_gradient_scatters_less_than_with_pairs():
    x, y = samples(64, 17), samples(48, 18) + 0.8
    scatter = {}
    for shape in ((32, 2), (4, 16)):
        draws = [draw_blocks(shape, 64, 48, np.random.default_rng(seed)) for seed in range(100)]
        scatter[shape] = np.std([measured(x, y, drawn)[1] for drawn in draws], axis=0).mean()
    assert scatter[4, 16] < 0.5 * scatter[32, 2]


# Which blocks


@pytest.mark.parametrize(
    ("positions", "style_positions", "stride", "expected"),
    [
        (6912, 6912, 1, (432, 16)),
        (1728, 1728, 2, (54, 32)),
        (108, 108, 8, (1, 108)),  # relu4_1 of 96 pixels: all with all
        (432, 300, 4, (6, 72)),
        (432, 30, 8, (15, 28)),  # no more than the style picture has
        (3, 2, 1, (1, 2)),
        (2, 2, 16, (1, 2)),
    ],
)
def test_blocks_have_16_samples_times_the_stride_or_what_there_is(positions, style_positions, stride, expected):
    assert block_shape(positions, style_positions, stride) == expected


@pytest.mark.parametrize(("positions", "style_positions"), [(6912, 6912), (1000, 30), (37, 5), (23, 400), (2, 3)])
def test_blocks_are_disjoint_and_no_style_position_is_twice_in_one(positions, style_positions):
    shape = block_shape(positions, style_positions, 1)
    drawn = draw_blocks(shape, positions, style_positions, np.random.default_rng(0))
    blocks, style_blocks = drawn["pairs"], drawn["style_pairs"]
    assert blocks.shape == style_blocks.shape == shape and blocks.dtype == style_blocks.dtype == np.int32
    assert len(np.unique(blocks)) == blocks.size > 0.7 * positions
    assert all(len(np.unique(block)) == shape[1] for block in style_blocks)
    assert 0 <= min(blocks.min(), style_blocks.min())
    assert blocks.max() < positions and style_blocks.max() < style_positions


def test_a_pair_is_a_block_of_two():
    one = losses.draw_pairs(15, 6, np.random.default_rng(5))
    other = draw_blocks((7, 2), 15, 6, np.random.default_rng(5))
    assert all((one[key] == other[key]).all() for key in one)


@pytest.mark.parametrize(("positions", "style_positions"), [(1, 6), (6, 1)])
def test_two_positions_are_needed(positions, style_positions):
    with pytest.raises(InputError, match="two positions"):
        block_shape(positions, style_positions, 1)


# In a transfer


def standing_still(**changes):
    """A run whose first and last picture are the same."""
    still = {"iterations": 1, "learning_rate": 1e-30, "momentum": 0.0, "weight_decay": 0.0}
    return small_config(**(still | {"method": ("gaussian",), "init": "content"} | changes))


def test_beta_prime_and_the_reported_objective_are_those_of_pairs(pictures, network):
    records = [
        transfer(*pictures, standing_still(estimator=each), weights=network).record for each in ("pairs", "blocks")
    ]
    pairs, blocks = records
    assert blocks["balance"] == pairs["balance"]
    assert blocks["final"] == pairs["final"]
    assert blocks["trace"][0]["terms"]["content"] == pairs["trace"][0]["terms"]["content"]
    for layer in ("relu1_1", "relu2_1"):
        term = f"style.gaussian.{layer}"
        assert blocks["trace"][0]["terms"][term] != pairs["trace"][0]["terms"][term]
        assert blocks["trace"][0]["terms"][term] == pytest.approx(blocks["final"]["terms"][term], rel=0.5)


def test_the_terms_are_the_estimate_of_each_layers_features(pictures, network):
    """Features by float64 NumPy convolution: relu1_1 of both pictures, whose sizes differ."""
    setting = prepare(*pictures, standing_still(layers=("relu1_1",)), weights=network)
    setting.objective.use("float32", "blocks")
    term = "style.gaussian.relu1_1"
    found = setting.objective.evaluate(setting.start, {term: 1.0}, 5).terms[term]
    drawn = {key: setting.objective._pairs[f"{term}.{key}"].asnumpy() for key in ("pairs", "style_pairs")}
    style = setting.objective._targets["style.picture"].asnumpy()

    def relu1_1(picture):
        padded = np.pad(picture[0].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        weight = network.parameters["conv1_1_weight"].astype(np.float64)
        sums = np.einsum("chwij,ncij->hwn", windows, weight) + network.parameters["conv1_1_bias"]
        return np.maximum(sums, 0).reshape(-1, len(weight))

    assert style.shape != setting.start.shape
    assert found == pytest.approx(estimate(relu1_1(setting.start), relu1_1(style), drawn)[0], rel=1e-4)


def test_use_goes_to_blocks_and_back_to_the_same_bits(pictures, network):
    objective = (setting := prepare(*pictures, standing_still(), weights=network)).objective
    weights = dict.fromkeys(objective.terms, 1.0)
    before = objective.evaluate(setting.start, weights, 3)
    objective.use("float32", "blocks")
    between = objective.evaluate(setting.start, weights, 3)
    objective.use("float32")
    after = objective.evaluate(setting.start, weights, 3)
    assert before.terms == after.terms != between.terms
    np.testing.assert_array_equal(before.gradient, after.gradient)


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs", "preconditioned-nag"])
def test_a_killed_transfer_goes_on_with_the_same_bits(optimizer, pictures, network, tmp_path):
    choices = {"method": ("gaussian", "bn"), "estimator": "blocks", "optimizer": optimizer, "lbfgs_restart": 4}
    config = small_config(**choices, iterations=10, horizon=10)  # the schedule of the whole run, also of its first part
    whole = transfer(*pictures, config, weights=network)
    path = tmp_path / "run.ckpt"
    transfer(*pictures, dataclasses.replace(config, iterations=4), weights=network, checkpoint_path=path)
    rest = transfer(*pictures, config, weights=network, checkpoint_path=path)
    np.testing.assert_array_equal(rest.image, whole.image)
    assert rest.record["final"] == whole.record["final"]
    assert (
        whole.image != transfer(*pictures, dataclasses.replace(config, estimator="pairs"), weights=network).image
    ).any()


def test_other_methods_have_nothing_to_estimate(pictures, network):
    configs = [small_config(method=("bn",), estimator=each) for each in ("pairs", "blocks")]
    one, other = (transfer(*pictures, config, weights=network).image for config in configs)
    np.testing.assert_array_equal(one, other)
    objective = prepare(*pictures, configs[1], weights=network).objective
    bound = objective._parts
    objective.use("float32", "blocks")
    assert objective._parts is bound  # nothing is bound anew


def test_pairs_are_the_papers_and_another_name_is_refused(pictures, small_network, tmp_path):
    assert TransferConfig().estimator == TransferConfig(preset="release").estimator == "pairs"
    out = tmp_path / "out.png"
    options = ["--method", "gaussian", "--layers", "relu1_1", "--content-layer", "relu2_1", "--size", "32",
               "--iterations", "2", "-o", str(out)]  # fmt: skip
    refused = CliRunner().invoke(cli, ["transfer", *map(str, pictures), *options, "--estimator", "all"])
    assert refused.exit_code == 2 and "pairs" in refused.stderr and "blocks" in refused.stderr and not out.exists()
    result = CliRunner().invoke(cli, ["transfer", *map(str, pictures), *options, "--estimator", "blocks"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(out.with_name("out.png.json").read_text())["config"]["estimator"] == "blocks"
