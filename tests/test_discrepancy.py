"""discrepancy: one layer's loss and gradient on arrays, the same as in a transfer's graph."""

import numpy as np
import pytest

import neural_style_mmd
from model_zoo.errors import InputError
from model_zoo.vgg19 import LAYERS
from neural_style_mmd import discrepancy, losses
from neural_style_mmd.config import METHODS, TransferConfig
from neural_style_mmd.objective import Objective

N, M_F, M_S = 5, 13, 8
F = np.maximum(np.random.default_rng(1).normal(0.3, 1, (N, M_F)), 0)
S = np.maximum(np.random.default_rng(2).normal(0.6, 1, (N, M_S)), 0)
PAIRS = tuple(losses.draw_pairs(M_F, M_S, np.random.default_rng(3)).values())


def kernel_mmd(kernel, f, s):
    """Eq. 2."""
    return kernel(f.T @ f).mean() + kernel(s.T @ s).mean() - 2 * kernel(f.T @ s).mean()


def gaussian(f, s, pairs, style_pairs, sigma2):
    (i, j), (k, m) = pairs.T, style_pairs.T

    def kernel(a, b):
        return np.exp(-((a - b) ** 2).sum(0) / (2 * sigma2))

    terms = kernel(f[:, i], f[:, j]) + kernel(s[:, k], s[:, m]) - kernel(f[:, i], s[:, m]) - kernel(f[:, j], s[:, k])
    return terms.mean()


def mean_squared_distance(f, s, pairs, style_pairs):
    (i, j), (k, m) = pairs.T, style_pairs.T
    sets = (f[:, i] - f[:, j], s[:, k] - s[:, m], f[:, i] - s[:, m], f[:, j] - s[:, k])
    return np.mean([(difference**2).sum(0) for difference in sets])


SIGMA2 = mean_squared_distance(F, S, *PAIRS)
EQUATIONS = {  # paper preset
    "linear": lambda f: kernel_mmd(lambda k: k, f, S) / N,
    "poly": lambda f: kernel_mmd(np.square, f, S) / (4 * N**2),
    "gram": lambda f: ((f @ f.T / f.shape[1] - S @ S.T / M_S) ** 2).sum() / (4 * N**2),
    "bn": lambda f: ((f.mean(1) - S.mean(1)) ** 2 + (f.std(1) - S.std(1)) ** 2).sum() / N,
    "gaussian": lambda f: gaussian(f, S, *PAIRS, SIGMA2),
}


