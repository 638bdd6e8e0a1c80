"""Cells per hour of a small grid on all cores, against one cell after another with all threads; a cell's start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

from model_zoo.files import make_folder
from neural_style_mmd.threads import VARIABLE

from .processes import ROOT, Child, ChildFailed, summary
from .setting import Setting

METHODS = ("linear", "poly", "gaussian", "bn")
GAMMAS = (1.0, 5.0)
ITERATIONS = 40
STARTS = 5  # fresh processes for the start-up


def measure(setting: Setting) -> dict[str, Any]:
    """Rows of {"what", "seconds", "cells_per_hour", "ratio"}; the ratio is to single runs. Half the setting's edges."""
    pictures = setting.pictures(setting.width // 2, setting.height // 2)
    cells = list(product(setting.methods or METHODS, GAMMAS))
    folder = make_folder(setting.folder / "grid")
    grid = folder / "grid.toml"
    grid.write_text(grid_text(sorted({method for method, _ in cells}), setting.width // 2, pictures), encoding="utf-8")
    ways = {
        "grid, all cores": [_grid_command(grid, folder / "all-cores")],
        "grid, one cell after another": [_grid_command(grid, folder / "one-by-one", "--jobs", "1")],
        "single runs, all threads": [
            _single_command(pictures, method, gamma, setting.width // 2, folder / f"{method}-{gamma}.png")
            for method, gamma in cells
        ],
    }
    seconds = {}
    for name, commands in ways.items():
        setting.say(f"grid: {name}")
        seconds[name] = sum(_seconds(command) for command in commands)
    single = seconds["single runs, all threads"]
    rows: list[dict[str, Any]] = [
        {"what": name, "seconds": summary([each]), "cells_per_hour": 3600 * len(cells) / each, "ratio": single / each}
        for name, each in seconds.items()
    ]
    setting.say("grid: start-up of a cell")
    store = next((folder / "all-cores").glob("*/plan.json")).parent
    rows += [{"what": name, "seconds": summary(each)} for name, each in _start_ups(store, STARTS).items()]
    return {"rows": rows, "notes": [f"{len(cells)} cells of {setting.width // 2} pixels and {ITERATIONS} iterations"]}


def grid_text(methods: list[str], edge: int, pictures: dict[str, str]) -> str:
    """A grid of `methods` by GAMMAS for one pair, in TOML, whose preview is all there is to do."""
    return "\n".join(
        [
            'name = "bench"',
            f"methods = {json.dumps(methods)}",
            f"gammas = {json.dumps(list(GAMMAS))}",
            f"pairs = [{{ content = {json.dumps(pictures['content'])}, style = {json.dumps(pictures['style'])} }}]",
            f"preview_size = {edge}",
            f"preview_iterations = {ITERATIONS}",
            "[config]",
            "stop_change = 0.0",
        ]
    )


def _grid_command(grid: Path, out: Path, *more: str) -> list[str]:
    return ["reproduce", "run", str(grid), "--preview", "--weights", "surrogate", "--out", str(out), *more]


def _single_command(pictures: dict[str, str], method: str, gamma: float, edge: int, out: Path) -> list[str]:
    options = {
        "--method": method.replace("+", ","),
        "--gamma": gamma,
        "--size": edge,
        "--iterations": ITERATIONS,
        "--stop-change": 0,
        "--weights": "surrogate",
        "--output": out,
    }
    given = [str(part) for option in options.items() for part in option]
    return ["neural_style_mmd", "transfer", pictures["content"], pictures["style"], *given]


def _seconds(command: list[str]) -> float:
    """Of `python -m command`, from start to end; ChildFailed, with its last line, where it fails."""
    began = perf_counter()
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ChildFailed(f"{' '.join(command[:2])}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return perf_counter() - began


def _start_ups(folder: Path, runs: int) -> dict[str, list[float]]:
    """Seconds of fresh processes with one thread from their start until all is bound, and until their first evaluation,
    of a cell that finds the targets that another has measured."""
    from reproduce.cells import Cell
    from reproduce.inputs import find_network
    from reproduce.store import Store
    from reproduce.supervisor import write_spec

    store = Store(folder)
    cell = next(Cell.from_dict(each) for each in store.read_plan()["cells"].values() if each.get("kind") == "transfer")
    spec = write_spec(store, cell, find_network("surrogate", offline=True))
    bound, evaluated = [], []
    for _ in range(1 + runs):
        began = perf_counter()
        arguments = {"spec": str(spec), "targets_folder": str(store.targets)}
        with Child("startup:cell_start_up", arguments, {VARIABLE: "1"}) as child:
            bound.append(perf_counter() - began)
            child.ask()
            evaluated.append(perf_counter() - began)
    store.remove_targets()
    # The first measured the targets.
    return {"start-up of a cell": bound[1:], "start-up of a cell and its first evaluation": evaluated[1:]}
