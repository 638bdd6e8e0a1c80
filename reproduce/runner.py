"""The cells that are not done yet, done on this machine: several processes, the cores divided among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from neural_style_mmd.progress import duration
from neural_style_mmd.threads import usable_cores

from . import locks, supervisor
from .cells import Cell
from .display import Display
from .inputs import Network
from .memory import free_memory
from .store import Store
from .supervisor import CellProcess, Ended, write_spec

POLL = 0.1  # seconds between two looks at the processes
LOOK_AROUND = 1.0  # seconds between two looks at what other runners did


@dataclass(frozen=True)
class Estimate:
    """Seconds: of a cell's start, the balance of its terms included, and of one of its iterations."""

    start: float
    iteration: float

    def of(self, cell: Cell) -> float:
        """Seconds of the whole cell, if it does not stop early."""
        if cell.kind == "calibration":
            return len(cell.content["pairs"]) * (self.start + supervisor.EVALUATIONS * self.iteration)
        return self.start + cell.content["config"]["iterations"] * self.iteration


@dataclass
class Tally:
    """What became of the cells of a run."""

    done: int = 0
    failed: list[Ended] = field(default_factory=list)
    stopped: bool = False


class Board:
    """Which cells are done, which failed in this run, which may start now. Knows nothing of processes."""

    def __init__(self, cells: Sequence[Cell], store: Store) -> None:
        self._store, self._cells = store, {cell.id: cell for cell in cells}
        self.failed: dict[str, Ended] = {}
        self.running: set[str] = set()
        self.pending = [cell.id for cell in cells if not store.is_done(cell.id)]

    @property
    def done(self) -> int:
        """Cells that are done, whoever did them."""
        return len(self._cells) - len(self.pending) - len(self.running) - len(self.failed)

    @property
    def is_finished(self) -> bool:
        """Whether every cell is done or has failed."""
        return not self.pending and not self.running

    def look_around(self) -> None:
        """Take note of what other runners did, and of cells that cannot start because a calibration failed."""
        self.pending = [cell_id for cell_id in self.pending if not self._store.is_done(cell_id)]
        for cell_id in list(self.pending):
            lost = [need for need in self._cells[cell_id].needs.values() if need in self.failed]
            if lost:
                self.pending.remove(cell_id)
                self.failed[cell_id] = Ended(cell_id, "failed", "the calibration that it needs failed")

    def next(self) -> Cell | None:
        """Take the first cell that may start: its calibrations are done and nobody else is at it."""
        for cell_id in self.pending:
            cell = self._cells[cell_id]
            ready = all(self._store.is_done(need) for need in cell.needs.values())
            if ready and not locks.is_claimed(self._store.claim_path(cell_id)):
                self.pending.remove(cell_id)
                self.running.add(cell_id)
                return cell
        return None

    def take_in(self, ended: Ended) -> None:
        """A cell's process ended."""
        self.running.discard(ended.cell_id)
        if ended.outcome == "failed":
            self.failed[ended.cell_id] = ended
        elif not self._store.is_done(ended.cell_id):
            self.pending.append(ended.cell_id)

    def remaining(self) -> list[Cell]:
        """The cells that are neither done nor failed."""
        return [self._cells[cell_id] for cell_id in [*self.pending, *self.running]]


