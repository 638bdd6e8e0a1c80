"""beta' makes the gradient norms of style and content equal on the picture (paper, section 4), at a textured point."""

import numpy as np
import pytest
from small_transfer import LAYERS, small_config

from model_zoo import samples
from model_zoo.errors import InputError
from model_zoo.weights import Weights
from neural_style_mmd import calibrate, transfer
from neural_style_mmd.calibration import calibration_point
from neural_style_mmd.images import read_picture
from neural_style_mmd.stylization import prepare

pytestmark = pytest.mark.usefixtures("small_network")
METHODS = ("linear", "poly", "gaussian", "bn", "gram")


def norm(objective, point, weights):
    return np.linalg.norm(objective.evaluate(point, weights).gradient.astype(np.float64))


def style_heads(method, factor=1.0):
    return {f"style.{method}.{layer}": factor for layer in LAYERS}


@pytest.fixture
def setting(pictures):
    def make(**changes):
        content = None if changes.get("alpha") == 0 else pictures[0]
        return prepare(content, pictures[1], small_config(**changes))

    return make


@pytest.mark.parametrize("method", METHODS)
def test_beta_prime_makes_the_norms_equal_at_the_point(method, setting):
    chosen = setting(method=(method,))
    balance = chosen.measure_balance()
    content = norm(chosen.objective, chosen.point, {"content": 1.0})
    style = norm(chosen.objective, chosen.point, style_heads(method))
    assert balance.content_norm == pytest.approx(content, rel=1e-6)
    assert balance.style_norms[method]["total"] == pytest.approx(style, rel=1e-4)
    assert balance.beta_prime[method] * style == pytest.approx(content, rel=0.01)
    assert balance.ratio_at_point == pytest.approx(1, abs=0.01)


def test_norms_of_the_layers_are_given_too(setting):
    chosen = setting(method=("bn",), layer_weights=(1.0, 3.0))
    norms = chosen.measure_balance().style_norms["bn"]
    for layer in LAYERS:
        expected = norm(chosen.objective, chosen.point, {f"style.bn.{layer}": 1.0})
        assert norms["layers"][layer] == pytest.approx(expected, rel=1e-6)
    total = norm(chosen.objective, chosen.point, {"style.bn.relu1_1": 1.0, "style.bn.relu2_1": 3.0})
    assert norms["total"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
def test_gamma_is_the_ratio_at_the_point(gamma, setting):
    """beta = gamma beta', so beta' does not depend on gamma."""
    balance, one = setting(gamma=gamma).measure_balance(), setting().measure_balance()
    assert balance.beta_prime == one.beta_prime
    assert balance.ratio_at_point == pytest.approx(gamma, rel=0.01)


@pytest.mark.parametrize("init", ["noise", "content"])
def test_the_point_is_textured_whatever_the_start(init, setting, pictures):
    chosen = setting(init=init, init_amplitude=0.1)
    x_content = prepare(*pictures, small_config(init="content")).start
    difference = chosen.point - x_content
    assert 19 < np.abs(difference).max() <= 20.001
    assert difference.std() == pytest.approx(20 / np.sqrt(3), rel=0.05)
    assert chosen.measure_balance().beta_prime == setting().measure_balance().beta_prime
    assert "content" in chosen.point_name and "20" in chosen.point_name


def test_the_ratio_at_the_start_is_measured_at_the_start(setting):
    chosen = setting()
    balance = chosen.measure_balance()
    content = norm(chosen.objective, chosen.start, {"content": 1.0})
    style = norm(chosen.objective, chosen.start, style_heads("poly", balance.beta_prime["poly"]))
    assert balance.ratio_at_start == pytest.approx(style / content, rel=1e-4)
    assert abs(balance.ratio_at_start - 1) > 0.05  # the flat start is another point
    assert setting(init="content").measure_balance().ratio_at_start is None  # its content gradient is 0


def test_a_given_beta_prime_is_used(setting, pictures):
    measured = setting().measure_balance()
    given = setting(beta_prime=(3 * measured.beta_prime["poly"],)).measure_balance()
    assert given.beta_prime["poly"] == 3 * measured.beta_prime["poly"]
    assert given.ratio_at_point == pytest.approx(3, rel=0.01)
    total = measured.style_norms["poly"]["total"]
    assert given.style_norms == {
        "poly": {"total": pytest.approx(total, rel=1e-5), "layers": {}}
    }  # measured all the same
    record = transfer(*pictures, small_config(beta_prime=(7.5,), iterations=1)).record
    first = record["trace"][0]
    expected = first["terms"]["content"] + 7.5 * sum(first["terms"][name] for name in style_heads("poly"))
    assert record["balance"]["beta_prime"] == {"poly": 7.5}
    assert first["total"] == pytest.approx(expected, rel=1e-6)


def test_reconstruction_has_beta_1_and_no_ratio(setting):
    balance = setting(alpha=0.0, gamma=1.0, method=("bn",), layer_weights=(0.5, 2.0)).measure_balance()
    assert balance.beta_prime == {"bn": 1.0}
    assert balance.term_weights == {"style.bn.relu1_1": 0.5, "style.bn.relu2_1": 2.0}
    assert (balance.content_norm, balance.ratio_at_point, balance.ratio_at_start) == (None, None, None)
    assert balance.style_norms["bn"]["layers"] == {}


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [
        ({}, 1 + 2 + 2),  # content, each layer, and both again at the start
        ({"method": ("bn", "poly")}, 1 + 2 * 2 + 2),
        ({"init": "content"}, 1 + 2 + 1),  # at the content picture its gradient is 0: no ratio
        ({"beta_prime": (2.0,)}, 1 + 1 + 2),  # a figure's cell
        ({"method": ("bn", "poly"), "beta_prime": (2.0, 3.0)}, 1 + 2 + 2),
        ({"balance": "release"}, 1 + 1 + 2),
        ({"alpha": 0.0}, 1),  # nothing to balance
    ],
    ids=str,
)
def test_no_gradient_is_measured_that_follows_from_others(changes, evaluations, setting, monkeypatch):
    chosen, seen = setting(**changes), []
    evaluate = chosen.objective.evaluate
    monkeypatch.setattr(chosen.objective, "evaluate", lambda *what: seen.append(what) or evaluate(*what))
    chosen.measure_balance()
    assert len(seen) == evaluations


