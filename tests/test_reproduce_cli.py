"""`python -m reproduce` as a person types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def reproduce(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reproduce", *arguments], capture_output=True, text=True, cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200,
    )  # fmt: skip


@pytest.fixture
def grid(tmp_path: Path, pictures: tuple[Path, Path]) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(
        f'methods = ["linear"]\ngammas = [2]\npairs = [{{ content = "{pictures[0]}", style = "{pictures[1]}" }}]\n'
        'layer_sets = [["relu1_1"]]\nsizes = [40]\niterations = 3\npreview_size = 32\npreview_iterations = 2\n'
        '[config]\ncontent_layer = "relu2_1"\nstop_change = 0.0\n'
    )
    return path


def test_a_grid_from_preview_to_full_with_status_report_and_clean(grid: Path, network_file: Path) -> None:
    folder = grid.parent
    arguments = ("run", "tiny.toml", "--weights", str(network_file), "--jobs", "2")
    first = reproduce(*arguments, "--preview", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert "cells: 2, done: 0" in first.stderr
    assert "from a measured iteration of" in first.stderr
    made = folder / "out" / "tiny-unverified-own-pictures"
    for name in ("index.html", "tiny.png", "tiny.pdf", "metrics.csv"):
        assert (made / name).stat().st_size > 100
    assert not (made / "targets").exists(), "no cell is left that could need them"

    second = reproduce(*arguments, cwd=folder)
    assert second.returncode == 0, second.stderr
    assert "cells: 4, done: 2" in second.stderr
    assert "tiny preview" not in second.stderr.replace("tiny-unverified", ""), "the preview is done already"
    assert (made / "metrics.csv").read_text().count("\n") == 3

    status = reproduce("status", cwd=folder)
    assert status.stdout.splitlines()[1:] == ["  preview: 2 cells, 2 done", "  full: 2 cells, 2 done"]
    (made / "index.html").unlink()
    assert reproduce("report", cwd=folder).returncode == 0
    assert (made / "index.html").exists()
    assert reproduce("clean", cwd=folder).stdout.endswith("0 removed\n")

    table = (made / "metrics.csv").read_text()
    again = reproduce(*arguments, "--preview", cwd=folder)
    assert (again.returncode, "cells: 2, done: 2" in again.stderr) == (0, True), again.stderr
    assert (made / "metrics.csv").read_text() == table, "a preview afterwards takes nothing from the full figure"
    assert reproduce("clean", cwd=folder).stdout.endswith("0 removed\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nowhere.toml"), "cannot read nowhere.toml"),
        (("run", "tiny.toml", "--shard", "3/2"), "shard '3/2'"),
        (("run", "tiny.toml", "--jobs", "many"), "jobs is 'many'"),
        (("run", "tiny.toml", "--timeout", "0"), "timeout is 0; give more than 0"),
        (("run", "tiny.toml", "--timeout", "-5"), "timeout is -5"),
        (("run", "tiny.toml", "--timeout", "nan"), "timeout is nan"),
        (("run", "tiny.toml", "--gammas", "release"), "nor a sweep"),
        (("figure4", "--gammas", "1,5"), "several cells fall on one place: gamma varies"),
        (("figure2", "--gammas", "1,1"), "several cells fall on one place: a value is given twice"),
        (("run", "sizes.toml", "--size", "64"), "several cells fall on one place: a value is given twice"),
        (("run", "tiny.toml", "--weights", "nothing.npz"), "no such weights"),
        (("run", "tiny.toml", "--weights", "~no-such-user/x.npz"), "no such weights"),
        (("run", "seeds.toml", "--replicates", "3"), "the grid gives 2 seeds"),
        (("status",), "there is no figure in out"),
        (("report", "."), "is not a figure's folder"),
        (("figure2", "--preset", "x", "--offline"), "unknown preset 'x'"),
        (("figure9",), "figure9"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(grid: Path, arguments: tuple[str, ...], words: str) -> None:
    by_size = grid.read_text().replace("sizes = [40]\n", 'rows = ["size"]\n') + "[[block]]\nsizes = [40]\n" * 2
    grid.with_name("sizes.toml").write_text(by_size.replace("[40]", "[48]", 1))
    grid.with_name("seeds.toml").write_text("seeds = [7, 8]\n" + grid.read_text())
    done = reproduce(*arguments, cwd=grid.parent)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_show_prints_a_grid_to_start_from(tmp_path: Path) -> None:
    from reproduce.figures import figure, read_grid

    (tmp_path / "mine.toml").write_text(reproduce("show", "figure3").stdout)
    assert read_grid(tmp_path / "mine.toml").coordinates() == figure("figure3").coordinates()


def test_help_and_plans_load_no_mxnet() -> None:
    code = "import sys, reproduce.__main__, reproduce.pipeline, reproduce.report, reproduce.worker, reproduce.cluster\n"
    code += "sys.exit('mxnet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert "figure1" in reproduce("--help").stdout
