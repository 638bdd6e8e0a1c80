"""The losses are the paper's equations: each value and gradient against float64 NumPy written from the text.

F (N, M_F) and S (N, M_S) are features; M_F is never M_S here, unless an equation of the paper needs it.
"""

import itertools
from collections import Counter

import numpy as np
import pytest

from model_zoo.errors import InputError
from neural_style_mmd import losses
from neural_style_mmd._mxnet import mx

N, HEIGHT, WIDTH, STYLE_HEIGHT, STYLE_WIDTH = 4, 3, 5, 2, 3  # M_F = 15, odd; M_S = 6 < M_F
M_F, M_S = HEIGHT * WIDTH, STYLE_HEIGHT * STYLE_WIDTH
C = 1.7
METHODS = ("linear", "gram", "poly", "poly+c", "bn", "gaussian")


def features(height, width, seed, channels=N):
    """What follows a ReLU: not negative, about one half zeros."""
    return np.maximum(np.random.default_rng(seed).normal(0.3, 1.0, (1, channels, height, width)), 0)


def columns(maps):
    return maps.reshape(maps.shape[1], -1)


# The equations, float64


def eq2(kernel, f, s):
    """MMD^2 by the double sums."""

    def total(a, b):
        return sum(kernel(x, y) for x, y in itertools.product(a.T, b.T))

    n, m = f.shape[1], s.shape[1]
    return total(f, f) / n**2 + total(s, s) / m**2 - 2 * total(f, s) / (n * m)


def linear(f, s):
    return eq2(lambda x, y: x @ y, f, s) / len(f)


def poly(f, s, c):
    return eq2(lambda x, y: (x @ y + c) ** 2, f, s) / (4 * len(f) ** 2)


def eq6(f, s):
    assert f.shape == s.shape
    n, m = f.shape
    return sum(((f @ f.T)[i, j] - (s @ s.T)[i, j]) ** 2 for i in range(n) for j in range(n)) / (4 * n**2 * m**2)


def eq8(f, s):
    """Its last line."""
    n, m = f.shape
    pairs = itertools.product(range(m), range(m))
    return sum((f[:, a] @ f[:, b]) ** 2 + (s[:, a] @ s[:, b]) ** 2 - 2 * (f[:, a] @ s[:, b]) ** 2 for a, b in pairs) / (
        4 * n**2 * m**2
    )


def eq11(f, s):
    def eq12(rows):
        mean = [sum(row) / len(row) for row in rows]
        return mean, [np.sqrt(sum((row - mu) ** 2) / len(row)) for row, mu in zip(rows, mean, strict=True)]

    (mu_f, sigma_f), (mu_s, sigma_s) = eq12(f), eq12(s)
    return sum((mu_f[i] - mu_s[i]) ** 2 + (sigma_f[i] - sigma_s[i]) ** 2 for i in range(len(f))) / len(f)


def sampled_distances(f, s, pairs, style_pairs):
    """Squared distances of the four sets of samples: xx, yy, xy, yx."""

    def squared(a, b):
        return ((a - b) ** 2).sum(axis=0)

    x, x2, y, y2 = f[:, pairs[:, 0]], f[:, pairs[:, 1]], s[:, style_pairs[:, 0]], s[:, style_pairs[:, 1]]
    return np.array([squared(x, x2), squared(y, y2), squared(x, y2), squared(x2, y)])


def gaussian(f, s, pairs, style_pairs, bandwidth):
    """The linear-time estimate (Gretton et al. 2012, lemma 14), k(x, y) = exp(-|x - y|^2 / 2 sigma^2)."""
    xx, yy, xy, yx = np.exp(-sampled_distances(f, s, pairs, style_pairs) / (2 * bandwidth))
    return (xx + yy - xy - yx).mean()


