"""Claims: which process works on a cell. A claim is a file that only one process can create.

Its holder writes into it who it is and touches it every BEAT seconds. A claim is dead when its process is (on the same
machine, since the same boot) or when it was not touched for DEAD_AFTER seconds (on another machine, judged by the
clock of the shared folder); then anyone may take it over.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from model_zoo.errors import InputError
from model_zoo.files import locked

BEAT = 5.0  # seconds
DEAD_AFTER = 60.0  # seconds: a shared folder may show a file's time late


class Claim:
    """A claim that this process holds. `on_loss` is called, on another thread, if somebody took it away."""

    def __init__(self, path: Path, token: str, on_loss: Callable[[], None]) -> None:
        self._path, self._token, self._on_loss = path, token, on_loss
        self._released = threading.Event()
        self._beat = threading.Thread(target=self._beats, daemon=True)
        self._beat.start()

    def is_mine(self) -> bool:
        """Whether it still is this process's: not where the file is gone or another's. OSError where nobody can say."""
        try:
            holder = _parsed(self._path.read_bytes())
        except FileNotFoundError:
            return False
        return holder is not None and holder["token"] == self._token

    def release(self) -> None:
        """Gives it up."""
        self._released.set()
        self._beat.join()
        with suppress(OSError):  # then it dies with this process
            if self.is_mine():
                self._path.unlink(missing_ok=True)

    def _beats(self) -> None:
        while not self._released.wait(BEAT):
            try:
                mine = self.is_mine()
                if mine:
                    os.utime(self._path)
            except OSError:  # the folder may be back at the next beat
                continue
            if not mine:
                self._on_loss()
                return


def claim(path: Path, on_loss: Callable[[], None] = lambda: None) -> Claim | None:
    """Take the claim `path`, or None where a living process holds it. InputError where the folder refuses."""
    me = {"token": uuid.uuid4().hex, **_this_process()}
    try:
        if path.exists():
            _remove_if_dead(path)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(me, stream)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return Claim(path, me["token"], on_loss)


def is_claimed(path: Path) -> bool:
    """Whether a living process holds the claim."""
    return path.exists() and not _is_dead(path)


def read_claim(path: Path) -> dict[str, Any] | None:
    """What the holder wrote; None where there is no claim, or none that was written to its end."""
    try:
        return _parsed(path.read_bytes())
    except OSError:
        return None


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        holder = json.loads(text)
        return holder if "token" in holder else None
    except (ValueError, TypeError):
        return None


def _remove_if_dead(path: Path) -> None:
    # Two that find the same dead claim must not both remove it: the slower one would remove the faster one's new claim.
    with locked(path.with_name(".taking-over")):
        if _is_dead(path):
            path.unlink(missing_ok=True)


def _is_dead(path: Path) -> bool:
    holder = read_claim(path)
    here = _this_process()
    if holder is not None and holder.get("host") == here["host"]:
        if holder.get("boot") != here["boot"]:
            return True
        return _started(holder.get("pid", 0)) != holder.get("started")
    try:
        return _now(path.parent) - path.stat().st_mtime > DEAD_AFTER
    except OSError:
        return False  # it has just gone


def _now(folder: Path) -> float:
    """The time by the clock that dates the folder's files."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as probe:
            return os.stat(probe.name).st_mtime
    except OSError:
        return time.time()


def _this_process() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": _started(pid)}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When process `pid` was started, in the kernel's words, so that a later one of the same number is not taken for
    it; None where there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:  # without /proc, as on macOS
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"
