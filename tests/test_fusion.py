"""Fusion (paper, section 4.2): L = alpha L_content + gamma sum_m f_m beta'_m L_m, each beta'_m calibrated alone."""

import numpy as np
import pytest
from small_transfer import LAYERS, small_config

from neural_style_mmd import transfer

pytestmark = pytest.mark.usefixtures("small_network")


def run(pictures, **changes):
    return transfer(*pictures, small_config(**changes))


def test_the_objective_is_the_weighted_sum(pictures):
    record = run(
        pictures, method=("bn", "poly"), fusion=(0.3, 0.7), gamma=2.5, alpha=1.5, layer_weights=(1.0, 0.5)
    ).record
    beta = record["balance"]["beta_prime"]
    for entry in record["trace"]:
        terms = entry["terms"]
        expected = 1.5 * terms["content"]
        for method, f in (("bn", 0.3), ("poly", 0.7)):
            style = terms[f"style.{method}.relu1_1"] + 0.5 * terms[f"style.{method}.relu2_1"]
            expected += 2.5 * f * beta[method] * style
        assert entry["total"] == pytest.approx(expected, rel=1e-9)


def test_the_descent_follows_that_sum(pictures):
    """The weights of the terms are what is minimised: a method with fusion 0 does not move the picture."""
    both = run(pictures, method=("bn", "poly"), fusion=(1.0, 0.0))
    alone = run(pictures, method=("bn",))
    assert np.abs(both.image.astype(int) - alone.image).max() <= 1
    half = run(pictures, method=("bn", "poly"), fusion=(0.5, 0.5))
    assert (half.image != alone.image).any()


@pytest.mark.parametrize("methods", [("bn", "poly"), ("linear", "gaussian")])
def test_each_beta_prime_is_that_of_the_method_alone(methods, pictures):
    together = run(pictures, method=methods, fusion=(0.9, 0.1), iterations=1).record["balance"]
    for method in methods:
        alone = run(pictures, method=(method,), iterations=1).record["balance"]
        assert together["beta_prime"][method] == pytest.approx(alone["beta_prime"][method], rel=1e-5)
        assert together["style_norms"][method]["total"] == pytest.approx(
            alone["style_norms"][method]["total"], rel=1e-5
        )


def test_swapping_the_weights_is_another_picture_and_swapping_both_is_the_same(pictures):
    first = run(pictures, method=("linear", "bn"), fusion=(0.2, 0.8))
    other = run(pictures, method=("linear", "bn"), fusion=(0.8, 0.2))
    renamed = run(pictures, method=("bn", "linear"), fusion=(0.8, 0.2))
    assert (first.image != other.image).any()
    assert np.abs(renamed.image.astype(int) - first.image).max() <= 1
    assert first.record["balance"]["term_weights"]["style.bn.relu1_1"] == pytest.approx(
        4 * other.record["balance"]["term_weights"]["style.bn.relu1_1"]
    )


def test_equal_weights_are_the_default_and_names_may_be_capital(pictures):
    default = run(pictures, method=("BN", "Poly"), iterations=1).record
    half = run(pictures, method=("bn", "poly"), fusion=(0.5, 0.5), iterations=1).record
    assert default["output"] == half["output"]
    assert default["config"]["method"] == ["bn", "poly"]


def test_a_given_beta_prime_goes_to_its_method(pictures):
    balance = run(pictures, method=("bn", "poly"), beta_prime=(2.0, 3.0), fusion=(0.5, 0.25), iterations=1).record[
        "balance"
    ]
    assert balance["beta_prime"] == {"bn": 2.0, "poly": 3.0}
    for layer in LAYERS:
        assert balance["term_weights"][f"style.bn.{layer}"] == pytest.approx(1.0)
        assert balance["term_weights"][f"style.poly.{layer}"] == pytest.approx(0.75)
