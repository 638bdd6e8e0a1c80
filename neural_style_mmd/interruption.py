"""Ctrl-C and SIGTERM while a picture is made."""

from __future__ import annotations

import signal
from typing import Any


class Interruption:
    """While it is entered, the first signal ends a run after the iteration in hand, and a second at once.

    Before begin() any signal ends it at once, for there is no picture. After end(), while the picture is finished and
    saved, none is heard.
    """

    def __init__(self) -> None:
        self._iterating = self._asked = self._over = False

    def begin(self) -> None:
        """The iterations begin."""
        self._iterating = True

    def end(self) -> None:
        """The iterations are over."""
        self._over = True

    def after_iteration(self) -> None:
        """KeyboardInterrupt where a signal came meanwhile."""
        if self._asked:
            self.end()
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._over:
            return
        if self._asked or not self._iterating:
            raise KeyboardInterrupt
        self._asked = True

    def __enter__(self) -> Interruption:
        self._before = {each: signal.signal(each, self._on_signal) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *raised: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
