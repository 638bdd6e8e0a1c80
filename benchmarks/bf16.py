"""Our iteration in float32 against ours in bf16, in two processes that take turns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from .contenders import refusal
from .ours import WHOLE
from .processes import Child, both_ways, collected, ratios, summary
from .setting import DISTINCT_METHODS, Setting


def measure(setting: Setting) -> dict[str, Any]:
    """A row for each method; ratio: the seconds of float32 over those of bf16."""
    if (reason := refusal("bf16")) is not None:
        return {"rows": [], "skipped": reason}

    def rows(method: str) -> Iterator[dict[str, Any]]:
        setting.say(f"bf16: {method}")
        problem = {"methods": method, **setting.pictures()}
        starts = {
            precision: partial(Child, "ours:iterate", {**problem, "precision": precision})
            for precision in ("float32", "bf16")
        }
        seconds = both_ways(starts, WHOLE, setting.rounds)
        yield {
            "method": method,
            "ratio": ratios(seconds["float32"], seconds["bf16"]),
            "float32_seconds": summary(seconds["float32"]),
            "bf16_seconds": summary(seconds["bf16"]),
        }

    notes = ["iterations in bf16; the last tenth of a run is float32 and is not among them"]
    return collected(setting.methods or DISTINCT_METHODS, rows) | {"notes": notes}
