"""What a person sees of a run: one live block on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol, TextIO

from neural_style_mmd.progress import duration

from .cells import Cell
from .supervisor import Ended

REDRAW = 0.25  # seconds
PLAIN_INTERVAL = 30.0  # seconds between two plain lines about cells that go on


class Running(Protocol):
    """What the display reads of a running cell."""

    cell: Cell
    progress: dict[str, Any]


class Display:
    """Writes to `stream`. total: the number of cells. name: of the figure and the stage."""

    def __init__(self, stream: TextIO, name: str, total: int) -> None:
        self._stream, self._name, self._total = stream, name, total
        self._live = stream.isatty()
        self._lines = 0
        self._drawn_at = float("-inf") if self._live else monotonic()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._erase()
        self._stream.write(text + "\n")
        self._stream.flush()

    def started(self, cell: Cell) -> None:
        """A cell begins. On a terminal the live block shows it."""
        if not self._live:
            self.say(f"start   {cell.label}")

    def ended(self, cell: Cell, ended: Ended) -> None:
        """A cell ended."""
        if ended.outcome == "failed":
            self.say(f"FAILED  {cell.label}: {ended.reason}")
        elif ended.outcome == "done" and not self._live:
            self.say(f"done    {cell.label}  ({duration(ended.seconds)})")

    def show(self, done: int, failed: int, running: Sequence[Running], seconds_left: float | None) -> None:
        """The state now; drawn at most every REDRAW seconds, as plain lines every PLAIN_INTERVAL."""
        if monotonic() - self._drawn_at < (REDRAW if self._live else PLAIN_INTERVAL):
            return
        self._drawn_at = monotonic()
        left = "" if seconds_left is None else f", about {duration(seconds_left)} left"
        sent = sum(each.progress.get("state") == "sent" for each in running)
        doing = f"{sent} sent" if sent else f"{len(running)} running"
        lines = [f"{self._name}: {done} of {self._total} cells done, {doing}, {failed} failed{left}"]
        lines += [f"  {each.cell.label}: {_progress(each.progress)}" for each in running]
        self._erase()
        if self._live:
            width = shutil.get_terminal_size().columns
            lines = [line[: width - 1] for line in lines]
            self._lines = len(lines)
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leaves no live block behind."""
        self._erase()
        self._stream.flush()

    def _erase(self) -> None:
        if self._lines:
            self._stream.write(f"\x1b[{self._lines}A\x1b[J")
            self._lines = 0


def _progress(progress: dict[str, Any]) -> str:
    if "iteration" not in progress:
        return progress.get("state", "starting")
    loss = "" if progress.get("total") is None else f", loss {progress['total']:.4g}"
    return f"iteration {progress['iteration']}/{progress['iterations']}{loss}"