@pytest.mark.parametrize(
    "changes",
    [{}, {"beta_prime": (2.0, 3.0)}, {"balance": "release", "layer_scale": "release"}, {"layer_weights": (0.5, 2.0)}],
    ids=str,
)
def test_the_ratio_at_the_point_is_that_of_the_weights_that_are_used(changes, setting):
    """It is put together from gradients of single terms; measured here from the whole, with the terms' weights."""
    chosen = setting(method=("bn", "poly"), fusion=(0.3, 0.7), gamma=2.5, alpha=1.5, **changes)
    balance = chosen.measure_balance()
    style = {name: weight for name, weight in balance.term_weights.items() if name != "content"}
    content = norm(chosen.objective, chosen.point, {"content": balance.term_weights["content"]})
    assert balance.term_weights["content"] == 1.5 and len(style) == 4
    assert balance.ratio_at_point == pytest.approx(norm(chosen.objective, chosen.point, style) / content, rel=1e-4)
    whole = norm(chosen.objective, chosen.point, balance.term_weights)
    assert balance.step_scale == pytest.approx(3 * 24 * 32 / whole, rel=1e-4)  # 3HW


def test_total_variation_has_no_part_in_the_scale_of_a_step(setting):
    with_it, without = (setting(tv_weight=weight).measure_balance() for weight in (5.0, 0.0))
    assert with_it.step_scale == without.step_scale


def test_the_gaussian_method_is_measured_on_the_fixed_draw(setting):
    first, second = (setting(method=("gaussian",)).measure_balance() for _ in range(2))
    assert first == second


def test_calibrate_gives_what_transfer_uses(pictures):
    balances = calibrate(*pictures, small_config(), METHODS)
    assert tuple(balances) == METHODS
    for method in ("bn", "gaussian"):
        record = transfer(*pictures, small_config(method=(method,), iterations=1)).record
        assert record["balance"] == balances[method].as_dict()


def test_calibrate_reads_pictures_and_network_once(pictures, network, monkeypatch):
    read, loaded = [], []
    monkeypatch.setattr("model_zoo.load", lambda name, **options: loaded.append(name) or network)
    monkeypatch.setattr("neural_style_mmd.setting.read_picture", lambda path: read.append(path) or read_picture(path))
    balances = calibrate(*pictures, small_config(init=str(pictures[1])), METHODS)
    assert len(balances) == 5 and read == [*pictures, str(pictures[1])] and loaded == ["auto"]


