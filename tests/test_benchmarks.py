"""The benchmark counts, compares and reports what it says; no time is asserted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import model_zoo
from benchmarks import against_torch, bf16, descents, memory, ours, quality, revisions, scaling, tables
from benchmarks.__main__ import main
from benchmarks.child import EndOfTurns
from benchmarks.contenders import BARE, refusal
from benchmarks.grid import GAMMAS, ITERATIONS, grid_text
from benchmarks.processes import WARM_UP, Child, ChildFailed, alternate, once, ratios, summary
from benchmarks.roofline import convolution_flops
from benchmarks.sections import SECTIONS
from benchmarks.setting import Setting
from neural_style_mmd import precision
from neural_style_mmd._mxnet import mx
from neural_style_mmd.objective import Objective
from reproduce.figures import read_grid

ROOT = Path(__file__).parent.parent
needs_bf16 = pytest.mark.skipif(refusal("bf16") is not None, reason="this CPU has no products of bfloat16")
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed (the extra bench)")


def small(folder: Path, **changes) -> Setting:
    values = {"width": 32, "height": 32, "rounds": 1, "methods": ("linear",), "sizes": (32,)}
    return Setting(**(values | changes), folder=folder, say=lambda text: None)


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


# What is counted


def test_flops_are_those_of_the_table_of_vgg19():
    """48 x 33: the poolings leave 24 x 16, 12 x 8, 6 x 4 and 3 x 2 positions."""
    blocks = {1: 48 * 33, 2: 24 * 16, 3: 12 * 8, 4: 6 * 4, 5: 3 * 2}
    channels = {
        "conv1_1": (3, 64), "conv1_2": (64, 64), "conv2_1": (64, 128), "conv2_2": (128, 128), "conv3_1": (128, 256),
        "conv3_2": (256, 256), "conv3_3": (256, 256), "conv3_4": (256, 256), "conv4_1": (256, 512),
        "conv4_2": (512, 512), "conv4_3": (512, 512), "conv4_4": (512, 512), "conv5_1": (512, 512),
    }  # fmt: skip
    by_hand = {name: 2 * blocks[int(name[4])] * n * 9 * m for name, (n, m) in channels.items()}
    assert convolution_flops(48, 33) == by_hand
    assert convolution_flops(1, 1)["conv1_1"] == 2 * 64 * 27  # 64 sums of 27 products


def test_a_summary_is_the_median_and_the_quartiles():
    assert summary([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "quartiles": [2.0, 4.0], "n": 5}
    assert summary([7.0]) == {"median": 7.0, "quartiles": [7.0, 7.0], "n": 1}


def test_a_ratio_is_that_of_neighbours():
    """A machine that gets ten times slower in between changes no ratio."""
    assert ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == {"median": 2.0, "quartiles": [2.0, 2.0], "n": 3}


def test_contenders_alternate_and_the_first_rounds_do_not_count():
    calls: list[str] = []

    def contender(name):
        return lambda: calls.append(name) or len(calls)

    answers = alternate({"a": contender("a"), "b": contender("b")}, 3)
    assert calls == ["a", "b"] * (WARM_UP + 3)
    assert answers == {"a": [5, 7, 9], "b": [6, 8, 10]}


@pytest.mark.parametrize("cores, counts", [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_threads_are_powers_of_two_and_all_cores(cores, counts):
    assert scaling.thread_counts(cores) == counts


def test_the_grid_is_one_of_the_pipeline(tmp_path):
    pictures = small(tmp_path).pictures()
    path = tmp_path / "grid.toml"
    path.write_text(grid_text(["linear", "bn+poly"], 64, pictures))
    grid = read_grid(path)
    assert len(grid.coordinates()) == 2 * len(GAMMAS)
    assert (grid.preview_size, grid.preview_iterations) == (64, ITERATIONS)


# Children


@pytest.mark.parametrize(
    "task, arguments, reason",
    [
        ("layers:no_such_task", {}, "AttributeError: .*no_such_task"),
        ("ours:transfer_memory", {"methods": "linear", "content": "gone.png", "style": "gone.png"}, "gone.png"),
    ],
)
def test_a_child_that_fails_says_why_in_one_line(task, arguments, reason):
    with pytest.raises(ChildFailed, match=reason) as caught:
        once(task, arguments)
    assert "\n" not in str(caught.value)


def test_a_child_that_dies_says_how():
    with pytest.raises(ChildFailed, match="ended with code 1: "):
        once("layers:convolutions", environment={"PYTHONHOME": "/nowhere"})


# Tables

COLUMNS = (tables.Column("what", "what"), tables.Column("seconds", "time, s", "s"), tables.Column("peak", "GB", "GB"))
RESULT = {
    "rows": [
        {"what": "a", "seconds": {"median": 1.5, "quartiles": [1.25, 2.0], "n": 3}, "peak": 2_500_000_000},
        {"what": "b", "seconds": {"median": 0.5, "quartiles": [0.5, 0.5], "n": 1}},
    ],
    "notes": ["of a grid"],
}


def test_a_table_in_markdown():
    lines = tables.markdown("Title", COLUMNS, RESULT).splitlines()
    assert lines == [
        "## Title",
        "",
        "| what | time, s | GB |",
        "| --- | --- | --- |",
        "| a | 1.500 (1.250 to 2.000) | 2.50 |",
        "| b | 0.500 |  |",
        "",
        "of a grid",
    ]


def test_a_table_for_a_terminal():
    assert tables.plain("Title", COLUMNS, RESULT).splitlines() == [
        "Title",
        "what  time, s                 GB",
        "a     1.500 (1.250 to 2.000)  2.50",
        "b     0.500",
        "of a grid",
    ]


def test_a_section_that_failed_or_was_skipped_says_so():
    assert "failed: no memory" in tables.markdown("Title", COLUMNS, {"rows": [], "failed": "no memory"})
    assert "skipped: no torch" in tables.plain("Title", COLUMNS, {"rows": [], "skipped": "no torch"})


# What an iteration takes beside MXNet


def iterated(folder, requests, precision="float32", methods="linear"):
    """What ours.iterate answers to `requests`."""
    answers, left = [], iter(requests)

    def turn(answer):
        answers.append(answer)
        for request in left:
            return request
        raise EndOfTurns

    with pytest.raises(EndOfTurns):
        ours.iterate(turn, methods, **small(folder).pictures(), precision=precision)
    assert answers[0] == "ready"
    return answers[1:]


def test_mxnets_part_is_that_of_the_last_whole_iteration_without_what_lies_outside(tmp_path, monkeypatch):
    """A pause of 0.1 s within MXNet's forward pass, one of 0.3 s in the draw of pairs."""
    forward, draw = mx.executor.Executor.forward, Objective._draw_pairs
    monkeypatch.setattr(mx.executor.Executor, "forward", lambda *each, **named: sleep(0.1) or forward(*each, **named))
    monkeypatch.setattr(Objective, "_draw_pairs", lambda *each: sleep(0.3) or draw(*each))
    whole, graph, bare, again, graph_again = iterated(tmp_path, [ours.WHOLE, ours.GRAPH, BARE, ours.WHOLE, ours.GRAPH])
    assert graph >= 0.1 and graph_again >= 0.1 and bare >= 0.1
    assert whole - graph >= 0.3 and again - graph_again >= 0.3


