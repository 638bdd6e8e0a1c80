"""What the preset fast reaches, and how soon, against the best of the optimizers with the paper's iterations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from .descents import FAST
from .processes import collected, once
from .setting import DISTINCT_METHODS, Setting

METHODS = tuple(name for name in DISTINCT_METHODS if "+" not in name)
FULL_SIZE = 512  # pixels, the size of all goals of issue 6
LONGEST = 0.2  # of the best optimizer's time, issue 6


def measure(setting: Setting) -> dict[str, Any]:
    """A row for each pair and method, see compare(); "runs" has the numbers of all four runs, each made once."""

    def rows(subject: tuple[int, str]) -> Iterator[dict[str, Any]]:
        pair, method = subject
        task = {"methods": method, "pair": pair, "edge": setting.edge, "iterations": setting.iterations}
        task["against"] = setting.against
        setting.say(f"quality: pair {pair}, {method}")
        row = compare(once("descents:descend", task))
        said = {key: "none" if row[key] is None else f"{row[key]:.3f}" for key in ("objective", "until", "time")}
        setting.say(
            f"  objective / that of {row['best']}: {said['objective']}, reached after {said['until']} of its time, "
            f"{said['time']} in all"
        )
        yield {"pair": pair, "method": method, **row}

    subjects = product(setting.pairs, setting.methods or METHODS)
    found = collected(subjects, rows, lambda subject: "pair {}, {}".format(*subject))
    return found | {"notes": _notes(setting, found["rows"])}


def compare(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The preset fast over the best of the optimizers, the one with the lowest objective among those that came to an
    end; a ratio is None where a run diverged.

    until: of the best one's time, when an iterate of fast first had an objective no higher, None where none had; time:
    when fast ended. reached: it ended with an objective no higher, and had one in at most LONGEST of the time.
    """
    ended = {name: run for name, run in runs.items() if run["outcome"] != "diverged" and run["total"] is not None}
    best = min((name for name in ended if name != FAST), key=lambda name: ended[name]["total"], default=None)
    row: dict[str, Any] = {
        "best": best,
        "objective": None,
        "until": None,
        "time": None,
        "reached": False,
        "runs": dict(runs),
    }
    if best is None:
        return row
    row["best_total"] = ended[best]["total"]
    if FAST in ended:
        row["objective"], row["time"] = (ended[FAST][key] / ended[best][key] for key in ("total", "seconds"))
        seconds = (seconds for seconds, total in ended[FAST]["curve"] if total <= row["best_total"])
        row["until"] = next((each / ended[best]["seconds"] for each in seconds), None)
        row["reached"] = row["objective"] <= 1 and row["until"] is not None and row["until"] <= LONGEST
    return row


def _notes(setting: Setting, rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{sum(row['reached'] for row in rows)} of {len(rows)} reach that objective or a lower one in at most "
        f"{LONGEST:g} of the time",
        f"sample pairs at a long edge of {setting.edge}"
        + (", not full size, where the baselines take hours" if setting.edge < FULL_SIZE else ""),
        f"baselines: the paper's setting with {', '.join(setting.against)}, "
        f"{setting.iterations} iterations, no stop rule",
        "time until that objective was reached, and in all; it is of the optimisation, one run each, without reading, "
        "binding and calibration, which all have alike; two iterations of each to warm up come before",
    ]
