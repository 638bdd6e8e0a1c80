"""Who may import what, read from the source: model_zoo <- neural_style_mmd <- reproduce, and MXNet in one module."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"model_zoo": set(), "neural_style_mmd": {"model_zoo"}, "reproduce": {"model_zoo", "neural_style_mmd"}}
"""Package -> the packages of this project that it may import."""

MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60  # lines; "about 50" for a function
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
MAY_PRINT = {"cli.py", "__main__.py", "command_line.py"}
WITHOUT_MXNET = ("neural_style_mmd.config", "neural_style_mmd.stopping", "neural_style_mmd.cli", "model_zoo")
WITHOUT_MXNET += ("neural_style_mmd.stylization", "neural_style_mmd.rerun")  # threads are chosen before MXNet loads


def name(path):
    return path.relative_to(ROOT).as_posix()


def imports(path):
    """Absolute names of every module that `path` imports, anywhere in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            yield ".".join(part for part in (base, node.module) if part)


def test_mxnet_loads_no_more_of_scipy_than_is_used_and_no_h5py():
    code = """
import sys
from neural_style_mmd import _mxnet
assert not {"scipy.stats", "scipy.sparse", "h5py"} & set(sys.modules)
import h5py, scipy.sparse, scipy.stats
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_system_library_is_named_and_no_half_of_mxnet_stays(tmp_path):
    package = tmp_path / "mxnet"
    package.mkdir()
    (package / "__init__.py").write_text("from . import base")
    (package / "base.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    code = """
import sys
from model_zoo import InputError
try:
    from neural_style_mmd import _mxnet
except InputError as error:
    print(error, "mxnet" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    cause = "libgomp.so.1: cannot open shared object file"
    assert done.stdout == f"MXNet cannot be loaded ({cause}): install the package libgomp1 False\n"


def test_garbage_is_not_looked_for_among_mxnets_functions():
    code = "import gc; from neural_style_mmd import _mxnet; assert gc.get_freeze_count() > len(gc.get_objects())"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_modules_are_found():
    found = {name(path) for path in MODULES}
    assert {"model_zoo/vgg19.py", "neural_style_mmd/losses.py", "reproduce/__init__.py"} <= found


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_dependence_is_one_way(path):
    own = path.relative_to(ROOT).parts[0]
    roots = {module.partition(".")[0] for module in imports(path)}
    assert roots & set(PACKAGES) <= PACKAGES[own] | {own}
    assert "tests" not in roots and "benchmarks" not in roots


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_mxnet_is_imported_in_one_module_only(path):
    roots = {module.partition(".")[0] for module in imports(path)}
    assert ("mxnet" in roots) == (name(path) == "neural_style_mmd/_mxnet.py")
    if path.is_relative_to(ROOT / "model_zoo"):
        assert not any(module.startswith("neural_style_mmd") for module in imports(path))


@pytest.mark.parametrize("module", WITHOUT_MXNET)
def test_these_import_without_mxnet(module):
    program = f"import sys, {module}; sys.exit('mxnet' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_nothing_is_called_utils():
    for path in MODULES:
        assert not FORBIDDEN_NAMES & {part.strip("_") for part in path.relative_to(ROOT).with_suffix("").parts}, path


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_command_lines_print(path):
    """A worker that answers its parent on standard output writes to the stream by name."""
    if path.name in MAY_PRINT or path.name.endswith("_command.py"):
        pytest.skip("a command line")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", node.lineno
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("click", "echo"), node.lineno


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_happens_on_import(path):
    """At a module's top level stand definitions; a call's result is always given a name."""
    if path.name == "__main__.py":
        pytest.skip("that is its purpose")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        assert not isinstance(node, (ast.For, ast.While, ast.With)), node.lineno
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), node.lineno  # a docstring
