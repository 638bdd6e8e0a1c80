"""The command line on pictures of 32 pixels and two shallow layers, and what tests ask of its answers."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from neural_style_mmd.cli import cli

SMALL = ["--layers", "relu1_1,relu2_1", "--content-layer", "relu2_1", "--size", "32", "--stop-change", "0"]


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def record_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def assert_one_line_error(result, *words):
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def signal_in(monkeypatch: pytest.MonkeyPatch, iteration: int, times: int = 1) -> None:
    """Ctrl-C, so many times, as that iteration of a run by SGD begins."""
    from neural_style_mmd.objective import Objective

    evaluate = Objective.evaluate

    def signalled(self, x, weights, draw=0):
        for _ in range(times if draw == iteration else 0):
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, x, weights, draw)

    monkeypatch.setattr(Objective, "evaluate", signalled)
