"""One live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from .stylization import Progress  # at run time it would load MXNet

PLAIN_INTERVAL = 10.0  # seconds between two plain lines


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def describe(progress: Progress, iterations: int) -> str:
    """Iteration, objective and its parts, relative change, seconds an iteration, time left at most."""
    parts = ", ".join(f"{name} {value:.3g}" for name, value in progress.parts.items())
    each = progress.seconds / progress.iteration
    left = duration(each * (iterations - progress.iteration))
    return (
        f"iteration {progress.iteration}/{iterations}  objective {progress.total:.4g} ({parts})  "
        f"change {100 * progress.change:.2f} %  {each:.2f} s each  at most {left} left"
    )


class ProgressLine:
    """Writes `describe` of each iterate to a stream."""

    def __init__(self, stream: TextIO, iterations: int) -> None:
        self._stream, self._iterations = stream, iterations
        self._live = stream.isatty()
        self._shown_at = float("-inf")
        self._open = False

    def show(self, progress: Progress) -> None:
        """Called after each iteration."""
        last = progress.iteration == self._iterations
        if self._live:
            self._stream.write("\r" + describe(progress, self._iterations) + "\x1b[K")
            self._open = True
        elif last or monotonic() - self._shown_at >= PLAIN_INTERVAL:
            self._stream.write(describe(progress, self._iterations) + "\n")
            self._shown_at = monotonic()
        self._stream.flush()

    def close(self) -> None:
        """Ends a live line."""
        if self._open:
            self._stream.write("\n")
            self._open = False
