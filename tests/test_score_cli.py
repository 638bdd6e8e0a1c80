"""`neural-style-mmd score`: what it says beside the numbers, and names and sizes that no table was made for."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from model_zoo.weights import Weights
from neural_style_mmd.cli import cli
from neural_style_mmd.scoring import Scorer

OPTIONS = ("--size", "40", "--layers", "relu1_1", "--content-layer", "relu1_1")


def score(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["score", *OPTIONS, *map(str, arguments)])


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))).save(path)
    return path


def test_the_network_and_what_reading_changed_are_said_beside_the_numbers(
    pictures: tuple[Path, Path], grey: Path, small_network: Weights
) -> None:
    for form in ("table", "csv", "json"):
        result = score(grey, pictures[1], grey, pictures[0], "--format", form)
        assert result.exit_code == 0
        network = f"network: unverified (small, sha256 {small_network.sha256[:12]})"
        assert result.stderr.splitlines() == ["content: grey", "grey.png: grey", network]


def test_no_picture_is_scored_where_one_has_another_aspect(
    pictures: tuple[Path, Path], tmp_path: Path, small_network: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "score", lambda *_: pytest.fail("the first picture was scored"))
    wide = tmp_path / "wide.png"
    Image.new("RGB", (80, 30)).save(wide)
    result = score(*pictures, pictures[0], wide)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "wide.png is 80 x 30, the content 40 x 30" in result.stderr


@pytest.mark.parametrize("option", ["--size", "--style-size"])
def test_a_size_beyond_what_can_be_read_again_is_one_line(
    pictures: tuple[Path, Path], small_network: Weights, option: str
) -> None:
    result = score(*pictures, pictures[0], option, "1000000000")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "at most 30000" in result.stderr


def test_a_name_that_is_no_utf8_is_printed_with_escapes(
    pictures: tuple[Path, Path], network_file: Path, tmp_path: Path
) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        with open(path, "wb") as file:
            file.write(pictures[0].read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    program = [sys.executable, "-m", "neural_style_mmd", "score", *pictures]
    readers = {
        "table": lambda text: text.splitlines()[1].split()[0],
        "csv": lambda text: next(csv.DictReader(io.StringIO(text)))["picture"],
        "json": lambda text: json.loads(text)[0]["picture"],
    }
    for form, picture_of in readers.items():
        command = [*program, path, *OPTIONS, "--weights", network_file, "--format", form]
        # Python replaces by itself what a terminal without a language cannot take.
        environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
        run = subprocess.run(command, env=environment, capture_output=True, timeout=60)
        assert run.returncode == 0, run.stderr
        shown = os.fsdecode(path) if form == "json" else f"{tmp_path}/caf\\udce9.png"  # JSON gives the path itself
        assert picture_of(run.stdout.decode("utf-8")) == shown
