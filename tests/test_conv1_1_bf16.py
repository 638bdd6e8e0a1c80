"""conv1_1 in bfloat16 as two convolutions, of which the first only puts neighbours side by side: a 3 x 3 correlation
with zeros around the picture, as VGG-19's, and its gradient, but for rounding."""

import numpy as np
import pytest
from bf16_cpu import BFLOAT16, needs_bf16
from bound_convolution import bound_convolution
from naive_convolution import naive_convolution

from neural_style_mmd import vgg19_symbol
from neural_style_mmd._mxnet import mx
from neural_style_mmd.conv1_1_bf16 import conv1_1, conv1_1_parameters
from neural_style_mmd.network import parameters_in

ARITHMETIC = [pytest.param(np.float32, 1e-5, id="float32"), pytest.param(BFLOAT16, 0.02, marks=needs_bf16, id="bf16")]
SIZES = [(16, 24), (17, 19), (5, 1), (1, 6), (1, 1)]


def bound(x, weight, bias, kind):
    """conv1_1 of x (3, H, W), its numbers of the type `kind`."""
    return bound_convolution(conv1_1, conv1_1_parameters(weight) | {"conv1_1_bias": bias}, x, kind)


@pytest.mark.parametrize(("kind", "error"), ARITHMETIC)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_correlation_with_its_bias(size, kind, error):
    rng = np.random.default_rng(1)
    x, weight, bias = rng.standard_normal((3, *size)), rng.standard_normal((64, 3, 3, 3)), rng.standard_normal(64)
    found = bound(x, weight, bias, kind).forward(is_train=True)[0].asnumpy()[0]
    expected = naive_convolution(x, weight, bias)
    np.testing.assert_allclose(found, expected, atol=error * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "error"), ARITHMETIC)
@pytest.mark.parametrize("size", SIZES)
def test_its_gradient_is_the_correlation_with_the_kernels_turned_and_transposed(size, kind, error):
    rng = np.random.default_rng(2)
    weight, head = rng.standard_normal((64, 3, 3, 3)), rng.standard_normal((64, *size))
    executor = bound(rng.standard_normal((3, *size)), weight, np.zeros(64), kind)
    executor.forward(is_train=True)
    executor.backward([mx.nd.array(head[None])])
    expected = naive_convolution(head, weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), np.zeros(3))
    found = executor.grad_dict["data"].asnumpy()[0]
    np.testing.assert_allclose(found, expected, atol=error * np.abs(expected).max())


@needs_bf16
def test_numbers_of_bfloat16_and_their_sums_are_exact():
    """Whole numbers of eight bits: nothing is rounded but the result, which here has no more bits either."""
    rng = np.random.default_rng(3)
    x, weight = rng.integers(-2, 3, (3, 12, 16)), rng.integers(-1, 2, (64, 3, 3, 3))
    expected = naive_convolution(x, weight, np.zeros(64))
    assert 20 < np.abs(expected).max() <= 2**8
    found = bound(x, weight, np.zeros(64), BFLOAT16).forward(is_train=True)[0].asnumpy()[0]
    np.testing.assert_array_equal(found, expected)


def test_the_network_has_it_in_bf16_alone():
    made, weight = set(conv1_1_parameters(np.zeros((64, 3, 3, 3)))), "conv1_1_weight"
    low = vgg19_symbol(["relu1_1"], precision="bf16")["relu1_1"].list_arguments()
    assert made < set(low) and weight not in low
    high = vgg19_symbol(["relu1_1"])["relu1_1"].list_arguments()
    assert weight in high and not made & set(high)


@needs_bf16
def test_its_weight_is_rounded_to_bfloat16_once():
    """The sixteen bits that bfloat16 lacks are 0, and what is left is within half of its last place, 2^-8."""
    weight = np.random.default_rng(4).standard_normal((64, 3, 3, 3)).astype(np.float32)
    network = {"conv1_1_weight": mx.nd.array(weight), "conv1_1_bias": mx.nd.zeros(64)}
    rounded = mx.nd.amp_cast(parameters_in("bf16", network)["conv1_1_columns"], dtype=np.float32).asnumpy()
    assert not (rounded.view(np.uint32) & 0xFFFF).any()
    kernels = rounded[:, :9, :, 0].reshape(64, 3, 3, 3).transpose(0, 2, 3, 1)  # of (column, colour), then the row
    np.testing.assert_allclose(kernels, weight, rtol=2.0**-8)
    assert not rounded[:, 9:].any()
