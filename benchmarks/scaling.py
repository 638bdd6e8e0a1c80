"""How an iteration's time grows with the picture and falls with threads; each pair of processes takes turns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from neural_style_mmd.threads import VARIABLE, usable_cores

from .contenders import BARE
from .ours import WHOLE
from .processes import Child, alternate, collected, ratios, summary
from .setting import Setting

REFERENCE = 512  # pixels of the long edge


def sizes(setting: Setting) -> dict[str, Any]:
    """Rows of {"method", "width", "height", "seconds", "per_megapixel", "relative"}: 4:3, each against the reference.
    The bare network's come first.

    relative: the cost of a pixel over that of the reference's, 512 where it is among the sizes, else the first.
    """
    reference = REFERENCE if REFERENCE in setting.sizes else setting.sizes[0]
    methods = (BARE, *(setting.methods or ("linear",)))
    rows = collected(methods, lambda method: _of_sizes(setting, method, reference))
    return rows | {"notes": [f"relative to {reference} pixels"]}


def _of_sizes(setting: Setting, method: str, reference: int) -> Iterator[dict[str, Any]]:
    with _iterations(setting, method, reference) as against:
        for edge in setting.sizes:
            setting.say(f"sizes: {method}, {edge}")
            # The reference twice, where it is its own: two processes of the same kind show what is noise.
            with _iterations(setting, method, edge) as child:
                runs = {"it": partial(child.ask, WHOLE), "reference": partial(against.ask, WHOLE)}
                seconds = alternate(runs, setting.rounds)
            cost = [s / _megapixels(edge) for s in seconds["it"]]
            yield {
                "method": method,
                "width": edge,
                "height": _height(edge),
                "seconds": summary(seconds["it"]),
                "per_megapixel": summary(cost),
                "relative": ratios(cost, [s / _megapixels(reference) for s in seconds["reference"]]),
            }


def _iterations(setting: Setting, method: str, edge: int) -> Child:
    return Child("ours:iterate", {"methods": method, **setting.pictures(edge, _height(edge))})


def _height(edge: int) -> int:
    return 3 * edge // 4


def _megapixels(edge: int) -> float:
    return edge * _height(edge) / 1e6


def threads(setting: Setting) -> dict[str, Any]:
    """Rows of {"method", "threads", "seconds", "speed_up"}, the last over one thread."""
    return collected(setting.methods or ("linear",), lambda method: _of_threads(setting, method))


def _of_threads(setting: Setting, method: str) -> Iterator[dict[str, Any]]:
    with _with_threads(setting, method, 1) as one:
        for count in thread_counts(usable_cores()):
            setting.say(f"threads: {method}, {count}")
            with _with_threads(setting, method, count) as child:
                runs = {"one": partial(one.ask, WHOLE), "it": partial(child.ask, WHOLE)}
                seconds = alternate(runs, setting.rounds)
            yield {
                "method": method,
                "threads": count,
                "seconds": summary(seconds["it"]),
                "speed_up": ratios(seconds["one"], seconds["it"]),
            }


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, ... and all cores."""
    return sorted({2**k for k in range(cores.bit_length()) if 2**k <= cores} | {cores})


def _with_threads(setting: Setting, method: str, count: int) -> Child:
    return Child("ours:iterate", {"methods": method, **setting.pictures()}, {VARIABLE: str(count)})
