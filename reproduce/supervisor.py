"""A cell's process seen from outside: started, listened to, ended when it hangs, and its end put into words."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from model_zoo.errors import InputError
from model_zoo.files import make_folder, write_json

from . import worker
from .cells import Cell
from .inputs import Network
from .store import Store

COMMAND = (sys.executable, "-X", "faulthandler", "-m", "reproduce", "_cell")
TIMEOUT = 300.0  # seconds without a sign of life; an iteration, or loading, takes far less
EVALUATIONS = 8  # about as many a calibration makes of a pair, and says nothing meanwhile
GRACE = 60.0  # seconds that a cell has to write its checkpoint when it is told to stop

OUTCOMES = ("done", "failed", "busy", "stopped")


@dataclass
class Ended:
    """How a cell's process ended. outcome: one of OUTCOMES; reason: in words, for a failure."""

    cell_id: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0
    host: str = field(default_factory=socket.gethostname)


class CellProcess:
    """A running cell.

    threads: of MXNet, unless the cell goes on from a checkpoint or from measured pairs, which fix them.
    timeout: seconds without a sign of life after which it is killed; a calibration has EVALUATIONS times as many.
    progress: the last thing it told: {"iteration", "iterations", "total", "seconds"}.
    pace: {"start", "iteration"}, seconds, as soon as it has told it; empty before.
    """

    def __init__(
        self, store: Store, cell: Cell, threads: int, *, timeout: float = TIMEOUT, command: Sequence[str] = COMMAND
    ) -> None:
        self.cell, self.threads = cell, threads
        self.progress: dict[str, Any] = {}
        self.pace: dict[str, float] = {}
        self._reason, self._told_to_stop = "", False
        self._store, self._timeout = store, timeout * (EVALUATIONS if cell.kind == "calibration" else 1)
        self.began = self._sign_of_life = monotonic()
        folder = store.running(cell.id)
        self._log = folder / "log.txt"
        try:
            with self._log.open("ab") as log:
                # Ctrl-C in the terminal must not reach the cell: it is told to stop by its parent, once.
                self._process = subprocess.Popen(
                    [*command, str(folder / "spec.json")],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=_environment(recorded_threads(store, cell.id) or threads),
                    start_new_session=True,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                )
        except OSError as error:
            raise InputError(f"cannot start the process of {folder}: {error.strerror}") from error
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def ended(self) -> Ended | None:
        """How it ended, or None while it runs. A failure is recorded in the store."""
        code = self._process.poll()
        if code is None:
            if monotonic() - self._sign_of_life <= self._timeout:
                return None
            self.kill()
            return self._failed(f"hung: no sign of life for {self._timeout:g} s; killed")
        self._reader.join(timeout=5)
        if code == worker.DONE and self._store.is_done(self.cell.id):
            return self._end("done")
        if code == worker.BUSY:
            return self._end("busy")
        # SIGTERM itself ends a cell that has not come so far as to listen to it.
        if code == worker.STOPPED or (self._told_to_stop and code == -signal.SIGTERM):
            return self._end("stopped")
        return self._failed(_in_words(code, self._reason or self._last_line()))

    def stop(self) -> None:
        """Tell it to write its checkpoint and end."""
        self._told_to_stop = True
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it and all that it started, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(timeout=5)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue  # not one of ours: a library that prints
                if isinstance(message, dict):
                    self._sign_of_life = monotonic()
                    if "iteration" in message:
                        self.progress = message
                    self.pace = message.get("pace", self.pace)
                    self._reason = message.get("reason", self._reason)

    def _last_line(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _failed(self, reason: str) -> Ended:
        failure = {
            "id": self.cell.id,
            "label": self.cell.label,
            "reason": reason,
            "iteration": self.progress.get("iteration"),
            "host": socket.gethostname(),
        }
        self._store.record_failure(self.cell.id, failure, self._log)
        return self._end("failed", reason)

    def _end(self, outcome: str, reason: str = "") -> Ended:
        return Ended(self.cell.id, outcome, reason, monotonic() - self.began)


def write_spec(store: Store, cell: Cell, network: Network, extra: Mapping[str, Any] | None = None) -> Path:
    """What the cell's process reads."""
    folder = make_folder(store.running(cell.id))
    path = folder / "spec.json"
    request = {"request": network.request, "sha256": network.sha256}
    write_json(path, {"cell": cell.as_dict(), "network": request, **(extra or {})})
    return path


def recorded_threads(store: Store, cell_id: str) -> int | None:
    """The threads of the cell's first start, where there is a checkpoint, or a measured pair, to go on from."""
    folder = store.running(cell_id)
    if not any(any(folder.glob(pattern)) for pattern in ("checkpoint-*.npz", "pairs-*.json")):
        return None
    try:
        return int(json.loads((folder / "start.json").read_text(encoding="utf-8"))["threads"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def run_to_end(process: CellProcess, *, poll: float = 0.1) -> Ended:
    """Wait for the end of one cell."""
    while (ended := process.ended()) is None:
        sleep(poll)
    return ended


def stop_all(processes: Sequence[CellProcess]) -> None:
    """Tell all to stop, wait for their checkpoints, kill those that do not."""
    for process in processes:
        process.stop()
    deadline = monotonic() + GRACE
    try:
        while any(process.ended() is None for process in processes) and monotonic() < deadline:
            sleep(0.05)
    finally:
        for process in processes:
            process.kill()


def _environment(threads: int) -> dict[str, str]:
    """A cell's process never goes to the network, and imports no NumPy before its threads are fixed."""
    fixed = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "NEURAL_STYLE_MMD_OFFLINE": "1"}
    return {**os.environ, **fixed}


def _in_words(code: int, last_line: str) -> str:
    if code == worker.BAD_INPUT:
        return last_line or "bad input"
    if code == worker.DIVERGED:
        return last_line or "diverged"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code == 255 or 134 <= code <= 139:  # MXNet traps SIGSEGV and exits with 255
        return f"crashed with exit code {code}: {last_line}"
    if code == worker.DONE:
        return "it ended without a result"
    return f"ended with exit code {code}: {last_line}"
