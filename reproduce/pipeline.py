"""A grid from the command line to its report: network, pictures, plan, the cells stage by stage, the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from model_zoo.errors import InputError
from model_zoo.files import make_folder

from . import supervisor
from .cells import Cell, Plan, make_plan
from .display import Display
from .figures import Grid
from .inputs import Inputs, find_network, find_pictures
from .runner import Tally, divide_cores, run_locally
from .store import Store

REPORT_EVERY = 30.0  # seconds between two reports while cells are done

DONE, SOME_FAILED, STOPPED = 0, 1, 130


@dataclass(frozen=True)
class Options:
    """How a grid is run; nothing here but `replicates` and `calibration` changes what a cell makes.

    out: the folder in which the grid's own folder lies. inputs: a folder with pictures of the figure's names.
    preview: do the preview alone; the plan is the whole one all the same, so that full cells that are done still count.
    shard: (i, n), this run's share, i from 1. scheduler: of Dask. jobs, threads: None for the stated rule.
    """

    out: Path = Path("out")
    weights: str = "auto"
    inputs: Path | None = None
    offline: bool = False
    preview: bool = False
    replicates: int = 1
    calibration: str = "figure"
    jobs: int | None = None
    threads: int | None = None
    timeout: float = supervisor.TIMEOUT
    shard: tuple[int, int] | None = None
    scheduler: str | None = None
    command: Sequence[str] = field(default_factory=tuple)


def make_figure(grid: Grid, options: Options, stream: TextIO) -> int:
    """Do what is left of the grid and write its report; returns an exit code."""

    def say(text: str) -> None:
        stream.write(text + "\n")
        stream.flush()

    if grid.seeds and options.replicates > 1:
        raise InputError(
            f"replicates is {options.replicates}, but the grid gives {len(grid.seeds)} seeds, one for each replicate; "
            "leave one of the two out"
        )
    inputs = find_inputs(grid, options, say)
    store = Store(options.out / inputs.folder_name(grid.name))
    make_folder(store.folder)
    store.open(inputs.network)
    plan = make_plan(grid, inputs, replicates=options.replicates, calibration=options.calibration)
    store.write_plan(describe_plan(grid, inputs, plan, options))
    say(f"network: {inputs.network.kind} {inputs.network.name} (sha256 {inputs.network.sha256[:12]})")
    say(f"pictures: {_PICTURES[inputs.origin]}")
    say(f"folder: {store.folder}")
    run = _Run(grid, plan, store, inputs, options, stream, say)
    return run.all_stages()


_PICTURES = {
    "named": "those that the grid names",
    "own": "your own, which are not those that the figure names",
    "procedural": "procedural ones, made by this program in place of the figure's",
}


def find_inputs(grid: Grid, options: Options, say: Callable[[str], None]) -> Inputs:
    """The network and the pictures, by the rules of the model zoo."""
    network = find_network(options.weights, offline=options.offline, notify=say)
    unreachable = options.weights == "auto" and network.kind == "surrogate"
    return find_pictures(grid, network, options.inputs, offline=options.offline or unreachable, notify=say)


def describe_plan(grid: Grid, inputs: Inputs, plan: Plan, options: Options) -> dict[str, Any]:
    """What `status` and `report` read, in JSON's types."""
    return {
        "schema": 1,
        "command": shlex.join(options.command),
        "grid": {
            "name": grid.name,
            "title": grid.title,
            "caption": grid.caption,
            "rows": list(grid.rows),
            "columns": list(grid.columns),
            "iterations": grid.iterations,
            "claims": list(grid.claims),
            "config": dict(grid.config),
            "sources": dict(grid.sources),
        },
        "inputs": inputs.as_dict() | {"notice": inputs.network.notice, "prefix": inputs.network.prefix},
        "replicates": len(grid.seeds) or options.replicates,
        "calibration": options.calibration,
        "cells": {cell_id: cell.as_dict() for cell_id, cell in plan.cells.items()},
        "places": [asdict(place) for place in plan.places],
        "rows": list(plan.rows),
        "columns": list(plan.columns),
        "row_pairs": [pair and {"content": pair.content, "style": pair.style} for pair in plan.row_pairs],
        "stages": plan.stages,
    }


def shard_of(cells: Sequence[Cell], shard: tuple[int, int] | None) -> list[Cell]:
    """The share (i, n) of a stage: every n-th picture from the i-th, and the calibrations that these need."""
    if shard is None:
        return list(cells)
    i, n = shard
    mine = [cell for cell in cells if cell.kind == "transfer"][i - 1 :: n]
    needed = {need for cell in mine for need in cell.needs.values()}
    return [cell for cell in cells if cell.id in needed] + mine


@dataclass
class _Run:
    grid: Grid
    plan: Plan
    store: Store
    inputs: Inputs
    options: Options
    stream: TextIO
    say: Callable[[str], None]
    reported_at: float = float("-inf")

    def all_stages(self) -> int:
        stages = {stage: self.plan.stage(stage) for stage in self.plan.stages}
        if self.options.preview:
            stages = {"preview": self.plan.first_look()}
        cells = {stage: shard_of(each, self.options.shard) for stage, each in stages.items()}
        left = {stage: [cell for cell in each if not self.store.is_done(cell.id)] for stage, each in cells.items()}
        whole = sum(map(len, cells.values()))
        self.say(f"cells: {whole}, done: {whole - sum(map(len, left.values()))}")
        failed = 0
        for stage, each in cells.items():
            if missing := left[stage]:
                tally = self._stage(stage, each, missing)
                failed += len(tally.failed)
                if tally.stopped:
                    self.report()
                    self.say("stopped; the same command goes on from here")
                    return STOPPED
            self.report()
            self.say(f"{stage}: {self.store.folder / 'index.html'}")
        if all(self.store.is_done(cell.id) for each in stages.values() for cell in each):
            self.store.remove_targets()
        if failed:
            self.say(f"{failed} cells failed; their logs are in the report, and the same command tries them again")
        return SOME_FAILED if failed else DONE

    def _stage(self, stage: str, cells: list[Cell], missing: list[Cell]) -> Tally:
        options = self.options
        name = f"{self.grid.name} {stage}"
        jobs, threads = divide_cores(options.jobs, missing)
        threads = options.threads or threads
        if options.scheduler:
            from .cluster import run_on_cluster

            return run_on_cluster(
                self.store, cells, self.inputs.network, Display(self.stream, name, len(cells)),
                scheduler=options.scheduler, threads=options.threads, timeout=options.timeout, on_done=self.on_done,
            )  # fmt: skip
        self.say(f"{name}: {len(missing)} of {len(cells)} cells to do, {_plan_of_work(jobs, threads)}")
        return run_locally(
            self.store, cells, self.inputs.network, Display(self.stream, name, len(cells)), jobs=jobs,
            threads=threads, timeout=options.timeout, on_done=self.on_done,
        )  # fmt: skip

    def on_done(self, cell: Cell) -> None:
        if monotonic() - self.reported_at >= REPORT_EVERY:
            self.report()

    def report(self) -> None:
        from .report import write_report

        write_report(self.store)
        self.reported_at = monotonic()


def _plan_of_work(jobs: int, threads: int) -> str:
    return f"{jobs} at once with {threads} thread{'s' if threads > 1 else ''} each"


def parse_shard(text: str) -> tuple[int, int]:
    """ "2/8" -> (2, 8)."""
    i, _, n = text.partition("/")
    if not (i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise InputError(f"shard {text!r}; write i/n with i from 1 to n, such as 1/4")
    return int(i), int(n)
