"""The release preset is what the released code does (Neural-Style-MMD at a79b913): for each method and layer the very
gradient that it sends backward, and its whole update of the picture, against float64 NumPy written from its formulas.

F, S are (M, N) here, rows f_k being positions; gamma is its --style-weight.
"""

import numpy as np
import pytest
from small_transfer import LAYERS as SMALL_LAYERS

from model_zoo.vgg19 import LAYERS
from neural_style_mmd import TransferConfig, checkpoint, discrepancy, losses, transfer
from neural_style_mmd.images import read_picture, resize, resize_to
from neural_style_mmd.presets import PRESETS

MEAN_RGB = np.array([123.68, 116.779, 103.939])

# N and M of the style layers at 256 x 192, and relu5_1 at 600 x 450 (37 x 28), and with an odd M
REAL_LAYERS = [
    *((layer, LAYERS[layer].channels, (192 // LAYERS[layer].stride) * (256 // LAYERS[layer].stride))
      for layer in PRESETS["release"]["layers"].value),
    ("relu5_1 at 600 x 450", 512, 1036),
    ("relu5_1, odd", 512, 17 * 13),
]  # fmt: skip


# What the release sends backward, gamma 1


def linear(f, s):
    n = f.shape[1]
    return np.tile(2000 / n * (f.mean(0) - s.mean(0)), (len(f), 1))


def poly(f, s, c=0.0):
    m, n = f.shape
    return 0.1 / (n**2 * m) * (f @ (f.T @ f - s.T @ s) + c * (f.sum(0) - s.sum(0)))


def bn(f, s):
    n = f.shape[1]
    mu, sigma = f.mean(0), f.std(0)
    # A channel that does not vary gives the release NaN; here its second term is 0.
    return 1000 / n * ((mu - s.mean(0)) + (sigma - s.std(0)) / np.where(sigma > 0, sigma, np.inf) * (f - mu))


def gaussian(f, s, pairs, style_pairs, multi=1.0):
    m, n = f.shape
    x0, x1, y0, y1 = f[pairs[:, 0]], f[pairs[:, 1]], s[style_pairs[:, 0]], s[style_pairs[:, 1]]

    def d(u, v):
        return ((u - v) ** 2).sum(1, keepdims=True)

    b = multi / np.mean([d(x0, x1), d(y0, y1), d(x0, y1), d(y0, x1)])

    def k(u, v):
        return np.exp(-b * d(u, v))

    gradient = np.zeros_like(f)
    gradient[pairs[:, 0]] = b * (-k(x0, x1) * (x0 - x1) + k(x0, y1) * (x0 - y1))
    gradient[pairs[:, 1]] = b * (-k(x0, x1) * (x1 - x0) + k(y0, x1) * (x1 - y0))
    return 3e14 / (n * m) * gradient


def rectified(channels, positions, seed):
    """What follows a ReLU: each channel of another scale and mean, about a third zeros."""
    random = np.random.default_rng(seed)
    scale, shift = random.uniform(0.5, 3, (channels, 1)), random.normal(0.5, 0.5, (channels, 1))
    return np.maximum(scale * random.standard_normal((channels, positions)) + shift, 0)


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("layer", "n", "m"), REAL_LAYERS, ids=[layer for layer, *_ in REAL_LAYERS])
@pytest.mark.parametrize("method", ["linear", "poly", "gram", "bn", "gaussian"])
def test_each_methods_gradient_is_the_releases_in_each_layer(method, layer, n, m, dtype):
    f, s = rectified(n, m, 1).astype(dtype), rectified(n, m, 2).astype(dtype)
    drawn = losses.draw_pairs(m, m, np.random.default_rng(3))
    found = discrepancy(f, s, method, "release", pairs=tuple(drawn.values()))
    formula = {"linear": linear, "poly": poly, "gram": poly, "bn": bn}  # gram is the release's poly
    formula["gaussian"] = lambda f, s: gaussian(f, s, *drawn.values())
    expected = formula[method](f.T.astype(np.float64), s.T.astype(np.float64)).T
    assert found.gradient.dtype == dtype
    assert relative_error(found.gradient, expected) <= (1e-5 if dtype == np.float32 else 1e-12)


def test_poly_with_c_and_another_gaussian_multiplier():
    """--mmd-poly-c, and --mmd-gaussian-multi X, which is a bandwidth of 0.5 / X."""
    f, s = rectified(64, 300, 1), rectified(64, 300, 2)
    found = discrepancy(f, s, "poly", "release", poly_c=7.0).gradient
    assert relative_error(found, poly(f.T, s.T, 7.0).T) <= 1e-12
    drawn = tuple(losses.draw_pairs(300, 300, np.random.default_rng(3)).values())
    found = discrepancy(f, s, "gaussian", "release", pairs=drawn, bandwidth=0.5 / 4).gradient
    assert relative_error(found, gaussian(f.T, s.T, *drawn, multi=4.0).T) <= 1e-12


def test_no_constant_maps_the_papers_gaussian_to_the_releases():
    """The bandwidths differ, so the directions do."""
    f, s = rectified(64, 301, 1), rectified(64, 301, 2)
    paper, release = (discrepancy(f, s, "gaussian", preset).gradient.ravel() for preset in ("paper", "release"))
    assert paper @ release / np.linalg.norm(paper) / np.linalg.norm(release) < 0.999


@pytest.mark.parametrize(
    ("method", "ratio"),
    [("linear", lambda n, m: 1000 * m), ("poly", lambda n, m: 0.1 * m), ("bn", lambda n, m: 500 * m)],
)
def test_the_others_are_the_papers_times_a_factor_that_grows_with_m(method, ratio):
    for n, m in ((64, 600), (128, 150)):
        f, s = rectified(n, m, 1), rectified(n, m, 2)
        paper, release = (discrepancy(f, s, method, preset).gradient for preset in ("paper", "release"))
        np.testing.assert_allclose(release, ratio(n, m) * paper, rtol=1e-9, atol=1e-12 * np.abs(release).max())


# Whole updates


def convolve(x, weight):
    """(C, H, W), (O, C, 3, 3) -> (O, H, W), zeros around."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return sum(
        np.tensordot(weight[:, :, i, j], padded[:, i : i + height, j : j + width], 1)
        for i in range(3)
        for j in range(3)
    )


class SmallNetwork:
    """conv1_1, relu1_1, conv1_2, relu1_2, average pooling, conv2_1, relu2_1: forward, and backward by hand."""

    def __init__(self, weights):
        self.parameters = {name: array.astype(np.float64) for name, array in weights.parameters.items()}

    def forward(self, x):
        def layer(name, x):
            bias = self.parameters[f"conv{name}_bias"][:, None, None]
            return np.maximum(convolve(x, self.parameters[f"conv{name}_weight"]) + bias, 0)

        first = layer("1_1", x)
        second = layer("1_2", first)
        channels, height, width = second.shape
        pooled = second[:, : height // 2 * 2, : width // 2 * 2].reshape(channels, height // 2, 2, width // 2, 2)
        return {"relu1_1": first, "relu1_2": second, "relu2_1": layer("2_1", pooled.mean((2, 4)))}

    def backward(self, maps, gradients):
        def through(name, gradient, output):
            weight = self.parameters[f"conv{name}_weight"]
            return convolve(gradient * (output > 0), weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])

        pooled = through("2_1", gradients["relu2_1"], maps["relu2_1"])
        second = np.zeros_like(maps["relu1_2"])
        spread = np.repeat(np.repeat(pooled, 2, 1), 2, 2) / 4
        second[:, : spread.shape[1], : spread.shape[2]] = spread
        first = through("1_2", second, maps["relu1_2"])
        return through("1_1", first + gradients["relu1_1"], maps["relu1_1"])


def columns(maps):
    return maps.reshape(len(maps), -1)


def laplacian(x):
    """4 x - the four neighbours, zeros around."""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return 4 * x - p[:, :-2, 1:-1] - p[:, 2:, 1:-1] - p[:, 1:-1, :-2] - p[:, 1:-1, 2:]


METHOD_WEIGHTS = {  # methods of a run -> its options, and what multiplies each method in the release
    "linear": ({"method": ("linear",)}, {"linear": 1}),
    "poly": ({"method": ("poly",)}, {"poly": 1}),
    "gaussian": ({"method": ("gaussian",)}, {"gaussian": 1}),
    "bn": ({"method": ("bn",), "gamma": 1.0}, {"bn": 1}),
    "bn+poly": ({"method": ("bn", "poly"), "fusion": (0.9, 0.1)}, {"bn": 0.9, "poly": 0.1}),
    "bn+poly, bug": (
        {"method": ("poly", "bn"), "fusion": (0.9, 0.1), "fusion_rule": "release-bug"},
        {"bn": 0.09, "poly": 1.0},
    ),
    "linear+gaussian, bug": (
        {"method": ("linear", "gaussian"), "fusion": (0.5, 0.5), "fusion_rule": "release-bug"},
        {"linear": 0.25, "gaussian": 1.0},
    ),
    "faster schedule, no clipping": ({"method": ("bn",), "gamma": 1e-4, "alpha": 1e-4, "decay_every": 6}, {"bn": 1}),
    "strong TV and decay": ({"method": ("linear",), "tv_weight": 40.0, "weight_decay": 2.0}, {"linear": 1}),
}


DEFAULTS = {"gamma": 5.0, "alpha": 1.0, "tv_weight": 0.01, "weight_decay": 5e-4, "decay_every": 80}


def release_run(network, content, style, options, start, factors, steps):
    """x after each of `steps` updates, float64 (3, H, W), and whether each gradient was clipped."""
    net, numbers = SmallNetwork(network), DEFAULTS | options
    f_content, f_style = net.forward(content)["relu2_1"], net.forward(style)
    x, v, found, clipped = start[0].astype(np.float64), 0.0, [], []
    order = list(LAYERS)
    for t in range(1, steps + 1):
        maps = net.forward(x)
        gradients = {}
        for layer in SMALL_LAYERS:
            f, s = columns(maps[layer]).T, columns(f_style[layer]).T
            rng = np.random.default_rng((0, 1, t, order.index(layer)))  # as objective.py draws
            drawn = losses.draw_pairs(len(f), len(s), rng).values()
            sent = {"linear": linear, "poly": poly, "bn": bn, "gaussian": lambda f, s, d=drawn: gaussian(f, s, *d)}
            total = sum(numbers["gamma"] * weight * sent[method](f, s) for method, weight in factors.items())
            gradients[layer] = total.T.reshape(maps[layer].shape)
        gradients["relu2_1"] += 2 * numbers["alpha"] * (maps["relu2_1"] - f_content)
        g = net.backward(maps, gradients)
        norm = np.linalg.norm(g)
        clipped.append(norm > x.size)
        if norm > x.size:
            g = g * (x.size / norm)
        g = g + numbers["tv_weight"] / 8 * laplacian(x)
        rate = 1e-3 * 0.9 ** ((t - 1) // numbers["decay_every"])
        v = 0.9 * v - rate * (g + numbers["weight_decay"] * x)
        x = x + v
        found.append(x)
    return found, clipped


@pytest.mark.parametrize("case", METHOD_WEIGHTS)
def test_20_updates_of_the_picture_are_the_releases(case, pictures, network, tmp_path):
    options, factors = METHOD_WEIGHTS[case]
    config = TransferConfig(
        preset="release",
        layers=SMALL_LAYERS,
        content_layer="relu2_1",
        size=32,
        iterations=20,
        stop_change=0.0,
        **options,
    )
    path = tmp_path / "state.npz"
    result = transfer(*pictures, config, weights=network, checkpoint_path=path)
    found = checkpoint.load(path)[0].x[0]

    content_pixels = resize(read_picture(pictures[0]).pixels, 32)
    style_pixels = resize_to(read_picture(pictures[1]).pixels, (32, 24))  # the content's size
    content, style = (
        p.transpose(2, 0, 1) / 255 * 256 - MEAN_RGB[:, None, None] for p in (content_pixels, style_pixels)
    )
    start = np.random.default_rng((0, 0, 0)).uniform(-0.1, 0.1, (1, 3, 24, 32)).astype(np.float32)
    expected, clipped = release_run(network, content, style, options, start, factors, 20)
    assert [entry["clipped"] for entry in result.record["trace"]] == clipped
    assert any(clipped) == ("no clipping" not in case)
    moved = np.linalg.norm(expected[-1] - start)
    assert np.linalg.norm(found - expected[-1]) <= 1e-4 * moved
    changes = [np.linalg.norm(b - a) / np.linalg.norm(b) for a, b in zip([start[0], *expected], expected, strict=False)]
    np.testing.assert_allclose([entry["change"] for entry in result.record["trace"]], changes, rtol=1e-3)
