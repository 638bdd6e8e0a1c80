"""--verbose: before the first iteration what the run starts from, then every term of the objective by its name."""

import json
import re
from importlib.metadata import version

import pytest
from click.testing import CliRunner
from small_transfer import LAYERS

from neural_style_mmd.cli import cli

pytestmark = pytest.mark.usefixtures("small_network")
SMALL = ["--layers", ",".join(LAYERS), "--content-layer", "relu2_1", "--size", "32", "--stop-change", "0"]


@pytest.fixture
def run(pictures, tmp_path):
    """Runs `transfer` verbosely; gives what it says before the iterations, their lines, and the record."""

    def run(*options, sources=pictures):
        command = ["transfer", *map(str, sources), "-o", str(tmp_path / "out.png"), *SMALL, "--iterations", "3"]
        result = CliRunner().invoke(cli, [*command, "--verbose", *options])
        assert result.exit_code == 0, result.stderr
        lines = result.stderr.splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith("iteration "))
        record = json.loads((tmp_path / "out.png.json").read_text(encoding="utf-8"))
        return "\n".join(lines[:first]), [line for line in lines if line.startswith("iteration ")], record

    return run


def test_machine_network_and_pictures_come_first(run, network):
    before, _, record = run("--style-size", "24")
    assert f"mxnet {version('mxnet')}" in before and f"python {record['versions']['python']}" in before
    assert f"{record['threads']} threads" in before and record["cpu"] in before
    assert "unverified (small" in before and network.sha256[:12] in before
    assert "content: content.png, 40 x 30, used at 32 x 24" in before
    assert "style: style.png, 30 x 36, used at 20 x 24" in before


def test_the_balance_is_that_of_the_record(run):
    before, _, record = run("--method", "bn,gaussian", "--gamma", "2")
    balance = record["balance"]
    assert balance["point"] in before
    assert f"content {balance['content_norm']:.6g}" in before
    for method in ("bn", "gaussian"):
        assert f"style.{method} {balance['style_norms'][method]['total']:.6g}" in before
        assert f"{method} {balance['beta_prime'][method]:.6g}" in before
        for layer in LAYERS:
            assert f"style.{method}.{layer} {balance['style_norms'][method]['layers'][layer]:.4g}" in before
    assert f"{balance['ratio_at_point']:.4g} there, {balance['ratio_at_start']:.4g} at the start" in before
    assert f"step scale: {balance['step_scale']:.6g}" in before


def test_every_term_is_in_each_line_and_they_add_up_to_the_objective(run):
    _, lines, record = run("--method", "bn,poly", "--tv-weight", "2")
    terms = [*(f"style.{method}.{layer}" for method in ("bn", "poly") for layer in LAYERS), "content", "tv"]
    assert len(lines) == 3
    for line, entry in zip(lines, record["trace"], strict=True):
        shown = dict(re.findall(r"([\w.]+) ([\d.e+-]+)[,)]", line))
        assert list(shown) == terms
        assert sum(map(float, shown.values())) == pytest.approx(entry["total"], rel=0.01)  # three digits of each
        assert float(shown["tv"]) == pytest.approx(2 * entry["terms"]["tv"], rel=0.01)


def test_where_there_is_nothing_to_balance(run, pictures):
    before, _, record = run("--alpha", "0", "--method", "bn", sources=pictures[1:])
    assert "content" not in before
    assert "beta': bn 1\n" in before
    assert f"style.bn {record['balance']['style_norms']['bn']['total']:.6g}\n" in before


def test_calibrate_tells_the_machine_and_the_pictures_once_and_each_balance(pictures):
    options = [*SMALL, "--method", "bn,poly", "--json", "--verbose"]
    result = CliRunner().invoke(cli, ["calibrate", *map(str, pictures), *options])
    balances = json.loads(result.stdout)
    assert result.stderr.count("content.png, 40 x 30") == result.stderr.count("network: ") == 1
    for method, balance in balances.items():
        assert f"beta': {method} {balance['beta_prime'][method]:.6g}" in result.stderr


@pytest.mark.parametrize("command", ["transfer", "calibrate"])
def test_quiet_and_verbose_exclude_each_other(command, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("model_zoo.load", lambda name, **options: pytest.fail("the network is loaded"))
    output = ["-o", str(tmp_path / "out.png")] if command == "transfer" else []
    result = CliRunner().invoke(cli, [command, *map(str, pictures), *output, "--quiet", "--verbose"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1 and "--quiet and --verbose" in result.stderr
    assert list(tmp_path.iterdir()) == []