def central_differences(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("method", METHODS)
def test_value_and_gradient_of_the_paper_preset_are_the_equations(method):
    found = discrepancy(F, S, method, pairs=PAIRS)
    assert found.value == pytest.approx(EQUATIONS[method](F), rel=1e-10)
    assert found.gradient.shape == F.shape
    np.testing.assert_allclose(found.gradient, central_differences(EQUATIONS[method], F), rtol=1e-6, atol=1e-8)


RELEASES_FACTORS = {  # what the release sends backward over the gradient of the paper's equation, docs/FIDELITY.md
    "linear": 1000 * M_F,
    "poly": 0.1 * M_F,
    "gram": 0.1 * M_F,
    "bn": 500 * M_F,
}


@pytest.mark.parametrize("method", METHODS)
def test_the_releases_value_has_the_gradient_that_it_gives(method):
    found = discrepancy(F, S, method, "release", pairs=PAIRS)

    def value(f):
        if method == "gaussian":  # sigma^2 is held
            return 1.5e14 / (N * M_F) * (len(PAIRS[0]) * gaussian(f, S, *PAIRS, SIGMA2 / 2))
        return RELEASES_FACTORS[method] * EQUATIONS[method](f)

    assert found.value == pytest.approx(value(F), rel=1e-10)
    numeric = central_differences(value, F)
    np.testing.assert_allclose(found.gradient, numeric, rtol=1e-6, atol=1e-8 * np.abs(numeric).max())


def test_options_override_the_preset():
    assert discrepancy(F, S, "poly", poly_c=3.0).value == pytest.approx(
        kernel_mmd(lambda k: (k + 3) ** 2, F, S) / (4 * N**2), rel=1e-10
    )
    narrow = discrepancy(F, S, "gaussian", pairs=PAIRS, bandwidth=0.25).value
    assert narrow == pytest.approx(gaussian(F, S, *PAIRS, SIGMA2 / 4), rel=1e-10)


def test_pairs_are_drawn_by_seed():
    one, again, other = (discrepancy(F, S, "gaussian", seed=seed).value for seed in (1, 1, 2))
    assert one == again != other


def test_float32_stays_float32_and_integers_are_numbers():
    assert discrepancy(F.astype(np.float32), S.astype(np.float32), "bn").gradient.dtype == np.float32
    whole = np.arange(12).reshape(3, 4)
    assert discrepancy(whole, whole, "linear").value == 0


@pytest.mark.parametrize("preset", ["paper", "release"])
@pytest.mark.parametrize("method", METHODS)
def test_it_is_what_the_transfers_graph_computes(method, preset, network):
    """At relu1_1 of a small picture: features by NumPy, the loss by both."""
    x, style = np.random.default_rng(0).uniform(-100, 100, (2, 1, 3, 6, 7)).astype(np.float32)
    config = TransferConfig(preset=preset, method=(method,), layers=("relu1_1",))
    objective = Objective(config, network, style, None, x.shape)
    term = f"style.{method}.relu1_1"
    weight = config.fixed_beta_prime.get(method, 1.0) * objective.style_weight(method, "relu1_1")
    drawn = losses.draw_pairs(
        42, 42, np.random.default_rng((0, 1, 0, list(LAYERS).index("relu1_1")))
    )  # objective.py's fixed draw
    maps = [relu1_1(each, network) for each in (x, style)]
    found = discrepancy(*maps, method, preset, pairs=tuple(drawn.values()))
    assert found.value == pytest.approx(weight * objective.evaluate(x, {}).terms[term], rel=1e-4)


def relu1_1(x, network):
    weight, bias = (network.parameters[f"conv1_1_{kind}"] for kind in ("weight", "bias"))
    padded = np.pad(x[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("ocij,chwij->ohw", weight, windows) + bias[:, None, None], 0).reshape(64, -1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((F[0], S, "bn"), ["features", "(N, M)"]),
        ((F, S[None], "bn"), ["style_features", "(N, M)"]),
        ((F, S[:, :0], "bn"), ["style_features"]),
        ((F, S[:3], "bn"), ["5 channels", "3"]),
        ((F, np.where(S > 1, np.nan, S), "bn"), ["style_features", "NaN"]),
        ((F * 1j, S, "bn"), ["complex"]),
        ((F, S, "mmd"), ["mmd", "linear"]),
        ((F, S, "bn", "best"), ["best", "release"]),
        ((F[:, :1], S, "gaussian"), ["two positions"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_used_is_one_line(arguments, words):
    with pytest.raises(InputError) as caught:
        discrepancy(*arguments)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "pairs",
    [PAIRS[0], (PAIRS[0],), (PAIRS[0], PAIRS[1][:2]), (PAIRS[0] + M_F, PAIRS[1]), (PAIRS[0], PAIRS[1] - 9),
     (PAIRS[0] * 1.0, PAIRS[1]), (PAIRS[0][:0], PAIRS[1][:0]), (PAIRS[0][:3], PAIRS[1][:3]),
     tuple(np.concatenate([each, each]) for each in PAIRS)],
    ids=range(9),
)  # fmt: skip
def test_pairs_out_of_range_or_shape_are_one_line(pairs):
    """MXNet would take the nearest position there is, and a sum over another number of pairs for that over M // 2."""
    with pytest.raises(InputError, match="pairs") as caught:
        discrepancy(F, S, "gaussian", pairs=pairs)
    assert "\n" not in str(caught.value)


def test_it_is_exported():
    assert neural_style_mmd.discrepancy is discrepancy and callable(discrepancy)


@pytest.mark.parametrize("method", ["linear", "poly", "gram", "bn"])
def test_a_set_is_nothing_apart_from_itself(method):
    """Exactly: both sides are rounded alike, also where sums are long and float32 is all there is."""
    samples = np.maximum(np.random.default_rng(0).normal(scale=50.0, size=(64, 5000)), 0).astype(np.float32)
    found = discrepancy(samples, samples, method)
    assert found.value == 0
    assert not found.gradient.any()
