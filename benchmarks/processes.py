"""Child processes that answer in turn, and measurements that alternate strictly among them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent

WARM_UP = 2
"""Rounds that do not count: the first ones fill caches and choose how operators run."""


class ChildFailed(Exception):
    """A child could not do its task; the text is one line."""


class Child:
    """A fresh interpreter that does `task`, "MODULE:FUNCTION" of this package, see child.py.

    arguments: the task's, in JSON's types. environment: variables besides this process's own. root: the folder that
    has the packages. first: the answer that it gives unasked, when it is ready. Raises ChildFailed where it cannot.
    """

    def __init__(
        self,
        task: str,
        arguments: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        root: Path = ROOT,
    ) -> None:
        self._task = task
        self._log = tempfile.TemporaryFile()
        process = None
        try:
            with _sigterm_waits():
                process = self._process = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.child", task, json.dumps(arguments or {})],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    cwd=root,
                    env={**os.environ, **(environment or {})},
                    encoding="utf-8",
                )
            self.first = self._answer()
        except BaseException:
            if process is not None:
                process.kill()
                self.close()
            raise

    def ask(self, request: Any = None) -> Any:
        """Its answer to `request`; it works meanwhile and nobody else does."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead: reading its answer says so
        return self._answer()

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()  # it may be in the midst of hours of work
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(f"{self._task} ended with code {self._process.wait()}: {self._last_words()}")
        message = json.loads(line)
        if "error" in message:
            raise ChildFailed(" ".join(message["error"].split()))
        return message["answer"]

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@contextmanager
def _sigterm_waits() -> Iterator[None]:
    """A SIGTERM that comes meanwhile is delivered at the end: raised while a process starts, it would leave one that
    nobody knows, and that works on."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            signal.raise_signal(signal.SIGTERM)


def once(task: str, arguments: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Any:
    """The first answer of a fresh process, which then ends."""
    with Child(task, arguments, environment) as child:
        return child.first


def alternate(contenders: Mapping[Any, Callable[[], Any]], rounds: int) -> dict[Any, list[Any]]:
    """What each contender answers, one after the other, `rounds` times after WARM_UP rounds that do not count.

    Neighbours in time have the same place in the lists, so that a machine that slows down disturbs all alike.
    """
    answers: dict[Any, list[Any]] = {name: [] for name in contenders}
    for _ in range(WARM_UP + rounds):
        for name, run in contenders.items():
            answers[name].append(run())
    return {name: each[WARM_UP:] for name, each in answers.items()}


def both_ways(starts: Mapping[Any, Callable[[], Child]], request: Any, rounds: int) -> dict[Any, list[Any]]:
    """What two processes answer to `request` in turn, as alternate(), and then two more that are started in the other
    order: of two that ran the same code the first has been the slower one. starts: what starts one, by its name."""
    answers: dict[Any, list[Any]] = {name: [] for name in starts}
    for first, second in (tuple(starts), tuple(reversed(starts))):
        with starts[first]() as one, starts[second]() as other:
            asked = {first: lambda: one.ask(request), second: lambda: other.ask(request)}
            for name, more in alternate(asked, rounds).items():
                answers[name] += more
    return answers


def collected(
    subjects: Iterable[Any], measure: Callable[[Any], Iterable[dict[str, Any]]], name: Callable[[Any], str] = str
) -> dict[str, Any]:
    """{"rows": those of all `subjects`}; what `measure` could not go on with is named in "failed", too."""
    rows, failed = [], []
    for subject in subjects:
        try:
            for row in measure(subject):
                rows.append(row)
        except ChildFailed as error:
            failed.append(f"{name(subject)}: {error}")
    return {"rows": rows} | ({"failed": "; ".join(failed)} if failed else {})


def summary(values: list[float]) -> dict[str, Any]:
    """Median, quartiles and number of measurements."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median(values), "quartiles": [low, high], "n": len(values)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The summary of the ratios of neighbours."""
    return summary([a / b for a, b in zip(ours, theirs, strict=True)])
