"""The same cells on a Dask cluster: results lie on the shared folder, a task returns a receipt.

A task starts the cell's own process, as on one machine, so a worker that is killed loses the cell's last seconds; Dask
gives the task to another worker, which goes on from the checkpoint.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from model_zoo.errors import InputError
from neural_style_mmd.threads import usable_cores

from . import supervisor
from .cells import Cell
from .display import Display
from .inputs import Network
from .runner import POLL, Board, Tally
from .store import Store
from .supervisor import CellProcess, Ended, run_to_end, write_spec

INSTALL = "pip install 'neural-style-mmd[distributed]'"
WAIT_FOR_WORKERS = 60.0  # seconds
BUSY_POLL = 1.0  # seconds between two looks at a claim that somebody holds
AHEAD = 2  # cells submitted for each worker thread, so that none waits for the next


def do_cell(
    folder: str, cell: dict[str, Any], threads: int | None, slots: dict[str, int], timeout: float
) -> dict[str, Any]:
    """The task: do one cell of the store in `folder` and return what became of it.

    threads: of MXNet in the cell; None for the worker's cores divided among the `slots` (worker threads) of its host.
    Dask itself sets OMP_NUM_THREADS=1 in its workers, which the cell's process does not inherit.
    """
    if not Path(folder).is_dir():
        reason = f"there is no folder {folder} on this worker: it must be shared by all"
        return asdict(Ended(cell["id"], "failed", reason))
    if threads is None:
        host = urlsplit(_dask().get_worker().address).hostname or ""
        threads = max(1, usable_cores() // slots.get(host, 1))
    store, mine = Store(Path(folder)), Cell.from_dict(cell)
    while True:
        process = CellProcess(store, mine, threads, timeout=timeout)
        try:
            ended = run_to_end(process)
        finally:
            process.kill()
        if store.is_done(mine.id):
            return asdict(replace(ended, outcome="done"))
        if ended.outcome != "busy":
            return asdict(ended)
        sleep(BUSY_POLL)  # the process of a killed worker ends at its next iteration


def run_on_cluster(
    store: Store,
    cells: Sequence[Cell],
    network: Network,
    display: Display,
    *,
    scheduler: str,
    threads: int | None = None,
    timeout: float = supervisor.TIMEOUT,
    on_done: Callable[[Cell], None] = lambda cell: None,
) -> Tally:
    """Do every cell that is not done on the cluster at `scheduler`: tcp://HOST:PORT, or local:N, N processes here."""
    client, cluster = _connect(scheduler)
    folder = str(store.folder.absolute())
    board = Board(cells, store)
    tasks: dict[Any, tuple[Cell, float]] = {}
    try:
        slots = _slots(client)
        while not board.is_finished:
            board.look_around()
            while len(tasks) < AHEAD * sum(slots.values()) and (cell := board.next()) is not None:
                write_spec(store, cell, network)
                key = f"cell-{cell.id}-{monotonic()}"  # a cell that is sent again is another task
                task = client.submit(do_cell, folder, cell.as_dict(), threads, slots, timeout, key=key)
                tasks[task] = (cell, monotonic())
                display.started(cell)
            for task in [task for task in tasks if task.done()]:
                cell, _ = tasks.pop(task)
                ended = _receipt(task, cell)
                board.take_in(ended)
                display.ended(cell, ended)
                if ended.outcome == "done":
                    on_done(cell)
            display.show(board.done, len(board.failed), [_Sent(cell) for cell, _ in tasks.values()], None)
            sleep(POLL)
    except KeyboardInterrupt:
        display.say("stopping: cells that were sent are cancelled, those that run write a checkpoint every 20 s")
        client.cancel(list(tasks))
        return Tally(board.done, list(board.failed.values()), stopped=True)
    finally:
        display.close()
        client.close()
        if cluster is not None:
            cluster.close()
    return Tally(board.done, list(board.failed.values()))


class _Sent:
    """A cell on the cluster, as the display wants it."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.progress: dict[str, Any] = {}


def _receipt(task: Any, cell: Cell) -> Ended:
    if task.status == "finished":
        return Ended(**task.result())
    error = task.exception()
    return Ended(cell.id, "failed", f"the cluster gave it up: {type(error).__name__}: {error}")


def _connect(scheduler: str) -> tuple[Any, Any]:
    """A client, and the local cluster where one was asked for."""
    dask = _dask()
    kind, _, number = scheduler.partition(":")
    if kind == "local" and number.isdigit() and int(number) >= 1:
        cluster = dask.LocalCluster(n_workers=int(number), threads_per_worker=1, processes=True, dashboard_address=None)
        return dask.Client(cluster), cluster
    if not scheduler.startswith(("tcp://", "tls://", "ucx://", "ws://")):
        raise InputError(f"scheduler {scheduler!r}; give tcp://HOST:PORT or local:N with N from 1")
    try:
        return dask.Client(scheduler, timeout=10), None
    except (OSError, TimeoutError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler}; start one, or use local:{os.cpu_count()}"
        ) from error


def _dask() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise InputError(f"--scheduler needs Dask: {INSTALL}") from error


def _workers(dask_scheduler: Any) -> dict[str, int]:
    """Runs on the scheduler, which in the client's own summary leaves workers out."""
    return {address: worker.nthreads for address, worker in dask_scheduler.workers.items()}


def _slots(client: Any) -> dict[str, int]:
    """Worker threads by host; waits for the first worker."""
    deadline = monotonic() + WAIT_FOR_WORKERS
    while True:
        workers = client.run_on_scheduler(_workers)
        slots: Counter[str] = Counter()
        for address, threads in workers.items():
            slots[urlsplit(address).hostname or ""] += threads
        if slots:
            return dict(slots)
        if monotonic() > deadline:
            raise InputError(f"the cluster had no worker for {WAIT_FOR_WORKERS:g} s; start some, then run this again")
        sleep(0.5)
