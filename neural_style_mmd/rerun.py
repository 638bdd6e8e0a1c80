"""A record back into the run that it describes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_zoo.errors import InputError
from model_zoo.files import file_hash

from .config import TransferConfig
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

    def compare(self, result: Result) -> tuple[str, bool]:
        """A verdict in one line, and whether the pixels are the same."""
        for key in ("kind", "sha256"):
            then, now = self.record["weights"][key], result.record["weights"][key]
            if then != now:
                return f"the pixels cannot be compared: the weights were {key} {then}, now {now}", False
        if result.record["output"]["pixels_sha256"] == self.record["output"]["pixels_sha256"]:
            return "the pixels match", True
        here = describe_machine()
        others = [
            f"{key} {self.record[key]}, now {here[key]}"
            for key in ("cpu", "threads", "versions", "numerics_version")
            if self.record[key] != here[key]
        ]
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
        # However the run ended, it made this many iterations, and no clock decides now.
        config = replace(config, iterations=record["iterations"], time_limit=0.0, horizon=config.rate_horizon)
        return RecordedRun(inputs.get("content"), inputs["style"], config, record["threads"], record)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a record of this program ({type(error).__name__}: {error})") from error


_NEEDED: tuple[tuple[tuple[str, ...], type | tuple[type, ...]], ...] = (
    (("iterations",), int),
    (("threads",), (int, type(None))),
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


def _unchanged(name: str, entry: dict[str, Any]) -> str:
    if entry["path"] is None:
        raise InputError(f"the {name} picture was an array, not a file; repeat the run from Python")
    path = Path(entry["path"])
    if not path.is_file():
        raise InputError(f"the {name} picture {path} is not there any more; put it back")
    if file_hash(path) != entry["sha256"]:
        raise InputError(f"the {name} picture {path} has changed since the run; put the old one back")
    return str(path)