def central_differences(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


# The symbols


def arrays(values, dtype):
    return {k: mx.nd.array(v, dtype=v.dtype if v.dtype == np.int32 else dtype) for k, v in values.items()}


def value_and_gradient(symbol, inputs, dtype="float64", wrt="f"):
    given = arrays(inputs, dtype)
    known = {name: given[name] for name in symbol.list_arguments()}
    gradient = mx.nd.zeros(inputs[wrt].shape, dtype=dtype)
    requests = {name: "write" if name == wrt else "null" for name in known}
    executor = symbol.bind(mx.cpu(), known, {wrt: gradient}, requests)
    (value,) = executor.forward(is_train=True)
    assert value.shape == (1,)
    executor.backward([mx.nd.ones(1, dtype=dtype)])
    return float(value.asscalar()), gradient.asnumpy()


def statistics(name, maps, dtype="float64", c=0.0):
    """The style target, by the same symbol as the picture's statistic."""
    symbols = losses.style_statistics(name, mx.sym.Variable("f"), positions=maps.shape[2] * maps.shape[3], poly_c=c)
    group = mx.sym.Group(list(symbols.values()))
    values = group.bind(mx.cpu(), arrays({"f": maps}, dtype)).forward()
    return {key: value.asnumpy() for key, value in zip(symbols, values, strict=True)}


def style_case(method, f, s, dtype="float64", seed=0):
    """(symbol, inputs, naive function of F as maps)"""
    name, c = ("poly", C) if method == "poly+c" else (method, 0.0)
    positions = f.shape[2] * f.shape[3]
    symbol = losses.style_loss(
        name, mx.sym.Variable("f"), "relu1_1", channels=f.shape[1], positions=positions, poly_c=c
    )
    inputs = {f"style.{name}.relu1_1.{key}": value for key, value in statistics(name, s, dtype, c).items()}
    functions = {
        "linear": lambda x: linear(columns(x), columns(s)),
        "gram": lambda x: poly(columns(x), columns(s), 0.0),
        "poly": lambda x: poly(columns(x), columns(s), 0.0),
        "poly+c": lambda x: poly(columns(x), columns(s), C),
        "bn": lambda x: eq11(columns(x), columns(s)),
    }
    if method != "gaussian":
        return symbol, inputs | {"f": f}, functions[method]
    drawn = losses.draw_pairs(positions, s.shape[2] * s.shape[3], np.random.default_rng(seed))
    inputs |= {f"style.gaussian.relu1_1.{key}": pairs for key, pairs in drawn.items()}
    held = sampled_distances(columns(f), columns(s), *drawn.values()).mean()  # sigma^2, at this F
    return symbol, inputs | {"f": f}, lambda x: gaussian(columns(x), columns(s), *drawn.values(), held)


@pytest.mark.parametrize("method", METHODS)
def test_style_loss_and_gradient_are_those_of_the_equation(method):
    f, s = features(HEIGHT, WIDTH, 1), features(STYLE_HEIGHT, STYLE_WIDTH, 2)
    symbol, inputs, naive = style_case(method, f, s)
    value, gradient = value_and_gradient(symbol, inputs)
    assert value == pytest.approx(naive(f), rel=1e-10)
    np.testing.assert_allclose(gradient, central_differences(naive, f), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_is_that_of_the_symbol_itself(method):
    """Central differences of the float64 symbol; sigma^2 moves with F there, so gaussian is left to the test above."""
    if method == "gaussian":
        pytest.skip("sigma^2 is held in the gradient, not in the value")
    f, s = features(HEIGHT, WIDTH, 3), features(STYLE_HEIGHT, STYLE_WIDTH, 4)
    symbol, inputs, _ = style_case(method, f, s)
    gradient = value_and_gradient(symbol, inputs)[1]
    numeric = central_differences(lambda x: value_and_gradient(symbol, inputs | {"f": x})[0], f)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_gaussian_bandwidth_carries_no_gradient():
    """With sigma^2 moving with F the gradient is another one: the hold is visible."""
    f, s = features(HEIGHT, WIDTH, 3), features(STYLE_HEIGHT, STYLE_WIDTH, 4)
    symbol, inputs, naive = style_case("gaussian", f, s)
    gradient = value_and_gradient(symbol, inputs)[1]
    moving = central_differences(lambda x: value_and_gradient(symbol, inputs | {"f": x})[0], f)
    np.testing.assert_allclose(gradient, central_differences(naive, f), rtol=1e-6, atol=1e-8)
    assert np.abs(gradient - moving).max() > 0.01 * np.abs(gradient).max()


def test_poly_with_c_0_is_gram_and_eq_6_8_and_9_agree():
    f, s = features(HEIGHT, WIDTH, 5), features(HEIGHT, WIDTH, 6)  # M_F = M_S, as in Eq. 6
    expected = eq6(columns(f), columns(s))
    assert eq8(columns(f), columns(s)) == pytest.approx(expected, rel=1e-12)
    assert poly(columns(f), columns(s), 0.0) == pytest.approx(expected, rel=1e-12)
    values = [value_and_gradient(*style_case(method, f, s)[:2]) for method in ("gram", "poly")]
    for value, _ in values:
        assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(values[0][1], values[1][1])


@pytest.mark.parametrize("method", METHODS)
def test_the_style_itself_costs_nothing(method):
    """Value and gradient are 0 at F = S, but for the gaussian estimate, which is unbiased, not zero."""
    s = features(HEIGHT, WIDTH, 7)
    symbol, inputs, _ = style_case(method, s, s)
    value, gradient = value_and_gradient(symbol, inputs)
    if method == "gaussian":
        assert abs(value) < 1
    else:
        assert value == pytest.approx(0, abs=1e-20)
        np.testing.assert_allclose(gradient, 0, atol=1e-14)


def test_content_loss_is_eq_4():
    f, p = features(HEIGHT, WIDTH, 8), features(HEIGHT, WIDTH, 9)

    def eq4(x):
        return sum((x[index] - p[index]) ** 2 for index in np.ndindex(x.shape)) / 2

    symbol = losses.content_loss(mx.sym.Variable("f"))
    value, gradient = value_and_gradient(symbol, {"f": f, "content.features": p})
    assert value == pytest.approx(eq4(f), rel=1e-12)
    np.testing.assert_allclose(gradient, central_differences(eq4, f), rtol=1e-6, atol=1e-8)


def test_total_variation_is_half_the_squared_differences_of_neighbours():
    x = features(4, 5, 10, channels=3) - 0.5

    def naive(x):
        _, channels, height, width = x.shape
        total = 0.0
        for c, i, j in itertools.product(range(channels), range(height), range(width)):
            total += (x[0, c, i + 1, j] - x[0, c, i, j]) ** 2 if i + 1 < height else 0.0
            total += (x[0, c, i, j + 1] - x[0, c, i, j]) ** 2 if j + 1 < width else 0.0
        return total / 2

    value, gradient = value_and_gradient(losses.total_variation(mx.sym.Variable("f")), {"f": x})
    assert value == pytest.approx(naive(x), rel=1e-12)
    np.testing.assert_allclose(gradient, central_differences(naive, x), rtol=1e-6, atol=1e-8)


# bn where a channel does not vary


@pytest.mark.parametrize("constant", [0.0, 3.0, 1e-3, 150.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bn_of_a_constant_channel_is_exact_and_its_sigma_has_gradient_0(constant, dtype):
    f, s = features(40, 25, 11), features(STYLE_HEIGHT, STYLE_WIDTH, 12)
    f[0, 1] = constant
    symbol, inputs, naive = style_case("bn", f, s, dtype)
    value, gradient = value_and_gradient(symbol, inputs, dtype)
    assert value == pytest.approx(naive(f), rel=1e-5 if dtype == "float32" else 1e-10)
    mean_part = 2 * (constant - columns(s)[1].mean()) / (N * 40 * 25)  # of (mu_F - mu_S)^2 / N
    np.testing.assert_allclose(gradient[0, 1], mean_part, rtol=1e-4)
    assert np.isfinite(gradient).all()


def test_bn_of_a_constant_style_channel_is_exact():
    f, s = features(HEIGHT, WIDTH, 13), features(STYLE_HEIGHT, STYLE_WIDTH, 14)
    s[0, 2] = 0.7
    symbol, inputs, naive = style_case("bn", f, s)
    value, gradient = value_and_gradient(symbol, inputs)
    assert value == pytest.approx(naive(f), rel=1e-10)
    np.testing.assert_allclose(gradient, central_differences(naive, f), rtol=1e-6, atol=1e-8)


def test_bn_of_a_small_deviation_about_a_large_mean_is_exact():
    """E[F^2] - mu^2 in float32 would be off by more than sigma^2 here, and a gradient from it by more than itself."""
    f, s = features(40, 25, 15), features(STYLE_HEIGHT, STYLE_WIDTH, 16)
    f[0, 0] = 500 + 0.05 * np.random.default_rng(0).standard_normal((40, 25))
    f[0, 1:], s[0, 1:], s[0, 0] = 1, 1, 500
    value, gradient = value_and_gradient(*style_case("bn", f, s, "float32")[:2], "float32")
    assert value == pytest.approx(eq11(columns(f), columns(s)), rel=1e-2)
    centred = f[0, 0] - f[0, 0].mean()
    expected = 2 * ((f[0, 0].mean() - 500) + centred) / (N * f[0, 0].size)  # sigma_S = 0: of (mu diff)^2 + sigma^2
    np.testing.assert_allclose(gradient[0, 0], expected, atol=2e-2 * np.abs(expected).max())


# gaussian: which pairs, and what their mean estimates


@pytest.mark.parametrize(("positions", "style_positions"), [(15, 6), (16, 7), (2, 2), (3, 40), (101, 3)])
def test_pairs_cover_the_picture_once_and_take_two_distinct_style_positions(positions, style_positions):
    drawn = losses.draw_pairs(positions, style_positions, np.random.default_rng(0))
    pairs, style_pairs = drawn["pairs"], drawn["style_pairs"]
    assert pairs.shape == style_pairs.shape == (positions // 2, 2)
    assert pairs.dtype == style_pairs.dtype == np.int32
    assert len(set(pairs.ravel().tolist())) == pairs.size  # disjoint
    assert pairs.min() >= 0 and pairs.max() < positions
    assert style_pairs.min() >= 0 and style_pairs.max() < style_positions
    assert (style_pairs[:, 0] != style_pairs[:, 1]).all()
    per_permutation = style_positions // 2
    for first in range(0, len(style_pairs), per_permutation):  # each permutation is used without repeats
        used = style_pairs[first : first + per_permutation].ravel().tolist()
        assert len(set(used)) == len(used)


def test_each_set_of_pairs_is_as_probable():
    """Four positions fall into two pairs in three ways, and the style's into two ordered pairs in 24. The picture's
    come in the order of their first positions; the style's, in an order of their own, fall to them at random."""
    draws = [losses.draw_pairs(4, 4, np.random.default_rng(seed)) for seed in range(7200)]
    assert all((np.diff(drawn["pairs"][:, 0]) > 0).all() for drawn in draws)
    ways = Counter((frozenset(map(frozenset, d["pairs"].tolist())), d["style_pairs"].tobytes()) for d in draws)
    assert len(ways) == 3 * 24
    assert 55 < min(ways.values()) and max(ways.values()) < 145  # 100 each, within four and a half standard deviations


def test_pairs_are_those_of_the_seed():
    first, again, other = (losses.draw_pairs(15, 6, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all((first[key] == again[key]).all() for key in first)
    assert (first["pairs"] != other["pairs"]).any() and (first["style_pairs"] != other["style_pairs"]).any()


@pytest.mark.parametrize(("positions", "style_positions"), [(1, 6), (6, 1)])
def test_pairs_need_two_positions(positions, style_positions):
    with pytest.raises(InputError, match="two positions"):
        losses.draw_pairs(positions, style_positions, np.random.default_rng(0))


@pytest.mark.parametrize("style_shape", [(2, 3), (4, 5)], ids=["M_S < M_F", "M_S > M_F"])
def test_gaussian_is_unbiased(style_shape):
    """Its mean over seeds is the full U-statistic, sigma^2 held."""
    f, s = columns(features(HEIGHT, WIDTH, 17)), columns(features(*style_shape, 18) + 0.8)
    bandwidth = 2.0

    def k(a, b):
        return np.exp(-((a[:, :, None] - b[:, None, :]) ** 2).sum(0) / (2 * bandwidth))

    def off_diagonal_mean(kernels):
        n = len(kernels)
        return (kernels.sum() - np.trace(kernels)) / (n * (n - 1))

    expected = off_diagonal_mean(k(f, f)) + off_diagonal_mean(k(s, s)) - 2 * k(f, s).mean()
    draws = [
        gaussian(f, s, *losses.draw_pairs(f.shape[1], s.shape[1], np.random.default_rng(seed)).values(), bandwidth)
        for seed in range(20_000)
    ]
    z = (np.mean(draws) - expected) / (np.std(draws) / np.sqrt(len(draws)))
    assert abs(z) < 4
    assert 4 * np.std(draws) / np.sqrt(len(draws)) < 0.05 * expected  # so a bias of a twentieth would be seen


def test_gaussian_bandwidth_is_the_mean_squared_distance_of_the_sampled_pairs():
    """So the value does not change when all features are scaled."""
    f, s = features(HEIGHT, WIDTH, 19), features(STYLE_HEIGHT, STYLE_WIDTH, 20)
    value, gradient = value_and_gradient(*style_case("gaussian", f, s)[:2])
    scaled, scaled_gradient = value_and_gradient(*style_case("gaussian", 37 * f, 37 * s)[:2])
    assert scaled == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(37 * scaled_gradient, gradient, rtol=1e-8, atol=1e-12)


def test_gaussian_of_samples_that_all_agree_is_0():
    f, s = np.full((1, N, 3, 4), 2.0), np.full((1, N, 2, 2), 2.0)
    value, gradient = value_and_gradient(*style_case("gaussian", f, s)[:2])
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


# float32, at the size of relu1_1 of a picture


@pytest.mark.parametrize("method", METHODS)
def test_float32_of_a_large_layer_keeps_its_digits(method):
    """M_F = 40,000; the statistics are those of the double sums above, in closed form."""
    f, s = 45 * features(200, 200, 21, channels=64), 45 * (features(150, 160, 22, channels=64) + 0.3)
    symbol, inputs, naive = style_case(method, f, s, "float32")
    value, gradient = value_and_gradient(symbol, inputs, "float32")
    rows, target = columns(f), columns(s)
    m, n = rows.shape[1], 64
    mu, mu_s = rows.mean(1, keepdims=True), target.mean(1, keepdims=True)
    if method in ("linear", "bn"):
        expected, slope = ((mu - mu_s) ** 2).sum() / n, 2 * (mu - mu_s) / (n * m) + 0 * rows
        if method == "bn":
            sigma, sigma_s = rows.std(1, keepdims=True), target.std(1, keepdims=True)
            expected += ((sigma - sigma_s) ** 2).sum() / n
            slope = slope + 2 * (sigma - sigma_s) * (rows - mu) / (n * m * sigma)
    elif method == "gaussian":
        expected, slope = naive(f), None
    else:
        c = C if method == "poly+c" else 0.0
        difference = rows @ rows.T / m - target @ target.T / target.shape[1]
        expected = ((difference**2).sum() + 2 * c * ((mu - mu_s) ** 2).sum()) / (4 * n**2)
        slope = (4 * difference @ rows / m + 4 * c * (mu - mu_s) / m) / (4 * n**2)
    assert value == pytest.approx(expected, rel=1e-4 if method == "gaussian" else 2e-5)
    if slope is not None:
        assert np.linalg.norm(columns(gradient) - slope) < 1e-4 * np.linalg.norm(slope)


# The symbols as parts of somebody's own graph


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_is_named_by_method_and_layer(method):
    symbol, inputs, _ = style_case(method, features(3, 5, 0), features(2, 3, 1))
    name = method.removesuffix("+c")
    assert symbol.list_outputs() == [f"style.{name}.relu1_1_output"]
    assert symbol.name == f"style.{name}.relu1_1"
    assert all(each.startswith(f"style.{name}.relu1_1.") for each in set(inputs) - {"f"})


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_works_in_a_users_graph_saved_as_json(method):
    """Half of an own function of an own variable plus twice the loss of its square, through JSON."""
    f, s = features(HEIGHT, WIDTH, 23) + 0.1, features(STYLE_HEIGHT, STYLE_WIDTH, 24)
    _, inputs, naive = style_case(method, f**2, s)
    name, c = ("poly", C) if method == "poly+c" else (method, 0.0)
    own = mx.sym.Variable("mine")
    loss = losses.style_loss(name, own * own, "relu1_1", channels=N, positions=M_F, poly_c=c)
    graph = mx.sym.sum(own) * 0.5 + 2 * loss
    loaded = mx.sym.load_json(graph.tojson())
    value, gradient = value_and_gradient(loaded, inputs | {"mine": f}, wrt="mine")
    assert value == pytest.approx(0.5 * f.sum() + 2 * naive(f**2), rel=1e-10)
    numeric = central_differences(lambda x: 0.5 * x.sum() + 2 * naive(x**2), f)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)


def test_content_and_total_variation_survive_json():
    own = mx.sym.Variable("f")
    graph = mx.sym.load_json((losses.content_loss(own) + losses.total_variation(own)).tojson())
    f, p = features(3, 4, 25), features(3, 4, 26)
    value, _ = value_and_gradient(graph, {"f": f, "content.features": p})
    variation = (np.diff(f, axis=2) ** 2).sum() + (np.diff(f, axis=3) ** 2).sum()
    assert value == pytest.approx(((f - p) ** 2).sum() / 2 + variation / 2, rel=1e-12)


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown method 'wct'; known are linear, poly, gaussian, bn, gram"):
        losses.method("wct")
