"""Our whole iteration against the bare network, and the part of it that is not MXNet's work."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from .contenders import BARE
from .ours import GRAPH, WHOLE
from .processes import Child, alternate, collected, ratios, summary
from .setting import ALL_METHODS, Setting


def measure(setting: Setting) -> dict[str, Any]:
    """Whole iteration and bare network in turn, in one process for each method."""

    def rows(method: str) -> Iterator[dict[str, Any]]:
        setting.say(f"iterations: {method}")
        with Child("ours:iterate", {"methods": method, **setting.pictures()}) as child:
            seconds = alternate({name: partial(child.ask, name) for name in (WHOLE, GRAPH, BARE)}, setting.rounds)
        whole, graph = seconds[WHOLE], seconds[GRAPH]
        yield {
            "method": method,
            "ratio": ratios(whole, seconds[BARE]),
            "seconds": summary(whole),
            "bare_seconds": summary(seconds[BARE]),
            "graph_seconds": summary(graph),
            "overhead": summary([(w - g) / w for w, g in zip(whole, graph, strict=True)]),
        }

    return collected(setting.methods or ALL_METHODS, rows)