@pytest.mark.parametrize(("name", "size"), [("float32", 4), pytest.param("bf16", 2, marks=needs_bf16)])
def test_what_is_timed_runs_in_the_precision_that_is_measured(name, size, tmp_path, monkeypatch):
    """The executor's own arguments say it: a bfloat16 has half the bytes."""
    watched = []
    monkeypatch.setattr(ours.GraphClock, "watch", lambda clock, objective: watched.extend(objective._parts))
    iterated(tmp_path, [ours.WHOLE], name)
    assert np.dtype(watched[0].executor.arg_dict["conv1_2_weight"].dtype).itemsize == size


def test_sizes_are_those_of_the_bare_network_too(tmp_path, monkeypatch):
    """Children answer at once, in place of MXNet's: a second at 64 pixels, a third of one at 32, a quarter as many."""

    class Answering(nullcontext):
        def __init__(self, task, arguments):
            super().__init__(self)
            assert task == "ours:iterate"
            with Image.open(arguments["content"]) as picture:
                seconds = {(64, 48): 1.0, (32, 24): 1 / 3}[picture.size]
            self.ask = {ours.WHOLE: seconds}.__getitem__

    monkeypatch.setattr(scaling, "Child", Answering)
    rows = scaling.sizes(small(tmp_path, sizes=(64, 32)))["rows"]
    found = [(row["method"], row["width"], row["height"], round(row["relative"]["median"], 9)) for row in rows]
    assert found == [
        ("bare", 64, 48, 1),
        ("bare", 32, 24, 1.333333333),
        ("linear", 64, 48, 1),
        ("linear", 32, 24, 1.333333333),
    ]


