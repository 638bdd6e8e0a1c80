"""A record back into the run that it describes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_zoo.errors import InputError
from model_zoo.files import file_hash
from model_zoo.weights import Weights

from .config import BF16, TransferConfig
from .precision import precision_of, rule
from .record import SCHEMA, describe_machine
from .stylization import Result


@dataclass(frozen=True)
class RecordedRun:
    """A run to repeat: its inputs, found and unchanged, its configuration, and what it gave."""

    content: str | None
    style: str
    config: TransferConfig
    threads: int | None
    record: dict[str, Any]

    def other_network(self, weights: Weights) -> str | None:
        """Why a run with these cannot be compared, in one line; None where they are those of the record."""
        for key in ("kind", "sha256"):
            then, now = self.record["weights"][key], getattr(weights, key)
            if then != now:
                return f"the pixels cannot be compared: the weights were {key} {then}, now {now}"
        return None

    def compare(self, result: Result) -> tuple[str, bool]:
        """A verdict in one line, and whether the pixels are the same."""
        if result.record["output"]["pixels_sha256"] == self.record["output"]["pixels_sha256"]:
            return "the pixels match", True
        here = describe_machine()
        others = [
            f"{key} {self.record[key]}, now {here[key]}"
            for key in ("cpu", "threads", "versions", "numerics_version")
            if self.record[key] != here[key]
        ]
        others += self.record["notes"]  # such as where it was resumed on another machine
        return "the pixels differ" + (f" (then: {'; '.join(others)})" if others else " on the same machine"), False


def recorded_run(path: Path) -> RecordedRun:
    """Read a record; InputError where it is none, or where an input is gone or changed."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise InputError(f"{path}: a record of schema {record['schema']}, this version reads {SCHEMA}")
        _check_types(record)
        if record["iterations"] < 1:
            raise InputError(f"{path}: the run ended before its first iteration; there is nothing to repeat")
        inputs = {name: _unchanged(name, entry) for name, entry in record["inputs"].items()}
        config = TransferConfig.from_dict(record["config"])
        return RecordedRun(
            inputs.get("content"), inputs["style"], _as_it_ran(config, record), record["threads"], record
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a record of this program ({type(error).__name__}: {error})") from error


_NEEDED: tuple[tuple[tuple[str, ...], type | tuple[type, ...]], ...] = (
    (("iterations",), int),
    (("threads",), (int, type(None))),
    (("trace",), list),
    (("notes",), list),
    (("output", "pixels_sha256"), str),
    (("weights", "kind"), str),
    (("weights", "sha256"), str),
    (("cpu",), str),
    (("versions",), dict),
    (("numerics_version",), int),
)
"""What the run or the comparison after it reads, checked before the run."""


def _check_types(record: dict[str, Any]) -> None:
    """TypeError or KeyError for a record without these."""
    for keys, kind in _NEEDED:
        value: Any = record
        for key in keys:
            value = value[key]
        if not isinstance(value, kind):
            raise TypeError(f"{'.'.join(keys)} is {value!r}")
    if not all(isinstance(note, str) for note in record["notes"]):
        raise TypeError(f"notes are {record['notes']!r}")


def _as_it_ran(config: TransferConfig, record: dict[str, Any]) -> TransferConfig:
    """The setting that makes as many iterations as the run did, however it ended: no clock and no change decides now.

    InputError where none makes as many of them in bf16.
    """
    count, trace = record["iterations"], record["trace"]
    again = replace(config, iterations=count, time_limit=0.0, horizon=config.rate_horizon)
    at_the_limit = replace(again, stop_change=0.0)
    if config.precision != BF16:
        return at_the_limit
    in_bf16 = [precision_of(entry) for entry in trace].count(BF16)
    limit = rule(BF16, at_the_limit, []).iterations
    if in_bf16 == limit:
        return at_the_limit
    change = trace[in_bf16 - 1]["change"] if in_bf16 else math.inf
    if in_bf16 < limit and (change < config.stop_change or change == 0):  # 0 where the optimizer ended by itself
        return again  # and bf16 ends there again
    raise InputError(
        f"the first {in_bf16} of the run's {count} iterations were in bf16, which no run from the start repeats: it "
        "was ended or prolonged by hand, by the clock or by a divergence"
    )


def _unchanged(name: str, entry: dict[str, Any]) -> str:
    if entry["path"] is None:
        raise InputError(f"the {name} picture was an array, not a file; repeat the run from Python")
    path = Path(entry["path"])
    if not path.is_file():
        raise InputError(f"the {name} picture {path} is not there any more; put it back")
    if file_hash(path) != entry["sha256"]:
        raise InputError(f"the {name} picture {path} has changed since the run; put the old one back")
    return str(path)
