"""MXNet's functions of its operators, made when they are first asked for: the same as MXNet makes of all at once."""

import json
import subprocess
import sys

import numpy as np
import pytest

from neural_style_mmd._mxnet import mx

BY_MXNET = "import numpy; numpy.bool = bool; import mxnet as mx"
BY_THIS_PACKAGE = "from neural_style_mmd._mxnet import mx"
FUNCTIONS = """
import inspect, json, sys
found = {}
parts = "ndarray", "symbol", "numpy", "contrib.ndarray", "contrib.symbol"
for name in sorted(sys.modules):
    module = sys.modules[name]
    if name.startswith(tuple(f"mxnet.{part}" for part in parts)):
        for each in {*dir(module), *getattr(module, "__all__", [])}:
            value = getattr(module, each)
            if inspect.isfunction(value) and value.__code__.co_filename == "<string>":  # made by MXNet from a text
                # MXNet calls arrays of its NumPy otherwise in some of these texts.
                text = value.__doc__.replace("NDArray", "ndarray")
                about = value.__name__, value.__module__, str(inspect.signature(value)), text
                found[f"{name}.{each}"] = about
print(json.dumps(found))
"""


def in_a_process(*program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(program)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_function_is_there_with_the_same_name_module_signature_and_documentation():
    by_mxnet, by_this_package = (
        json.loads(in_a_process(start, FUNCTIONS).splitlines()[-1]) for start in (BY_MXNET, BY_THIS_PACKAGE)
    )
    assert len(by_mxnet) > 2000 and "mxnet.symbol._internal._hypot_scalar" in by_mxnet
    assert by_this_package == by_mxnet


def test_a_function_is_made_when_it_is_asked_for():
    program = """
internal = mx.nd._internal
assert "_hypot_scalar" not in vars(internal)
assert "_hypot_scalar" in dir(internal) and "_hypot_scalar" in internal.__all__
made = internal._hypot_scalar
assert vars(internal)["_hypot_scalar"] is made is internal._hypot_scalar
assert float(made(mx.nd.array([3.0]), scalar=4.0).asscalar()) == 5.0
"""
    in_a_process(BY_THIS_PACKAGE, program)


def test_operators_that_are_registered_again_are_made_again():
    """As mx.library.load does, which brings operators of a user's own."""
    program = """
import mxnet
def make(*operator):
    function = mxnet.symbol.register._make_symbol_function(*operator)
    function.made_again = True
    return function
relu, _ = mx.sym.relu, mx.sym._internal._hypot_scalar
mxnet.base._init_op_module("mxnet", "symbol", make)
assert mx.sym._internal._hypot_scalar.made_again and mx.sym._internal._plus_scalar.made_again
assert mx.sym.relu is relu
assert mx.sym._internal._hypot_scalar(mx.sym.Variable("x"), scalar=1.0).list_arguments() == ["x"]
"""
    in_a_process(BY_THIS_PACKAGE, program)


@pytest.mark.parametrize("module", [mx.nd._internal, mx.sym.contrib, mx.sym._internal], ids=lambda each: each.__name__)
def test_what_no_operator_is_called_is_an_attribute_error(module):
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'no_such_operator'"):
        module.no_such_operator  # noqa: B018


def test_numpys_functions_are_on_demand_too():
    assert mx.nd.np._internal.add.__module__ == "mxnet.ndarray.numpy._internal"
    np.testing.assert_array_equal(mx.np.hypot(mx.np.array([3.0]), 4.0).asnumpy(), [5.0])
