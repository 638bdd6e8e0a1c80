"""What a person who waits is told: one live line on a terminal, plain lines elsewhere, with --verbose the details."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from shutil import get_terminal_size
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from .calibration import Balance
    from .setting import Setting
    from .stylization import Progress

PLAIN_INTERVAL = 10.0  # seconds between two plain lines


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def machine_lines(machine: Mapping[str, Any]) -> list[str]:
    """Versions, and threads, CPU and system, of record.describe_machine."""
    return [
        ", ".join(f"{name} {number}" for name, number in machine["versions"].items()),
        f"{machine['threads']} threads, {machine['cpu']}, {machine['platform']}",
    ]


def network_line(network: Mapping[str, Any]) -> str:
    """Which network it is, of a record's "weights"."""
    return f"network: {network['kind']} ({network['name']}, sha256 {network['sha256'][:12]})"


def setting_lines(setting: Setting) -> list[str]:
    """The network, and each picture's size as it was read and as it is used."""
    lines = [f"{network_line(setting.network)}, {setting.network['origin']}"]
    for name, entry in setting.inputs.items():
        shape = setting.style_shape if name == "style" else setting.objective.shape
        size = " x ".join(map(str, entry["size"]))
        lines.append(f"{name}: {entry['name']}, {size}, used at {shape[3]} x {shape[2]}")
    return lines


def balance_lines(balance: Balance) -> list[str]:
    """beta', the gradient norms and their ratios, and the scale of a step."""
    lines = [f"gradient norms on the picture at {balance.point}:"]
    if balance.content_norm is not None:
        lines.append(f"  content {balance.content_norm:.6g}")
    for method, norms in balance.style_norms.items():
        layers = ", ".join(f"style.{method}.{layer} {norm:.4g}" for layer, norm in norms["layers"].items())
        lines.append(f"  style.{method} {norms['total']:.6g}" + (f" ({layers})" if layers else ""))
    lines.append("beta': " + ", ".join(f"{method} {value:.6g}" for method, value in balance.beta_prime.items()))
    if balance.content_norm is not None:
        at_start = "none" if balance.ratio_at_start is None else f"{balance.ratio_at_start:.4g}"
        lines.append(
            f"style gradient over content gradient: {balance.ratio_at_point:.4g} there, {at_start} at the start"
        )
    lines.append(f"step scale: {balance.step_scale:.6g}")
    return lines


def describe(progress: Progress, iterations: int, verbose: bool = False, columns: int | None = None) -> str:
    """Iteration, objective and what it is the sum of (each term where `verbose`, else each method), relative change,
    seconds an iteration, time left at most.

    columns: where it is given, as much of that as fits into less: each term, or each method, or neither.
    """
    each = progress.seconds / progress.iteration
    objective = f"iteration {progress.iteration}/{iterations}  objective {progress.total:.4g}"
    change = f"change {100 * progress.change:.2f} %"
    left = f"at most {duration(each * (iterations - progress.iteration))} left"

    def whole(summands: Mapping[str, float]) -> str:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in summands.items())
        return f"{objective} ({parts})  {change}  {each:.2f} s each  {left}"

    if columns is None:
        return whole(progress.summands if verbose else progress.parts)
    lines = whole(progress.summands), whole(progress.parts), f"{objective}  {change}  {left}"[: columns - 1]
    return next(line for line in lines if len(line) < columns)


def tell(stream: TextIO | None, text: str) -> None:
    """Write `text` at once. Where nobody reads any more, as after `2>&1 | head`, or never did, as after `2>&-`, the
    work goes on unheard."""
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        # What is left in the buffer would fail once more as Python ends, and be its exit code.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def say(text: str) -> None:
    """A line for a person, on standard error."""
    tell(sys.stderr, text + "\n")


class ProgressLine:
    """Writes `describe` of each iterate to a stream; where `verbose`, a line of its own for every iterate."""

    def __init__(self, stream: TextIO | None, iterations: int, verbose: bool = False) -> None:
        self._stream, self._iterations, self._verbose = stream, iterations, verbose
        # With --verbose a line with every term is longer than a terminal is wide.
        self._live = stream is not None and stream.isatty() and not verbose
        self._shown_at = float("-inf")
        self._open = False

    def show(self, progress: Progress) -> None:
        """Called after each iteration."""
        last = progress.iteration == self._iterations
        if self._live:
            columns = get_terminal_size().columns  # a line that wraps cannot be written over
            tell(self._stream, "\r" + describe(progress, self._iterations, columns=columns) + "\x1b[K")
            self._open = True
        elif last or self._verbose or monotonic() - self._shown_at >= PLAIN_INTERVAL:
            tell(self._stream, describe(progress, self._iterations, self._verbose) + "\n")
            self._shown_at = monotonic()

    def close(self) -> None:
        """Ends a live line."""
        if self._open:
            tell(self._stream, "\n")
            self._open = False
