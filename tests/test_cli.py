"""The command line: options from the configuration, errors in one line, exit codes 0, 2, 3 and 130, a record beside
every picture."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from neural_style_mmd.cli import cli
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.progress import ProgressLine, describe
from neural_style_mmd.setting import with_absolute_paths
from neural_style_mmd.stylization import Progress

SMALL = ["--layers", "relu1_1,relu2_1", "--content-layer", "relu2_1", "--size", "32", "--stop-change", "0"]


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture
def transfer(pictures, tmp_path, small_network):
    """Runs `transfer CONTENT STYLE -o out.png` with small settings, six iterations unless told."""

    def run(*options, output="out.png", sources=pictures):
        return invoke("transfer", *sources, "-o", tmp_path / output, *SMALL, "--iterations", "6", *options)

    return run


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


def test_calibrate_of_named_methods_only(pictures, small_network):
    result = invoke("calibrate", *pictures, *SMALL, "--method", "bn,poly", "--json", "--quiet")
    assert list(json.loads(result.stdout)) == ["bn", "poly"] and result.stderr == ""


# rerun


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
    ):
        path.write_text(json.dumps(good | change))
        assert_one_line_error(invoke("rerun", path))


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


# Ctrl-C


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
    from neural_style_mmd.objective import Objective

    evaluate = Objective.evaluate

    def interrupted(self, x, weights, draw=0):
        if draw == 1:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, x, weights, draw)

    monkeypatch.setattr(Objective, "evaluate", interrupted)
    assert transfer().exit_code == 130
    assert record_of(tmp_path / "out.png.json")["iterations"] == 1
    assert (tmp_path / "out.png").is_file()


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