def divide_cores(jobs: int | None, cells: Sequence[Cell], cores: int | None = None) -> tuple[int, int]:
    """(cells at once, threads of each).

    The rule of `--jobs auto`: one thread for each cell and as many cells as there are cores, because cells have nothing
    to wait for one another, while threads do; fewer cells, with more threads each, where there are not so many or the
    free memory does not hold them.
    """
    cores = cores or usable_cores()
    if jobs is None:
        largest = max((cell.content["config"]["size"] for cell in cells), default=512)
        jobs = max(1, min(cores, len(cells), free_memory() // _memory_of(largest)))
    return jobs, max(1, cores // jobs)


def _memory_of(size: int) -> int:
    """Bytes of a cell with this long edge, generously: the network's 80 MB several times, and feature maps."""
    return int(400e6 + 3300 * size**2)


def dearest_first(cells: Sequence[Cell]) -> list[Cell]:
    """Calibrations, then by the time of an iteration: size, depth, the sampling method, the number of methods.

    The last cells, beside which cores stand idle, are then short ones, and what the first ones take is a bound.
    """

    def cost(cell: Cell) -> tuple:
        config = cell.content["config"]
        methods = config.get("method") or [cell.content["method"]]
        depth = len(config["layers"])
        return cell.kind == "calibration", config["size"], depth, "gaussian" in methods, len(methods)

    return sorted(cells, key=cost, reverse=True)  # which leaves equal ones in their order


def run_locally(
    store: Store,
    cells: Sequence[Cell],
    network: Network,
    display: Display,
    *,
    jobs: int,
    threads: int,
    timeout: float = supervisor.TIMEOUT,
    on_done: Callable[[Cell], None] = lambda cell: None,
    extra: Mapping[str, Any] | None = None,
    command: Sequence[str] = supervisor.COMMAND,
) -> Tally:
    """Do every cell that is not done, `jobs` at once. On KeyboardInterrupt all are stopped with a checkpoint.

    on_done: called after each cell that this run finished while others are left.
    extra: for the cells' spec.
    """
    board = Board(dearest_first(cells), store)
    processes: list[CellProcess] = []
    expected: Estimate | None = None
    looked_at = float("-inf")
    try:
        while not board.is_finished:
            if monotonic() - looked_at >= LOOK_AROUND:
                board.look_around()
                looked_at = monotonic()
            done: list[Cell] = []
            for process in list(processes):
                ended = process.ended()
                if expected is None and process.pace:
                    expected = Estimate(**process.pace)
                    display.say(_in_words(board.remaining(), jobs, expected))
                if ended is not None:
                    processes.remove(process)
                    board.take_in(ended)
                    display.ended(process.cell, ended)
                    looked_at = float("-inf")
                    done += [process.cell] if ended.outcome == "done" else []
            while len(processes) < jobs and (cell := board.next()) is not None:
                write_spec(store, cell, network, extra)
                processes.append(CellProcess(store, cell, threads, timeout=timeout, command=command))
                display.started(cell)
            if not board.is_finished:
                for cell in done:  # now that every core has work again
                    on_done(cell)
            display.show(board.done, len(board.failed), processes, _seconds_left(board, processes, jobs, expected))
            sleep(POLL)
    except KeyboardInterrupt:
        display.say("stopping: each cell writes its checkpoint")
        supervisor.stop_all(processes)
        return Tally(board.done, list(board.failed.values()), stopped=True)
    finally:
        for process in processes:
            process.kill()
        display.close()
    return Tally(board.done, list(board.failed.values()))


def _in_words(cells: Sequence[Cell], jobs: int, expected: Estimate) -> str:
    seconds = sum(expected.of(cell) for cell in cells) / jobs
    return f"at most about {duration(seconds)}, from a measured iteration of {expected.iteration:.2f} s"


def _seconds_left(board: Board, processes: Sequence[CellProcess], jobs: int, expected: Estimate | None) -> float | None:
    """From the pace of the cells that run now, else of the first that told it; None before."""
    if expected is None:
        return None
    paces = [
        process.progress["seconds"] / process.progress["iteration"]
        for process in processes
        if process.progress.get("iteration", 0) >= 3 and process.progress.get("seconds")
    ]
    pace = Estimate(expected.start, sum(paces) / len(paces) if paces else expected.iteration)
    total = sum(pace.of(cell) for cell in board.remaining())
    total -= sum(
        pace.start + pace.iteration * process.progress.get("iteration", 0) for process in processes if process.progress
    )
    return max(0.0, total) / jobs
