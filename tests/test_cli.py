"""The command line: options from the configuration, errors in one line, exit codes 0, 2, 3 and 130, a record beside
every picture."""

import errno
import io
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, assert_one_line_error, invoke, pixels, record_of
from PIL import Image

from neural_style_mmd.config import TransferConfig
from neural_style_mmd.progress import ProgressLine, describe
from neural_style_mmd.setting import with_absolute_paths
from neural_style_mmd.stylization import Progress

# transfer


def test_transfer_writes_picture_and_record(transfer, tmp_path):
    result = transfer("--gamma", "2")
    assert result.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "out.png.json"]
    assert pixels(tmp_path / "out.png").shape == (24, 32, 3)
    record = record_of(tmp_path / "out.png.json")
    assert record["config"]["gamma"] == 2.0 and record["outcome"] == "iteration_limit"
    assert record["overrides"]["gamma"] == 2.0
    assert "iteration_limit after 6 iterations" in result.stderr and "--iterations" in result.stderr
    assert "unverified" in result.stderr and str(tmp_path / "out.png") in result.stderr


def test_the_same_command_gives_the_same_pixels(transfer, tmp_path):
    transfer("--method", "gaussian", output="one.png")
    transfer("--method", "gaussian", output="two.png")
    np.testing.assert_array_equal(pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png"))


def test_lists_are_joined_by_commas(transfer, tmp_path):
    result = transfer("--method", "BN,poly", "--fusion", "0.3,0.7", "--beta-prime", "auto", "--layer-weights", "1,0.5")
    assert result.exit_code == 0
    config = record_of(tmp_path / "out.png.json")["config"]
    assert config["method"] == ["bn", "poly"] and config["fusion"] == [0.3, 0.7]
    assert config["beta_prime"] == [] and config["layer_weights"] == [1.0, 0.5]


def test_alpha_0_takes_the_style_alone(transfer, pictures, tmp_path):
    assert transfer("--alpha", "0", sources=pictures[1:]).exit_code == 0
    assert pixels(tmp_path / "out.png").shape == (32, 27, 3)
    assert_one_line_error(transfer("--alpha", "0"), "alpha is 0")
    assert_one_line_error(transfer(sources=pictures[1:]), "alpha is 1")
    assert_one_line_error(transfer(sources=[*pictures, pictures[0]]), "3 pictures")


@pytest.mark.parametrize(("name", "kind"), [("o.jpg", "JPEG"), ("o.webp", "WEBP"), ("o.tif", "TIFF")])
def test_the_format_is_that_of_the_extension(name, kind, transfer, tmp_path):
    assert transfer(output=name).exit_code == 0
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
    assert (tmp_path / f"{name}.json").is_file()


def test_quiet_says_nothing(transfer):
    result = transfer("--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_what_reading_a_picture_chose_is_said(transfer, pictures, tmp_path):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    result = transfer(sources=(pictures[0], tmp_path / "moving.gif"))
    assert result.exit_code == 0 and "style: first of 2 frames" in result.stderr.splitlines()


def test_snapshots(transfer, tmp_path):
    transfer("--snapshot-every", "2")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["out.00002.png", "out.00004.png", "out.00006.png", "out.png", "out.png.json"]
    np.testing.assert_array_equal(pixels(tmp_path / "out.00006.png"), pixels(tmp_path / "out.png"))


def text_of(path):
    with Image.open(path) as image:
        return image.text


def test_a_snapshot_says_of_itself_what_the_picture_says(transfer, network, tmp_path, monkeypatch):
    surrogate = replace(network, kind="surrogate", name="surrogate")
    monkeypatch.setattr("model_zoo.load", lambda name, **options: surrogate)
    transfer("--snapshot-every", "4")
    text, snapshot = text_of(tmp_path / "out.png"), text_of(tmp_path / "out.00004.png")
    assert text["Network"] == f"surrogate surrogate sha256:{surrogate.sha256}"
    assert text["Comment"] == "surrogate network, not a reproduction"
    assert (text["Iteration"], snapshot["Iteration"]) == ("6", "4")
    assert snapshot == text | {"Iteration": "4"}


def test_a_checkpoint_goes_on(transfer, tmp_path):
    transfer("--checkpoint", tmp_path / "c", "--iterations", "3", output="part.png")
    result = transfer("--checkpoint", tmp_path / "c")
    assert result.exit_code == 0 and "going on from iteration 3" in result.stderr
    transfer(output="whole.png")
    np.testing.assert_array_equal(pixels(tmp_path / "out.png"), pixels(tmp_path / "whole.png"))


def test_a_divergence_is_exit_code_3_with_picture_and_record(transfer, tmp_path):
    result = transfer("--learning-rate", "1e36", "--iterations", "50")
    assert result.exit_code == 3
    assert record_of(tmp_path / "out.png.json")["outcome"] == "diverged"
    assert pixels(tmp_path / "out.png").shape == (24, 32, 3)
    assert "--learning-rate" in result.stderr


def test_the_surrogate_is_named_in_terminal_record_and_picture(transfer, network, tmp_path, monkeypatch):
    surrogate = replace(network, kind="surrogate", name="surrogate")
    monkeypatch.setattr("model_zoo.load", lambda name, **options: surrogate)
    assert "surrogate" in transfer().stderr
    assert record_of(tmp_path / "out.png.json")["weights"]["kind"] == "surrogate"
    with Image.open(tmp_path / "out.png") as image:
        assert "surrogate network, not a reproduction" in image.text.values()


# Misuse, before any iteration: the network is not even loaded


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "wct"], ["'wct'", "linear, poly, gaussian, bn, gram"]),
        (["--layers", "relu9_9"], ["'relu9_9'", "relu1_1", "pool5"]),
        (["--content-layer", "conv4_2"], ["'conv4_2'"]),
        (["--method", "bn", "--fusion", "0.3,0.7"], ["fusion", "expected 1"]),
        (["--fusion", "a,b"], ["a,b"]),
        (["--gamma", "-1"], ["gamma", "0 or more"]),
        (["--gamma", "much"], ["much"]),
        (["--size", "0"], ["size"]),
        (["--no-such-option"], ["--no-such-option"]),
        (["--snapshot-every", "0"], ["0"]),
        (["--init", "no-such-file.png"], ["no-such-file.png"]),
        (["--threads", "0"], ["threads is 0"]),
    ],
    ids=str,
)
def test_misuse_is_one_line_and_exit_code_2(options, words, transfer, tmp_path, monkeypatch):
    monkeypatch.setattr("model_zoo.load", lambda name, **options: pytest.fail("the network is loaded"))
    assert_one_line_error(transfer(*options), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nowhere.npz", "~no-such-user/x.npz"])
def test_weights_that_are_not_there_are_one_line(name, pictures, tmp_path):
    done = invoke("transfer", *pictures, "-o", tmp_path / "out.png", "--weights", name)
    assert_one_line_error(done, f"no such weights: '{name}'")


@pytest.mark.parametrize("name", ["out.xyz", "out", "out.gif", "no/folder/out.png", "taken.png", "made.png"])
def test_an_output_that_cannot_be_written_is_found_before_the_network_is_loaded(name, transfer, tmp_path, monkeypatch):
    (tmp_path / "taken.png").mkdir()
    (tmp_path / "made.png.json").mkdir()  # where the record would lie
    monkeypatch.setattr("model_zoo.load", lambda name, **options: pytest.fail("the network is loaded"))
    assert_one_line_error(transfer(output=name), name.split("/")[0])


def test_inputs_that_are_no_pictures_are_one_line(transfer, pictures, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[0].read_bytes()[:200])
    for sources in ((bad, pictures[1]), (pictures[0], bad)):
        assert_one_line_error(transfer(sources=sources), "bad.png")
    assert_one_line_error(transfer(sources=(tmp_path / "none.png", pictures[1])), "none.png")


def test_an_unknown_command_and_none():
    assert_one_line_error(invoke("paint"), "paint")
    assert invoke().exit_code == 2


def test_an_output_over_an_input_or_over_the_checkpoint_is_refused(transfer, pictures, tmp_path, monkeypatch):
    """Also by another name of the file, and where it is the record that would lie there."""
    own = [tmp_path / path.name for path in pictures]
    for path, picture in zip(own, pictures, strict=True):
        path.write_bytes(picture.read_bytes())
    (tmp_path / "link.png").symlink_to(own[0])
    monkeypatch.setattr("model_zoo.load", lambda name, **options: pytest.fail("the network is loaded"))
    for output, options, what in (
        ("content.png", (), "the content picture"),
        ("link.png", (), "the content picture"),
        ("style.png", (), "the style picture"),
        ("o.png", ("--init", tmp_path / "o.png"), "--init"),
        ("o.png", ("--weights", tmp_path / "o.png.json"), "--weights"),
        ("o.png", ("--checkpoint", tmp_path / "o.png"), "--checkpoint"),
        ("o.png", ("--checkpoint", tmp_path / "x" / ".." / "o.png.json"), "--checkpoint"),
    ):
        assert_one_line_error(transfer(*options, output=output, sources=own), f"it is {what}")
    assert [path.read_bytes() for path in own] == [picture.read_bytes() for picture in pictures]


def test_a_snapshot_over_an_input_is_refused(transfer, pictures, tmp_path, monkeypatch):
    """As by going on from a snapshot under the same name."""
    start = tmp_path / "out.00004.png"
    start.write_bytes(pictures[1].read_bytes())
    assert_one_line_error(transfer("--init", start, "--snapshot-every", "2"), "out.00004.png: it is --init")
    assert transfer("--init", start, "--snapshot-every", "3").exit_code == 0
    assert start.read_bytes() == pictures[1].read_bytes()


@pytest.mark.parametrize("length", [251, 255, 256, 4000])
def test_a_name_too_long_for_the_picture_or_its_record_is_refused_before_the_run(length, transfer, monkeypatch):
    monkeypatch.setattr("model_zoo.load", lambda name, **options: pytest.fail("the network is loaded"))
    assert_one_line_error(transfer(output="x" * (length - 4) + ".png"), "name too long")


def test_a_snapshots_name_too_long_is_refused_before_the_run(transfer, monkeypatch):
    name = "x" * 246 + ".png"  # 250 bytes: with .json there is room, not with .00006
    monkeypatch.setattr("model_zoo.load", lambda name, **options: pytest.fail("the network is loaded"))
    assert_one_line_error(transfer("--snapshot-every", "2", output=name), "name too long")


def test_a_name_of_the_longest_letters_is_written(transfer, tmp_path):
    name = "\U0001f3a8" * 60 + ".png"  # 244 bytes
    assert transfer(output=name).exit_code == 0
    assert (tmp_path / name).is_file() and (tmp_path / f"{name}.json").is_file()


def test_a_folder_that_may_not_be_looked_into_is_one_line(transfer, pictures, tmp_path, monkeypatch):
    """As for an ordinary user, who the tests need not be."""
    closed, stat = tmp_path / "closed", os.stat

    def guarded(path, *arguments, **options):
        if str(path).startswith(f"{closed}{os.sep}"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    closed.mkdir()
    monkeypatch.setattr(os, "stat", guarded)
    assert_one_line_error(transfer(output="closed/out.png"), "closed/out.png", "Permission denied")
    unseen = str(closed / "x.npz")
    assert with_absolute_paths(TransferConfig(weights=unseen)).weights == unseen
    monkeypatch.undo()  # the small network, too, in whose place the file is looked for
    monkeypatch.setattr(os, "stat", guarded)
    out = tmp_path / "out.png"
    done = invoke("transfer", *pictures, "-o", out, *SMALL, "--weights", unseen)
    assert_one_line_error(done, "closed/x.npz", "Permission denied")


def test_a_name_that_is_not_utf8_is_stored_and_found_again(transfer, pictures, tmp_path):
    content = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(content).write_bytes(pictures[0].read_bytes())
    assert transfer(sources=(content, pictures[1])).exit_code == 0
    assert record_of(tmp_path / "out.png.json")["inputs"]["content"]["path"] == content
    assert invoke("rerun", tmp_path / "out.png.json").stdout == "the pixels match\n"


# calibrate


def test_calibrate_gives_norms_and_beta_prime_of_every_method(pictures, small_network):
    result = invoke("calibrate", *pictures, *SMALL, "--json")
    assert result.exit_code == 0
    balances = json.loads(result.stdout)
    assert list(balances) == ["linear", "poly", "gaussian", "bn", "gram"]
    for method, balance in balances.items():
        assert balance["beta_prime"][method] == pytest.approx(
            balance["content_norm"] / balance["style_norms"][method]["total"]
        )
        assert set(balance["style_norms"][method]["layers"]) == {"relu1_1", "relu2_1"}
    table = invoke("calibrate", *pictures, *SMALL).stdout
    for method, balance in balances.items():
        (line,) = [line for line in table.splitlines() if line.startswith(f"{method} ")]
        assert f"{balance['beta_prime'][method]:.6g}" in line.split()


def test_calibrate_says_which_network_and_how_a_picture_was_read(pictures, small_network, tmp_path):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    said = invoke("calibrate", pictures[0], tmp_path / "moving.gif", *SMALL, "--method", "linear").stderr.splitlines()
    assert "style: first of 2 frames" in said
    assert f"network: unverified (small, sha256 {small_network.sha256[:12]})" in said


def test_calibrate_of_named_methods_only(pictures, small_network):
    result = invoke("calibrate", *pictures, *SMALL, "--method", "bn,poly", "--json", "--quiet")
    assert list(json.loads(result.stdout)) == ["bn", "poly"] and result.stderr == ""


# --help


def test_help_shows_every_setting_with_its_default():
    kinds = {"str": "TEXT", "int": "INTEGER", "float": "FLOAT", "tuple[str, ...]": "NAMES"}
    text = " ".join(invoke("transfer", "--help").stdout.split())
    for item in fields(TransferConfig):
        option = "--" + item.name.replace("_", "-")
        assert option in text
        default = getattr(TransferConfig(), item.name)
        if default not in ((), "", False):
            shown = ",".join(default) if isinstance(default, tuple) else default
            start = text.index(f"{option} {kinds[item.type]}")
            assert f"[default: {shown}]" in text[start : start + 400], option
    for option in ("--output", "--checkpoint", "--snapshot-every", "--threads", "--device", "--quiet", "--verbose"):
        assert option in text


def test_help_imports_neither_mxnet_nor_numpy():
    program = (
        "import sys\nfrom neural_style_mmd.cli import cli\n"
        "try:\n    cli(sys.argv[1:])\nfinally:\n"
        "    print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    for arguments in (["--help"], ["transfer", "--help"], ["calibrate", "--help"], ["rerun", "--help"]):
        out = subprocess.check_output([sys.executable, "-c", program, *arguments], timeout=60, text=True)
        loaded = out.rpartition("LOADED")[2].split()
        assert "click" in loaded
        assert not {"mxnet", "numpy", "scipy", "PIL", "requests"} & set(loaded), arguments


def test_the_module_is_the_same_program():
    out = subprocess.check_output([sys.executable, "-m", "neural_style_mmd", "--version"], timeout=60, text=True)
    assert out.startswith("python -m neural_style_mmd, version ")


# Progress


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


NOTHING = np.zeros((1, 3, 0, 0), np.float32)


def show(terminal):
    stream = Stream(terminal)
    line = ProgressLine(stream, iterations=3)
    for iteration in (1, 2, 3):
        parts = {"content": 10.0 / iteration, "bn": 5.0}
        line.show(Progress(iteration, sum(parts.values()), parts, parts, 0.125, 2.0 * iteration, lambda: None, NOTHING))
    line.close()
    return stream.getvalue()


def test_on_a_terminal_there_is_one_live_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = show(terminal=True)
    assert text.count("\n") == 1 and text.endswith("\n") and text.count("\r") == 3
    for words in ("iteration 2/3", "objective 10", "content 5", "bn 5", "change 12.50 %", "2.00 s each", "0:02 left"):
        assert words in text.split("\r")[2]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [(200, ["content 1", "style.bn.relu1_1 2", "style.bn.relu2_1 3"]), (110, ["content 1", "bn 5"]), (80, [])],
)
def test_the_live_line_has_each_term_or_each_methods_sum_as_the_terminal_is_wide(columns, shown):
    terms = {"content": 1.0, "style.bn.relu1_1": 2.0, "style.bn.relu2_1": 3.0}
    line = describe(Progress(2, 6.0, terms, terms, 0.125, 4.0, lambda: None, NOTHING), iterations=3, columns=columns)
    assert len(line) < columns
    said = line.partition("(")[2].partition(")")[0]
    assert (said.split(", ") if said else []) == shown


@pytest.mark.parametrize("columns", [80, 40])
def test_the_live_line_never_wraps(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for line in show(terminal=True).rstrip("\n").split("\r")[1:]:
        assert len(line.removesuffix("\x1b[K")) < columns and "iteration" in line
        assert columns < 80 or "left" in line


def test_elsewhere_there_are_plain_lines():
    text = show(terminal=False)
    assert "\r" not in text and "\x1b" not in text
    assert [line.split("  ")[0] for line in text.splitlines()] == ["iteration 1/3", "iteration 3/3"]
