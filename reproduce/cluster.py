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
from .locks import is_claimed
from .runner import POLL, Board, Tally
from .store import Store
from .supervisor import CellProcess, Ended, run_to_end, write_spec

INSTALL = ".venv/bin/pip install -e '.[distributed]'"
WAIT_FOR_WORKERS = 60.0  # seconds
BUSY_POLL = 1.0  # seconds between two looks at a claim that somebody holds
AHEAD = 2  # cells submitted for each worker thread, so that none waits for the next
COUNT_WORKERS = 2.0  # seconds between two looks at who works: a cluster grows and shrinks


def do_cell(
    folder: str,
    cell: dict[str, Any],
    network: dict[str, str],
    threads: int | None,
    slots: dict[str, int],
    timeout: float,
) -> dict[str, Any]:
    """The task: do one cell of the store in `folder` and return what became of it.

    threads: of MXNet in the cell; None for the worker's share of its cores, see `threads_of`. slots: worker threads by
    host. Dask itself sets OMP_NUM_THREADS=1 in its workers, which the cell's process does not inherit.
    """
    if not Path(folder).is_dir():
        reason = f"there is no folder {folder} on this worker: it must be shared by all"
        return asdict(Ended(cell["id"], "failed", reason))
    if threads is None:
        worker = _dask().get_worker()
        on_host = slots.get(urlsplit(worker.address).hostname or "", 1)
        threads = threads_of(worker.state.nthreads, on_host, usable_cores(), os.cpu_count() or 1)
    store, mine = Store(Path(folder)), Cell.from_dict(cell)
    while True:
        while is_claimed(store.claim_path(mine.id)):
            sleep(BUSY_POLL)  # the process of a killed worker ends at its next iteration
        if store.is_done(mine.id):
            return asdict(Ended(mine.id, "done"))
        write_spec(store, mine, Network(**network))  # here, for `clean` takes away what nobody works on
        process = CellProcess(store, mine, threads, timeout=timeout)
        try:
            ended = run_to_end(process)
        finally:
            process.kill()
        if store.is_done(mine.id):
            return asdict(replace(ended, outcome="done"))
        if ended.outcome != "busy":
            return asdict(ended)


def threads_of(own: int, on_host: int, usable: int, cores: int) -> int:
    """The threads of a cell on a worker with `own` worker threads, of `on_host` on its host, which has `cores`.

    A worker that may not use all of them, as in a job of a batch system, has those that it may for itself.
    """
    return max(1, usable // (own if usable < cores else on_host))


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
    folder, network_values = str(store.folder.absolute()), asdict(network)
    board = Board(cells, store)
    tasks: dict[Any, tuple[Cell, float]] = {}
    try:
        slots, counted_at = _wait_for_slots(client), monotonic()
        if cluster is not None and threads is None:  # its workers share what this process may use
            threads = max(1, usable_cores() // sum(slots.values()))
        while not board.is_finished:
            board.look_around()
            if monotonic() - counted_at >= COUNT_WORKERS:
                slots, counted_at = _slots(client), monotonic()
            while len(tasks) < AHEAD * sum(slots.values()) and (cell := board.next()) is not None:
                key = f"cell-{cell.id}-{monotonic()}"  # a cell that is sent again is another task
                task = client.submit(do_cell, folder, cell.as_dict(), network_values, threads, slots, timeout, key=key)
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
    """A cell on the cluster, as the display wants it: queued or running, for it tells nothing here."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.progress: dict[str, Any] = {"state": "sent"}


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
    except (ValueError, TypeError, AssertionError, ImportError) as error:  # all but the first where Dask is not set up
        raise InputError(
            f"scheduler {scheduler!r}: {str(error) or 'Dask is not set up for it'}; give tcp://HOST:PORT or local:N"
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
    """Worker threads by host, now."""
    slots: Counter[str] = Counter()
    try:
        workers = client.run_on_scheduler(_workers)
    except (OSError, TimeoutError) as error:
        raise InputError("the Dask scheduler does not answer any more; start one, then run this again") from error
    for address, threads in workers.items():
        slots[urlsplit(address).hostname or ""] += threads
    return dict(slots)


def _wait_for_slots(client: Any) -> dict[str, int]:
    """The same as soon as there is a worker."""
    deadline = monotonic() + WAIT_FOR_WORKERS
    while not (slots := _slots(client)):
        if monotonic() > deadline:
            raise InputError(f"the cluster had no worker for {WAIT_FOR_WORKERS:g} s; start some, then run this again")
        sleep(0.5)
    return slots
