"""beta' makes the gradient norms of style and content equal on the picture (paper, section 4), at a textured point."""

import numpy as np
import pytest
from small_transfer import LAYERS, small_config

from model_zoo.errors import InputError
from model_zoo.weights import Weights
from neural_style_mmd import calibrate, transfer
from neural_style_mmd.calibration import calibration_point
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
    assert given.style_norms == measured.style_norms  # measured and recorded all the same
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


def test_the_gaussian_method_is_measured_on_the_fixed_draw(setting):
    first, second = (setting(method=("gaussian",)).measure_balance() for _ in range(2))
    assert first == second


def test_calibrate_gives_what_transfer_uses(pictures):
    balances = calibrate(*pictures, small_config(), METHODS)
    assert tuple(balances) == METHODS
    for method in ("bn", "gaussian"):
        record = transfer(*pictures, small_config(method=(method,), iterations=1)).record
        assert record["balance"] == balances[method].as_dict()


def test_calibrate_without_a_content_term_is_an_error(pictures):
    with pytest.raises(InputError, match="alpha is 0"):
        calibrate(*pictures, small_config(alpha=0.0))


def test_a_style_gradient_of_0_cannot_be_balanced(setting):
    with pytest.raises(InputError, match="poly style loss has norm 0") as caught:
        setting(layer_weights=(0.0, 0.0)).measure_balance()
    assert "\n" not in str(caught.value)


def test_without_content_the_point_is_noise_of_a_pictures_contrast():
    point, name = calibration_point(small_config(alpha=0.0), (1, 3, 30, 30), None)
    assert 95 < np.abs(point).max() <= 100 and "100" in name


# A step does not depend on arbitrary scales


def first_steps(pictures, **changes):
    trace = transfer(*pictures, small_config(iterations=4, **changes)).record["trace"]
    return [(entry["change"], entry["gradient_norm"]) for entry in trace]


def test_alpha_and_gamma_scaled_together_change_nothing(pictures):
    """Only their ratio is a choice; Eq. 3's scale is not."""
    for optimizer in ("sgd", "lbfgs"):
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
