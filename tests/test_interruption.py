"""Ctrl-C and SIGTERM: what is there is kept, and nothing else; a terminal that goes away ends nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest
from command_line import SMALL, pixels, record_of, signal_in

from neural_style_mmd.record import pixels_sha256


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_iteration_in_hand(number, pictures, network_file, tmp_path):
    out = tmp_path / "out.png"
    command = [
        *(sys.executable, "-m", "neural_style_mmd", "transfer", *map(str, pictures), "-o", str(out), *SMALL),
        *("--iterations", "1000000", "--weights", str(network_file), "--checkpoint", str(tmp_path / "c")),
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as run:
        try:
            lines = iter(run.stderr.readline, "")
            assert any(line.startswith("iteration ") for line in lines)
            time.sleep(0.3)
            run.send_signal(number)
            rest = run.stderr.read()
            assert run.wait(timeout=60) == 130
        finally:
            run.kill()
    assert "interrupted after" in rest and "Traceback" not in rest
    record = record_of(tmp_path / "out.png.json")
    assert record["outcome"] == "interrupted" and record["iterations"] == len(record["trace"]) >= 1
    assert pixels(out).shape == (24, 32, 3)
    assert (tmp_path / "c").is_file()


def test_a_signal_before_the_first_iteration_says_that_nothing_is_written(transfer, tmp_path, monkeypatch):
    monkeypatch.setattr("model_zoo.load", lambda name, **options: signal.raise_signal(signal.SIGINT))
    result = transfer()
    assert result.exit_code == 130 and list(tmp_path.iterdir()) == []
    assert [line for line in result.stderr.splitlines() if f"{tmp_path / 'out.png'} is not written" in line]
    assert "Traceback" not in result.stderr


def test_a_signal_in_the_first_iteration_waits_for_its_end(transfer, tmp_path, monkeypatch):
    signal_in(monkeypatch, iteration=1)
    assert transfer().exit_code == 130
    assert record_of(tmp_path / "out.png.json")["iterations"] == 1
    assert (tmp_path / "out.png").is_file()


@pytest.mark.parametrize("interrupted", [False, True])
def test_signals_while_the_picture_is_finished_change_nothing(interrupted, transfer, tmp_path, monkeypatch):
    """After the last iteration, or one that a signal ended, its objective is measured and it is saved."""
    from neural_style_mmd.objective import Objective

    terms_at = Objective.terms_at

    def signalled_twice(self, x, draw=0):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        return terms_at(self, x, draw)

    signal_in(monkeypatch, iteration=2, times=interrupted)
    monkeypatch.setattr(Objective, "terms_at", signalled_twice)
    result = transfer()
    record = record_of(tmp_path / "out.png.json")
    expected = ("interrupted", 2, 130) if interrupted else ("iteration_limit", 6, 0)
    assert (record["outcome"], record["iterations"], result.exit_code) == expected
    assert record["output"]["pixels_sha256"] == pixels_sha256(pixels(tmp_path / "out.png"))


def test_a_second_signal_in_one_iteration_ends_it_and_keeps_the_picture_before(transfer, tmp_path, monkeypatch):
    signal_in(monkeypatch, iteration=3, times=2)
    assert transfer().exit_code == 130
    assert record_of(tmp_path / "out.png.json")["iterations"] == 2


def test_without_a_standard_error_a_run_is_made_all_the_same(pictures, network_file, tmp_path):
    options = [*SMALL, "--iterations", "3", "--weights", str(network_file)]
    command = [sys.executable, "-m", "neural_style_mmd", "transfer", *map(str, pictures), "-o", "out.png", *options]
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], cwd=tmp_path, timeout=60)
    assert done.returncode == 0 and record_of(tmp_path / "out.png.json")["iterations"] == 3


@pytest.mark.parametrize("options", [("--verbose",), ()])
def test_a_reader_that_goes_away_ends_nothing(options, pictures, network_file, tmp_path):
    """As in `2>&1 | head`: nobody reads what is said on standard error."""
    command = [
        *(sys.executable, "-m", "neural_style_mmd", "transfer", *map(str, pictures), "-o", str(tmp_path / "out.png")),
        *(*SMALL, "--iterations", "3", "--weights", str(network_file), *options),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
        run.stderr.close()
        assert run.wait(timeout=60) == 0
    assert record_of(tmp_path / "out.png.json")["iterations"] == 3
