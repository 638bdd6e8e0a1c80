"""How a run ends: a closed set of outcomes, each with its exit code and its remedy. Numbers in, outcome out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """Why an optimisation ended; the value is what the record says."""

    SMALL_CHANGE = "small_change"
    ITERATION_LIMIT = "iteration_limit"
    TIME_LIMIT = "time_limit"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"

    @property
    def exit_code(self) -> int:
        """0 for an end that was asked for, 3 for a divergence, 130 for an interruption."""
        return {Outcome.DIVERGED: 3, Outcome.INTERRUPTED: 130}.get(self, 0)

    @property
    def remedy(self) -> str:
        """What it means, and what to do about it."""
        return _REMEDIES[self]


_REMEDIES = {
    Outcome.SMALL_CHANGE: "the picture changes no more; lower --stop-change to go on",
    Outcome.ITERATION_LIMIT: "the picture may still change; raise --iterations to go on",
    Outcome.TIME_LIMIT: "the time is up; raise --time-limit, with --checkpoint to go on from here",
    Outcome.DIVERGED: "NaN or infinity appeared, the last good picture is kept; lower --learning-rate or --gamma",
    Outcome.INTERRUPTED: "stopped by hand; with --checkpoint the same command goes on from here",
}


@dataclass(frozen=True)
class StoppingRule:
    """The paper's rule (section 4): relative change under 0.5 %, or 500 iterations; and a limit in seconds.

    stop_change: least |x_t - x_(t-1)| / |x_t| of the mean-subtracted picture that goes on; 0 goes on always.
    stop_after: number of updates after which a small change may stop. The paper gives none; but the first steps of a
        method with momentum are short, and a run from the content picture would end with its first.
    time_limit: in seconds; 0 for none.
    """

    stop_change: float
    iterations: int
    time_limit: float
    stop_after: int = 0

    def outcome(self, iteration: int, change: float, seconds: float) -> Outcome | None:
        """The outcome after `iteration` updates, or None to go on."""
        if change < self.stop_change and iteration > self.stop_after:
            return Outcome.SMALL_CHANGE
        if iteration >= self.iterations:
            return Outcome.ITERATION_LIMIT
        if self.time_limit and seconds >= self.time_limit:
            return Outcome.TIME_LIMIT
        return None