def test_an_iteration_of_the_bare_network_is_one_run_of_it(tmp_path, monkeypatch):
    runs = []
    monkeypatch.setattr(ours, "bare_network", lambda *_: (lambda: runs.append(sleep(0.1)),))
    first, second = iterated(tmp_path, [ours.WHOLE, BARE], methods=BARE)
    assert len(runs) == 2 and first >= 0.1 and second >= 0.1


# The command line


def test_one_section_at_a_small_size(tmp_path):
    paths = {kind: tmp_path / "out" / f"bench.{kind}" for kind in ("json", "md")}
    done = run_benchmarks(
        "iterations", "--width", "48", "--height", "32", "--rounds", "2", "--method", "bn+poly",
        "--json", str(paths["json"]), "--markdown", str(paths["md"]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(paths["json"].read_text())
    assert report["size"] == [48, 32] and report["machine"]["threads"] == int(
        report["machine"]["environment"]["OMP_NUM_THREADS"]
    )
    rows = report["sections"]["iterations"]["rows"]
    assert [row["method"] for row in rows] == ["bn+poly"]
    for row in rows:
        assert all(row[column.key]["n"] == 2 for column in SECTIONS["iterations"].columns[1:])
        assert row["seconds"]["median"] > 0
    headings = " | ".join(column.heading for column in SECTIONS["iterations"].columns)
    assert f"| {headings} |" in paths["md"].read_text() and "48 x 32" in paths["md"].read_text()
    assert re.search(r"^bn\+poly +\d", done.stdout, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("section", ["roofline", "stages", "sizes", "threads", "grid", "memory"])
def test_each_section_measures_what_its_columns_show(section, tmp_path):
    path = tmp_path / "bench.json"
    options = "--width 128 --height 96 --rounds 1 --sizes 32,64 --method linear".split()
    command = [sys.executable, "-m", "benchmarks", section, *options, "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())["sections"][section]
    assert "failed" not in result and "skipped" not in result
    for column in SECTIONS[section].columns:
        assert any(row.get(column.key) for row in result["rows"]), column.key


@pytest.mark.parametrize(
    "arguments",
    [
        ["no_such_section"],
        ["--method", "no_such_method"],
        ["--sizes", "big"],
        ["--rounds", "0"],
        ["--pairs", "6"],
        ["revisions"],  # with none
        ["--revision", "HEAD"],  # which no section compares
        ["revisions", "--revision", "no-such-revision"],
        ["revisions", "--revision", "--version"],
    ],
)
def test_misuse_is_refused_before_anything_is_measured(arguments):
    done = run_benchmarks(*arguments)
    assert done.returncode == 2 and "Error" in done.stderr and not done.stdout


def test_without_pytorch_its_section_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(against_torch, "find_spec", lambda name: None)
    result = against_torch.measure(small(tmp_path))
    assert result["rows"] == [] and ".[bench]" in result["skipped"]


def test_a_setting_of_pytorch_that_cannot_run_is_named_once_with_its_reason_and_the_methods(monkeypatch, tmp_path):
    def compare(setting, method):
        return [], {"bf16": "no bfloat16", "compiled": f"no compiler for {method}"}

    monkeypatch.setattr(against_torch, "is_installed", lambda: True)
    monkeypatch.setattr(against_torch, "_compare", compare)
    assert against_torch.measure(small(tmp_path))["notes"] == [
        "bf16: no bfloat16 (bare, linear)",
        "compiled: no compiler for bare (bare)",
        "compiled: no compiler for linear (linear)",
    ]


# bf16


def test_on_a_cpu_without_bfloat16_its_section_says_so_and_float32_is_measured_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "instructions", lambda: ["sse2"])
    result = bf16.measure(small(tmp_path))
    assert result["rows"] == [] and "avx512_bf16" in result["skipped"]
    assert refusal("float32") is None


@needs_bf16
def test_the_section_bf16_measures_both(tmp_path):
    (row,) = bf16.measure(small(tmp_path))["rows"]
    assert row["method"] == "linear" and row["float32_seconds"]["n"] == row["bf16_seconds"]["n"] == 1
    assert row["ratio"]["median"] == row["float32_seconds"]["median"] / row["bf16_seconds"]["median"]


@needs_bf16
@needs_torch
def test_the_bare_network_in_bf16_is_compared_with_pytorchs_in_bf16(tmp_path, monkeypatch):
    """What a loss cannot undercut."""
    monkeypatch.setattr(against_torch, "TORCH", {"bf16": against_torch.TORCH["bf16"]})
    rows = against_torch.measure(small(tmp_path))["rows"]
    assert [(row["method"], row["precision"], row["our_precision"]) for row in rows] == [
        ("bare", "bf16", "bf16"),
        ("linear", "bf16", "bf16"),
    ]


@needs_bf16
def test_the_bare_network_computes_in_the_precision_that_is_asked_for():
    weights, x = model_zoo.load("surrogate"), np.random.default_rng(0).uniform(-100, 100, (1, 3, 32, 32))
    for name, size in (("float32", 4), ("bf16", 2)):
        run, executor, gradient = ours.bare_network(weights, x, name)
        run()
        assert np.dtype(executor.arg_dict["conv1_2_weight"].dtype).itemsize == size
        assert np.isfinite(gradient.asnumpy()).all() and gradient.asnumpy().any()


def test_memory_is_that_of_both_presets_and_fast_goes_on_until_it_keeps_no_more(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "once", lambda task, arguments: asked.append((task, arguments)) or 1.0)
    names = {row["what"] for row in memory.measure(small(tmp_path))["rows"]}
    assert {"transfer, linear", "preset fast, linear"} <= names
    fast = [arguments for task, arguments in asked if arguments.get("preset") == "fast"]
    assert fast and all(each["iterations"] >= 3 for each in fast)  # the second takes another step with one kept


# Quality


def run(total, seconds, outcome="iteration_limit", curve=()):
    return {"total": total, "seconds": seconds, "iterations": 1, "outcome": outcome, "curve": curve}


BASELINES = {"sgd": run(5.0, 100.0), "adam": run(4.0, 200.0), "lbfgs": run(1.0, 150.0, "diverged")}


@pytest.mark.parametrize(
    "fast, objective, until, time, reached",
    [
        (run(4.0, 50.0, curve=[[20, 6.0], [40, 4.0]]), 1.0, 0.2, 0.25, True),  # issue 6: in at most a fifth of the time
        (run(2.0, 50.0, curve=[[20, 6.0], [45, 2.0]]), 0.5, 0.225, 0.25, False),
        (run(5.0, 20.0, curve=[[10, 6.0], [20, 5.0]]), 1.25, None, 0.1, False),
        (run(5.0, 20.0, curve=[[10, 3.0], [20, 5.0]]), 1.25, 0.05, 0.1, False),  # and left again
        (run(1.0, 20.0, "diverged"), None, None, None, False),
    ],
)
def test_fast_is_compared_with_the_lowest_objective_of_those_that_did_not_diverge(
    fast, objective, until, time, reached
):
    row = quality.compare({"fast": fast, **BASELINES})
    assert (row["best"], row["best_total"]) == ("adam", 4.0)
    assert (row["objective"], row["until"], row["time"], row["reached"]) == (objective, until, time, reached)


def test_without_a_baseline_nothing_is_compared():
    row = quality.compare({"fast": run(1.0, 1.0), **{name: run(None, 1.0, "diverged") for name in BASELINES}})
    assert row["best"] is None and not row["reached"]


def test_the_baselines_are_the_papers_setting_but_for_the_way_down():
    configurations = descents.configurations("bn", 64, 500, ("sgd", "adam", "lbfgs"))
    assert list(configurations) == ["fast", "sgd", "adam", "lbfgs"]
    assert set(configurations.pop("fast").overrides) <= {"method", "size", "weights"}
    for name, config in configurations.items():
        assert (config.preset, config.optimizer, config.iterations, config.stop_change) == ("paper", name, 500, 0.0)
        assert set(config.overrides) <= {"method", "size", "weights", "optimizer", "iterations", "stop_change"}


def test_quality_is_measured_where_it_is_named(tmp_path, monkeypatch):
    """For the named pairs and methods, against all optimizers; the descents answer at once, in place of MXNet."""
    asked, path = [], tmp_path / "bench.json"

    def descend(task, arguments):
        asked.append((task, arguments))
        totals = {"fast": 0.9, "sgd": 3.0, "adam": 1.0, "lbfgs": 2.0}
        return {name: run(totals[name], 1.0) for name in ("fast", *arguments["against"])}

    monkeypatch.setattr(quality, "once", descend)
    choices = f"quality --edge 64 --iterations 2 --pairs 1,3 --method bn --json {path}"
    done = CliRunner().invoke(main, choices.split())
    assert done.exit_code == 0, done.stderr
    common = {"methods": "bn", "edge": 64, "iterations": 2, "against": ("sgd", "adam", "lbfgs")}
    assert asked == [("descents:descend", {"pair": pair, **common}) for pair in (1, 3)]
    rows = json.loads(path.read_text())["sections"]["quality"]["rows"]
    assert [(row["pair"], row["method"], row["best"], row["objective"]) for row in rows] == [
        (1, "bn", "adam", 0.9),
        (3, "bn", "adam", 0.9),
    ]
    assert "pair 3, bn" in done.stderr and "long edge of 64" in done.stdout
    assert [name for name, section in SECTIONS.items() if section.on_request] == ["quality", "revisions"]


def test_quality_runs_fast_and_the_named_baselines_alone(tmp_path):
    path = tmp_path / "bench.json"
    choices = "--edge 64 --iterations 2 --pairs 1 --method bn --against adam --against lbfgs"
    done = run_benchmarks("quality", *choices.split(), "--json", str(path))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(path.read_text())["sections"]["quality"]["rows"]
    assert (row["pair"], row["method"]) == (1, "bn")
    assert row["runs"].keys() == {"fast", "adam", "lbfgs"} and row["best"] != "sgd"
    adam, lbfgs, fast = (row["runs"][name] for name in ("adam", "lbfgs", "fast"))
    assert (adam["iterations"], lbfgs["iterations"]) == (2, 2)
    assert row["objective"] == fast["total"] / min(adam["total"], lbfgs["total"])
    seconds, totals = zip(*fast["curve"], strict=True)
    assert sorted(seconds) == list(seconds) and len(seconds) == fast["iterations"]
    assert totals[-1] == fast["total"] and totals[-1] < totals[0]
    assert "with adam, lbfgs, 2 iterations" in done.stdout


# Other revisions


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_revision_is_its_packages_as_they_were_with_the_benchmarks_of_today(tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    monkeypatch.setattr(revisions, "ROOT", repository)

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], cwd=repository, check=True)

    for text in ("then", "now"):
        for package in ("model_zoo", "neural_style_mmd", "benchmarks"):
            (repository / package).mkdir(parents=True, exist_ok=True)
            (repository / package / "text").write_text(text)
        if text == "then":
            git("init", "--quiet")
            git("add", ".")
            git("commit", "--quiet", "--message=then")
    commit = revisions.commit_of("HEAD")
    assert re.fullmatch("[0-9a-f]{40}", commit) and revisions.commit_of(commit[:9]) == commit
    tree = revisions.unpacked(commit, tmp_path)
    found = {path.parent.name: path.read_text() for path in tree.glob("*/text")}
    assert found == {"model_zoo": "then", "neural_style_mmd": "then", "benchmarks": "now"}


def test_a_child_runs_what_its_root_has(tmp_path):
    for package in ("benchmarks", "model_zoo"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / "benchmarks" / "where.py").write_text("import model_zoo\ndef where(turn): return model_zoo.__file__")
    with Child("where:where", root=tmp_path) as child:
        assert Path(child.first) == tmp_path / "model_zoo" / "__init__.py"


def test_a_revision_takes_turns_with_this_tree_and_each_starts_first_once(tmp_path, monkeypatch):
    """Children answer at once, in place of MXNet's: a second here, two there, and ten times that in the second pair."""
    theirs, started = tmp_path / "1234567890", []

    class Answering(nullcontext):
        def __init__(self, task, arguments, root):
            super().__init__(self)
            slow = 10 if len(started) >= 2 else 1
            started.append(root)
            self.ask = {ours.WHOLE: slow * {ROOT: 1.0, theirs: 2.0}[root]}.__getitem__

    monkeypatch.setattr(revisions, "Child", Answering)
    monkeypatch.setattr(revisions, "commit_of", {"v1": "1234567890"}.__getitem__)
    monkeypatch.setattr(revisions, "unpacked", lambda commit, folder: folder / commit)
    (row,) = revisions.measure(small(tmp_path, revisions=("v1",), rounds=3))["rows"]
    assert started == [ROOT, theirs, theirs, ROOT]
    assert (row["method"], row["revision"]) == ("linear", "1234567")
    assert row["ratio"] == {"median": 0.5, "quartiles": [0.5, 0.5], "n": 6}
    assert (row["our_seconds"]["median"], row["seconds"]["median"]) == (5.5, 11.0)


# Ended from outside


def command_line(pid):
    """Nothing, if the process has ended."""
    try:
        return Path("/proc", pid, "cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_a_terminated_benchmark_takes_its_child_with_it():
    command = [sys.executable, "-m", "benchmarks", "quality", "--edge", "96", "--pairs", "0", "--method", "linear"]
    benchmark = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listed, deadline = Path(f"/proc/{benchmark.pid}/task/{benchmark.pid}/children"), monotonic() + 60
    # Not any child: while libraries are imported, before the benchmark begins, one of them runs lscpu.
    while not (children := [pid for pid in listed.read_text().split() if "benchmarks.child" in command_line(pid)]):
        assert monotonic() < deadline and benchmark.poll() is None
        sleep(0.05)
    benchmark.terminate()
    assert benchmark.wait(timeout=60) == 143
    assert not [pid for pid in children if Path("/proc", pid).exists()]


def test_terminated_while_its_child_starts_it_takes_it_with_it(monkeypatch):
    started, popen = [], subprocess.Popen

    def terminated(*arguments, **options):
        started.append(popen(*arguments, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", terminated)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with pytest.raises(SystemExit):
            Child("ours:bare_memory", {"content": "none"})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [process.poll() for process in started] == [-signal.SIGKILL]


# PyTorch


@needs_torch
def test_the_losses_in_pytorch_are_the_equations():
    """Each distance of random features against float64 NumPy, written from the paper."""
    import torch

    from benchmarks import torch_losses

    random = np.random.default_rng(0)
    f, s = random.normal(1, 2, (5, 12)), random.normal(0, 1, (5, 20))  # (N, M)
    f[4] = 3.0  # sigma is 0
    n, pairs, style_pairs = 5, np.array([[0, 3], [7, 1]]), np.array([[4, 5], [19, 2]])

    def squared(i, j):
        x, y = f[:, i], s[:, j]
        return ((x - y) ** 2).sum()

    distances = np.array(
        [
            [((f[:, a] - f[:, b]) ** 2).sum(), ((s[:, c] - s[:, d]) ** 2).sum(), squared(a, d), squared(b, c)]
            for (a, b), (c, d) in zip(pairs, style_pairs, strict=True)
        ]
    )
    kernels = np.exp(-distances / (2 * distances.mean()))
    grams = ((f @ f.T / 12 - s @ s.T / 20) ** 2).sum() / (4 * n**2)
    means = ((f.mean(1) - s.mean(1)) ** 2).sum()
    expected = {
        "linear": means / n,
        "poly": grams,
        "gram": grams,
        "bn": (means + ((f.std(1) - s.std(1)) ** 2).sum()) / n,
        "gaussian": (kernels @ [1, 1, -1, -1]).mean(),
    }
    x, y = (torch.from_numpy(each.astype(np.float32)).reshape(1, 5, -1, 4) for each in (f, s))
    for memory_format in (torch.contiguous_format, torch.channels_last):
        for name, (statistic, distance) in torch_losses.METHODS.items():
            picture, target = (
                statistic(torch_losses.samples(each.contiguous(memory_format=memory_format))) for each in (x, y)
            )
            if name == "gaussian":
                picture = torch_losses.drawn_samples(picture[0], torch.from_numpy(pairs))
                target = torch_losses.drawn_samples(target[0], torch.from_numpy(style_pairs))
            assert float(distance(picture, target, n)) == pytest.approx(expected[name], rel=1e-5), name


@needs_torch
def test_pytorch_is_timed_only_where_it_computes_the_same(tmp_path):
    """One per mille is the limit, so 1 % more in one term is refused, and so is 1 % more gradient."""
    path = tmp_path / "reference.npz"
    problem = {"methods": "linear+poly+gaussian+bn", **small(tmp_path, width=48).pictures()}
    once("ours:evaluation", {**problem, "path": str(path)})
    task = {**problem, "reference": str(path), "variants": ["eager", "channels_last"]}
    ready = once("torch_transfer:iterate", task)
    assert ready["failed"] == {} and list(ready["errors"]) == ["eager", "channels_last"]
    with np.load(path) as there:
        arrays = {name: there[name] for name in there.files}
    for changed in ("terms", "gradient"):
        other = arrays[changed].copy()
        other.flat[:: other.size if changed == "terms" else 1] *= 1.01
        np.savez(path, **(arrays | {changed: other}))
        with pytest.raises(ChildFailed, match="computes another"):
            once("torch_transfer:iterate", task)
