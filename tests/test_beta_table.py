"""The table of beta': what is measured is the calibration's; the release's constants are converted by its formulas."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

import model_zoo
from model_zoo.errors import InputError
from model_zoo.vgg19 import STYLE_LAYERS, parameter_shapes
from model_zoo.weights import Preprocessing, Weights
from neural_style_mmd import TransferConfig, beta_table, calibrate
from neural_style_mmd.cli import cli
from neural_style_mmd.stylization import prepare


@pytest.fixture(scope="module")
def network():
    """He-scaled noise in VGG-19's shape."""
    random = np.random.default_rng(0)
    parameters = {
        name: (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]) if len(shape) > 1 else 0)).astype("f4")
        for name, shape in parameter_shapes("relu5_1").items()
    }
    return Weights(parameters, Preprocessing(), "unverified", "noise", "test")


def test_what_is_measured_is_what_a_transfer_calibrates(pictures, network, monkeypatch):
    monkeypatch.setattr(model_zoo, "load", lambda name, **options: network)
    (found,) = beta_table.measure_pairs([pictures], network, 48)
    assert (found.content, found.style) == ("content", "style")
    for method in ("poly", "gaussian"):
        for preset, values in (("paper", found.paper), ("release", found.release)):
            config = TransferConfig(preset=preset, size=48, gamma=1.0)
            expected = calibrate(*pictures, config, [method])[method].beta_prime[method]
            assert values[method] == pytest.approx(expected, rel=1e-4)
        config = TransferConfig(preset="release", method=(method,), size=48, gamma=1.0)
        ratio = prepare(*pictures, config, weights=network).measure_balance().ratio_at_point
        assert found.constant_ratio[method] == pytest.approx(ratio, rel=1e-4)


def test_the_constants_in_the_papers_normalisation():
    """At 600 x 450 code / paper is 0.1 M, 500 M, 1000 M and 7.5e13 / N (M even); half of it for the content's 2."""
    found = beta_table.constants_in_paper_normalisation(450, 600)
    positions, channels = np.array([270000, 67500, 16800, 4200, 1036]), np.array([64, 128, 256, 512, 512])
    np.testing.assert_allclose(found["poly"], 0.1 * positions / 2)
    np.testing.assert_allclose(found["bn"], 500 * positions / 2)
    np.testing.assert_allclose(found["linear"], 1000 * positions / 2)
    np.testing.assert_allclose(found["gaussian"], 7.5e13 / channels / 2)


def test_the_spread_is_geometric():
    found = beta_table.spread([1.0, 10.0, 100.0])
    assert (found.mean, found.least, found.largest) == (pytest.approx(10), 1.0, 100.0)
    assert found.factor == pytest.approx(math.exp(math.log(10)))
    assert beta_table.spread([3.0]).factor is None


def test_the_sweep_is_the_releases():
    assert len(beta_table.CONTENTS) * len(beta_table.STYLES) == 35


def test_the_command_writes_table_and_json(pictures, network, monkeypatch, tmp_path):
    monkeypatch.setattr(model_zoo, "load", lambda name, **options: network)
    out = tmp_path / "table.json"
    options = ["--contents", "content", "--styles", "style.png,content", "--size", "48", "--json", str(out)]
    result = CliRunner().invoke(cli, ["beta-table", str(pictures[0].parent), *options])
    assert result.exit_code == 0, result.stderr
    table = json.loads(out.read_text())
    assert len(table["pairs"]) == 2 and table["size"] == 48 and table["weights"]["name"] == "noise"
    for method in beta_table.TABLE_METHODS:
        assert f"| {method} |" in result.stdout
        row = table["methods"][method]
        values = [pair["paper"][method] for pair in table["pairs"]]
        assert row["paper"]["mean"] == pytest.approx(np.sqrt(np.prod(values)))
        assert list(row["constant_by_layer"]) == list(STYLE_LAYERS)


def test_a_missing_picture_is_one_line(tmp_path):
    with pytest.raises(InputError, match="brad_pitt") as caught:
        beta_table.sweep(tmp_path)
    assert "\n" not in str(caught.value)
