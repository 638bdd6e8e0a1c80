"""`demo`: four pictures and one sheet, each saying of itself which network made it; Ctrl-C ends all of it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from neural_style_mmd.cli import cli
from neural_style_mmd.demo import METHODS
from neural_style_mmd.stopping import Outcome

NETWORK = {"kind": "surrogate", "name": "seeded", "sha256": "5" * 64, "notes": []}


@pytest.fixture
def demo(tmp_path, pictures, network, monkeypatch):
    """Runs the demo with transfers that only note their method; `ends` gives their outcomes."""

    def run(ends=lambda method: Outcome.ITERATION_LIMIT, network_name="auto", sources=pictures, options=()):
        made = []

        def transfer(content, style, config, **options):
            (method,) = config.method
            made.append(method)
            assert config.weights == network_name  # for `rerun`
            image = np.full((48, 64, 3), 40 * len(made), np.uint8)
            return SimpleNamespace(image=image, outcome=ends(method), record={"weights": NETWORK, "iterations": 7})

        monkeypatch.setattr("neural_style_mmd.stylization.transfer", transfer)

        def load(name, **options):
            assert name == network_name
            return replace(network, kind="surrogate")

        monkeypatch.setattr("model_zoo.load", load)
        arguments = ["demo", *map(str, sources), "-o", str(tmp_path / "demo"), *options]
        return CliRunner().invoke(cli, arguments), made

    return run


def text_of(path):
    with Image.open(path) as image:
        return image.text


def test_every_picture_of_the_demo_says_which_network_made_it(demo, tmp_path):
    result, made = demo()
    assert (result.exit_code, made) == (0, list(METHODS)), result.stderr
    for name in METHODS:
        text = text_of(tmp_path / "demo" / f"{name}.png")
        assert text["Comment"] == "surrogate network, not a reproduction"
        assert "5" * 64 in text["Network"] and text["Iteration"] == "7"
    sheet = text_of(tmp_path / "demo" / "demo.png")
    assert "5" * 64 in sheet["Network"] and sheet["Comment"] == "surrogate network, not a reproduction"
    assert "Iteration" not in sheet  # it is of four runs


def test_the_content_picture_is_trimmed_to_what_the_deepest_layer_sees(tmp_path, network, monkeypatch):
    """Otherwise the rest of an edge after its last multiple of 16 came out as a stripe of start colour."""
    rows, columns = np.mgrid[:41, :60]
    picture = np.stack([4 * columns, 6 * rows, 0 * rows], axis=-1).astype(np.uint8)
    path, taken = tmp_path / "wide.png", []
    Image.fromarray(picture).save(path)

    def transfer(content, style, config, **options):
        taken.append(np.array(Image.open(content)))
        record = {"weights": NETWORK, "iterations": 7}
        return SimpleNamespace(image=taken[-1], outcome=Outcome.ITERATION_LIMIT, record=record)

    monkeypatch.setattr("neural_style_mmd.stylization.transfer", transfer)
    monkeypatch.setattr("model_zoo.load", lambda *name, **options: replace(network, kind="surrogate"))
    result = CliRunner().invoke(cli, ["demo", str(path), str(path), "-o", str(tmp_path / "demo")])
    assert result.exit_code == 0, result.stderr
    whole = np.array(Image.fromarray(picture).resize((256, 175), Image.Resampling.LANCZOS))
    for content in taken:
        assert np.array_equal(content, whole[7:167])  # 160 of 175 rows, from the middle
    assert np.array_equal(taken[0], np.array(Image.open(tmp_path / "demo" / "content-256.png")))  # for `rerun`


def test_an_interruption_ends_the_demo_and_not_one_method_of_it(demo, tmp_path):
    result, made = demo(lambda method: Outcome.INTERRUPTED if method == METHODS[1] else Outcome.ITERATION_LIMIT)
    assert (result.exit_code, made) == (130, list(METHODS[:2]))
    assert (tmp_path / "demo" / f"{METHODS[1]}.png").is_file()  # as it was
    assert not (tmp_path / "demo" / "demo.png").exists()


def test_the_network_that_is_named_is_used_and_recorded(demo):
    result, made = demo(network_name="surrogate", options=("--weights", "surrogate"))
    assert (result.exit_code, made) == (0, list(METHODS)), result.stderr


def test_a_method_that_diverged_is_said(demo):
    result, _ = demo(lambda method: Outcome.DIVERGED if method == METHODS[1] else Outcome.ITERATION_LIMIT)
    assert result.exit_code == 0 and result.stderr.count("diverged: ") == 1


@pytest.mark.parametrize("name", ["demo.png", "linear.png", "content-256.png"])
def test_a_picture_that_the_demo_would_write_over_is_refused(name, demo, pictures, tmp_path):
    own = tmp_path / "demo" / name
    own.parent.mkdir()
    own.write_bytes(pictures[0].read_bytes())
    result, made = demo(sources=(own, pictures[1]))
    assert (result.exit_code, made) == (2, []) and "it is the content picture" in result.stderr
    assert own.read_bytes() == pictures[0].read_bytes()