def test_calibrate_without_a_content_term_is_an_error(pictures):
    with pytest.raises(InputError, match="alpha is 0"):
        calibrate(*pictures, small_config(alpha=0.0))


def test_pictures_of_one_colour_can_be_balanced(tmp_path, small_network):
    """Texture is in the point, so it needs none of the pictures; and they need not differ."""
    grey = np.full((20, 20, 3), 90, np.uint8)
    assert 0 < prepare(grey, grey, small_config()).measure_balance().beta_prime["poly"] < np.inf


def scaled(network, factor):
    """`network` with every weight times `factor`, the biases as they are."""
    parameters = {
        name: array if name.endswith("bias") else array * np.float32(factor)
        for name, array in network.parameters.items()
    }
    return Weights(parameters, network.preprocessing, "unverified", "other", "small, altered")


@pytest.mark.parametrize(
    ("changes", "alter", "words"),
    [
        ({"layer_weights": (0.0, 0.0)}, {}, ["poly style loss has norm 0", "every --layer-weights is 0"]),
        ({"layer_weights": (0.0, 0.0), "beta_prime": (2.0,)}, {}, ["every --layer-weights is 0"]),
        ({"alpha": 0.0, "gamma": 0.0}, {}, ["objective has norm 0", "--alpha is 0", "--gamma"]),
        ({}, {"factor": 0.0}, ["content loss has norm 0", "no feature of relu2_1 changes with the picture"]),
        ({"alpha": 0.0}, {"factor": 0.0}, ["poly style loss", "no feature of relu1_1,relu2_1 changes", "--weights"]),
        ({"beta_prime": (2.0,)}, {"factor": 0.0}, ["content loss has norm 0", "--weights"]),
        ({"method": ("gaussian",), "bandwidth": 1e-9}, {}, ["gaussian style loss has norm 0", "--bandwidth"]),
        ({}, {"factor": 5e3}, ["beyond float32", "--weights"]),
    ],
    ids=str,
)
def test_a_gradient_that_cannot_be_balanced_is_told_with_its_cause(changes, alter, words, pictures, network):
    content = None if changes.get("alpha") == 0 else pictures[0]
    weights = scaled(network, **alter) if alter else network
    with pytest.raises(InputError) as caught:
        prepare(content, pictures[1], small_config(**changes), weights=weights).measure_balance()
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value) and "differ" not in str(caught.value)
    assert "--beta-prime" not in str(caught.value)


def test_without_content_the_point_is_the_noise_alone():
    point, name = calibration_point(small_config(alpha=0.0), (1, 3, 30, 30), None)
    assert 19 < np.abs(point).max() <= 20 and "20" in name


def test_a_poly_reconstruction_leaves_the_flat_start():
    # Its gradient falls with the features: scaled by the gradient at strong noise, a step would be nothing there.
    config = small_config(alpha=0.0, method=("poly",), size=64, iterations=80, weights="surrogate")
    trace = transfer(None, samples.pair(0, 64).style, config).record["trace"]
    assert trace[-1]["total"] < 0.5 * trace[0]["total"]


# A step does not depend on arbitrary scales


def first_steps(pictures, **changes):
    trace = transfer(*pictures, small_config(iterations=4, **changes)).record["trace"]
    return [(entry["change"], entry["gradient_norm"]) for entry in trace]


def test_alpha_and_gamma_scaled_together_change_nothing(pictures):
    """Only their ratio is a choice; Eq. 3's scale is not."""
    for optimizer in ("sgd", "lbfgs", "preconditioned-nag"):
        one = first_steps(pictures, optimizer=optimizer, alpha=1.0, gamma=2.0)
        hundred = first_steps(pictures, optimizer=optimizer, alpha=100.0, gamma=200.0)
        np.testing.assert_allclose(hundred, one, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_networks_scale_changes_nothing(method, pictures, network, monkeypatch):
    """Every feature 1000 times smaller: content loss 1e6, poly loss 1e12 times smaller, the same steps."""
    one = first_steps(pictures, method=(method,))
    parameters = {name: array / np.float32(1000) if "bias" in name or name == "conv1_1_weight" else array
                  for name, array in network.parameters.items()}  # fmt: skip
    scaled = Weights(parameters, network.preprocessing, "unverified", "scaled", "small, divided by 1000")
    monkeypatch.setattr("model_zoo.load", lambda name, **options: scaled)
    np.testing.assert_allclose(first_steps(pictures, method=(method,)), one, rtol=1e-3)
