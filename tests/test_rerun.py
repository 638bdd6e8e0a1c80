"""`rerun`: a record is repeated to the pixel, or it says in one line why not."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from command_line import SMALL, assert_one_line_error, invoke, pixels, record_of, signal_in

from neural_style_mmd.config import TransferConfig
from neural_style_mmd.rerun import recorded_run
from neural_style_mmd.setting import with_absolute_paths


def test_rerun_says_that_the_pixels_match(transfer, tmp_path):
    transfer("--method", "gaussian", "--seed", "3")
    result = invoke("rerun", tmp_path / "out.png.json", "-o", tmp_path / "again.png", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "the pixels match\n")
    np.testing.assert_array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "out.png"))


def test_rerun_of_a_run_that_a_small_change_or_the_clock_ended(transfer, tmp_path):
    early = ("--stop-change", "0.3", "--iterations", "99")
    schedule = (*early, "--optimizer", "preconditioned-nag")  # whose rate depends on the iterations that were meant
    for options in (early, schedule, ("--time-limit", "1e-6"), ("--init", "content")):
        transfer(*options)
        assert "match" in invoke("rerun", tmp_path / "out.png.json").stdout


def test_rerun_from_another_folder(transfer, tmp_path, pictures, monkeypatch):
    monkeypatch.chdir(pictures[0].parent)
    assert transfer("--init", "style.png", sources=("content.png", "style.png")).exit_code == 0
    monkeypatch.chdir(tmp_path)
    assert record_of(tmp_path / "out.png.json")["config"]["init"] == str(pictures[1])
    assert invoke("rerun", "out.png.json").stdout == "the pixels match\n"


def test_rerun_from_another_folder_finds_the_weights(pictures, network_file, tmp_path, monkeypatch):
    monkeypatch.chdir(network_file.parent)
    (tmp_path / "surrogate").touch()  # a name of model_zoo.load is never a file
    options = [*SMALL, "--iterations", "2", "--quiet"]
    out = tmp_path / "out.png"
    assert invoke("transfer", *pictures, "-o", out, *options, "--weights", network_file.name).exit_code == 0
    monkeypatch.chdir(tmp_path)
    assert record_of(tmp_path / "out.png.json")["config"]["weights"] == str(network_file)
    assert invoke("rerun", "out.png.json").stdout == "the pixels match\n"
    assert with_absolute_paths(TransferConfig(weights="surrogate")).weights == "surrogate"
    assert with_absolute_paths(TransferConfig(weights="vgg19.params")).weights == "vgg19.params"  # the manifest's


def test_rerun_says_that_the_pixels_differ(transfer, tmp_path):
    transfer()
    path = tmp_path / "out.png.json"
    record = record_of(path)
    record["output"]["pixels_sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    result = invoke("rerun", path, "--quiet")
    assert result.exit_code == 1 and result.stdout.startswith("the pixels differ")


def test_rerun_with_other_weights_does_not_compare(transfer, tmp_path, network, monkeypatch):
    transfer()
    doubled = {name: 2 * array for name, array in network.parameters.items()}
    other = replace(network, parameters=doubled, sha256="")
    monkeypatch.setattr("model_zoo.load", lambda name, **options: other)
    result = invoke("rerun", tmp_path / "out.png.json")
    assert result.exit_code == 1 and "cannot be compared" in result.stdout


def test_rerun_with_other_weights_says_so_before_it_runs(transfer, tmp_path, network, monkeypatch):
    transfer()
    other = replace(network, parameters={name: 2 * array for name, array in network.parameters.items()}, sha256="")
    monkeypatch.setattr("model_zoo.load", lambda name, **options: other)
    monkeypatch.setattr("neural_style_mmd.stylization.transfer", lambda *_, **__: pytest.fail("it runs"))
    result = invoke("rerun", tmp_path / "out.png.json", "-o", tmp_path / "again.png")
    assert result.exit_code == 1 and "cannot be compared" in result.stdout and not (tmp_path / "again.png").exists()


def test_an_interrupted_rerun_gives_no_verdict_and_leaves_what_is_there(transfer, tmp_path, monkeypatch):
    """Six iterations, and a signal in the second of the repetition, which would have written over its original."""
    transfer()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    signal_in(monkeypatch, iteration=2)
    result = invoke("rerun", tmp_path / "out.png.json", "-o", tmp_path / "out.png")
    assert (result.exit_code, result.stdout) == (130, "")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_rerun_does_not_write_over_its_inputs(transfer, tmp_path, pictures):
    content = tmp_path / "content.png"
    content.write_bytes(pictures[0].read_bytes())
    start = tmp_path / "start.png"
    start.write_bytes(pictures[1].read_bytes())
    transfer("--init", start, sources=(content, pictures[1]))
    for path, what in ((content, "the content picture"), (start, "--init")):
        assert_one_line_error(invoke("rerun", tmp_path / "out.png.json", "-o", path), f"it is {what}")


def test_rerun_makes_as_many_iterations_however_small_the_change(transfer, tmp_path):
    """Four iterations, and then no more: of those with a higher --stop-change the first would be the last."""
    checkpoint = ("--checkpoint", tmp_path / "c")
    assert transfer("--iterations", "4", *checkpoint).exit_code == 0
    end = ("--stop-change", "0.9", "--stop-after", "0", "--iterations", "9")
    assert transfer(*end, *checkpoint).exit_code == 0
    record = record_of(tmp_path / "out.png.json")
    assert (record["outcome"], record["iterations"]) == ("small_change", 4)  # and 4 from the start would stop sooner
    assert invoke("rerun", tmp_path / "out.png.json").stdout == "the pixels match\n"


def test_rerun_makes_as_many_iterations_however_long_they_take(transfer, tmp_path):
    transfer()
    path = tmp_path / "out.png.json"
    record = record_of(path)
    record["config"]["time_limit"] = 1e-9  # as of a faster machine
    path.write_text(json.dumps(record))
    assert invoke("rerun", path).stdout == "the pixels match\n"


def test_where_a_run_was_resumed_on_another_machine_its_rerun_says_so(transfer, tmp_path):
    transfer()
    path = tmp_path / "out.png.json"
    record = record_of(path) | {"notes": ["resumed at iteration 2 with another cpu"]}
    record["output"]["pixels_sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    assert "resumed at iteration 2 with another cpu" in invoke("rerun", path).stdout


def bf16_record(transfer, tmp_path, precisions, change=0.5, stop_change=0.1):
    """A record of a run in bf16 with these precisions, written by hand: this CPU need not have it."""
    transfer("--iterations", str(len(precisions)))
    path = tmp_path / "out.png.json"
    record = record_of(path)
    record["config"] |= {"precision": "bf16", "stop_change": stop_change}
    for entry, precision in zip(record["trace"], precisions, strict=True):
        entry |= {"precision": precision, "change": change}
    path.write_text(json.dumps(record))
    return path


def test_rerun_of_a_run_in_bf16_switches_where_the_run_did(transfer, tmp_path):
    config = recorded_run(bf16_record(transfer, tmp_path, ["bf16"] * 9 + ["float32"])).config
    assert (config.iterations, config.stop_change) == (10, 0.0)
    early = recorded_run(bf16_record(transfer, tmp_path, ["bf16"] * 3 + ["float32"] * 7, change=0.05)).config
    assert (early.iterations, early.stop_change) == (10, 0.1)  # a small change ended bf16, and will again


def test_rerun_of_a_run_in_bf16_whose_optimizer_ended_by_itself_ends_bf16_there_too(transfer, tmp_path):
    path = bf16_record(transfer, tmp_path, ["bf16"] * 3 + ["float32"] * 7, change=0.0, stop_change=0.0)
    assert (recorded_run(path).config.iterations, recorded_run(path).config.precision) == (10, "bf16")


@pytest.mark.parametrize(
    ("precisions", "change"),
    [
        (["bf16"] * 10, 0.5),
        (["bf16"] * 4 + ["float32"] * 6, 0.5),
        (["bf16"] * 18 + ["float32"], 0.05),  # a small change, and then Ctrl-C before a tenth was float32
    ],
)
def test_rerun_of_a_run_in_bf16_that_was_interrupted_or_prolonged_is_refused(precisions, change, transfer, tmp_path):
    path = bf16_record(transfer, tmp_path, precisions, change)
    assert_one_line_error(invoke("rerun", path), "no run from the start repeats")


def test_rerun_of_changed_or_missing_inputs_is_an_error(transfer, tmp_path, pictures):
    own = []
    for path in pictures:
        own.append(tmp_path / path.name)
        own[-1].write_bytes(path.read_bytes())
    transfer(sources=own)
    own[1].write_bytes(pictures[0].read_bytes())
    assert_one_line_error(invoke("rerun", tmp_path / "out.png.json"), "style", "has changed")
    own[1].unlink()
    assert_one_line_error(invoke("rerun", tmp_path / "out.png.json"), "style", "not there")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"schema": 99}', '{"schema": 1}', "\x00\xff", "no json"])
def test_rerun_of_something_else_is_one_line(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(text.encode("latin-1"))
    assert_one_line_error(invoke("rerun", path), "record.json")


def test_rerun_of_a_record_with_a_wrong_value_is_one_line(transfer, tmp_path):
    transfer()
    path = tmp_path / "out.png.json"
    good = record_of(path)
    for change in (
        {"config": good["config"] | {"gamma": "x"}},
        {"config": good["config"] | {"gama": 1}},
        {"config": 3},
        {"iterations": "many"},
        {"iterations": 0},
        {"inputs": []},
        {"threads": "two"},
        {"output": {}},
        {"cpu": None},
        {"trace": None},
        {"notes": 3},
        {"notes": [1]},
    ):
        path.write_text(json.dumps(good | change))
        assert_one_line_error(invoke("rerun", path))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for_and_rerun_takes_them_from_the_record(threads, tmp_path, pictures, network_file):
    out = tmp_path / "out.png"
    variables = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    program = [sys.executable, "-m", "neural_style_mmd"]
    options = ["--weights", str(network_file), "--iterations", "2", "--threads", str(threads), "--quiet"]
    command = [*program, "transfer", *map(str, pictures), "-o", str(out), *SMALL, *options]
    subprocess.run(command, check=True, env=variables, timeout=120)
    assert record_of(tmp_path / "out.png.json")["threads"] == threads
    again = [*program, "rerun", str(out) + ".json", "--quiet"]
    assert subprocess.check_output(again, env=variables, timeout=120, text=True) == "the pixels match\n"
