"""Our iteration against PyTorch's on the same losses, weights and pictures, in two processes that take turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any

from .contenders import BARE, OURS, TORCH, refusal
from .ours import WHOLE
from .processes import Child, alternate, collected, once, ratios, summary
from .setting import DISTINCT_METHODS, Setting

INSTALL = "PyTorch is not installed: pip install -e '.[bench]', or make bench"


def is_installed() -> bool:
    """Whether PyTorch is there."""
    return find_spec("torch") is not None


def measure(setting: Setting) -> dict[str, Any]:
    """A row for each method and variant; the bare networks first."""
    if not is_installed():
        return {"rows": [], "skipped": INSTALL}
    refused: dict[tuple[str, str], list[str]] = {}

    def rows(method: str) -> Iterable[dict[str, Any]]:
        setting.say(f"torch: {method}")
        found, failed = _compare(setting, method)
        for each in failed.items():
            refused.setdefault(each, []).append(method)
        return found

    found = collected((BARE, *(setting.methods or DISTINCT_METHODS)), rows)
    notes = [f"{name}: {reason} ({', '.join(methods)})" for (name, reason), methods in refused.items()]
    return found | {"notes": notes}


def _compare(setting: Setting, method: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows of a method, and the variants that cannot run here."""
    reference = str(setting.folder / f"{method}.npz")
    problem = {"methods": method, **setting.pictures()}
    once("ours:evaluation", {**problem, "path": reference})
    with ExitStack() as stack:
        ours = {
            precision: stack.enter_context(Child("ours:iterate", {**problem, "precision": precision}))
            for precision in OURS
            if refusal(precision) is None
        }
        theirs = stack.enter_context(
            Child("torch_transfer:iterate", {**problem, "reference": reference, "variants": list(TORCH)})
        )
        errors, failed = theirs.first["errors"], theirs.first["failed"]
        contenders = {("ours", name): partial(child.ask, WHOLE) for name, child in ours.items()}
        contenders |= {("torch", name): partial(theirs.ask, name) for name in errors}
        seconds = alternate(contenders, setting.rounds)
    rows = [_row(method, name, seconds, errors[name]) for name in errors]
    float32 = [row for row in rows if row["precision"] == "float32"]
    for row in float32:
        row["fastest"] = row["seconds"]["median"] == min(each["seconds"]["median"] for each in float32)
    return rows, failed


def _row(method: str, name: str, seconds: Mapping[tuple, list[float]], errors: Mapping[str, float]) -> dict[str, Any]:
    """Ours over theirs, at the same precision where we have it."""
    precision = TORCH[name].precision
    own = precision if ("ours", precision) in seconds else "float32"
    ours, theirs = seconds["ours", own], seconds["torch", name]
    return {
        "method": method,
        "variant": name,
        "precision": precision,
        "our_precision": own,
        "ratio": ratios(ours, theirs),
        "our_seconds": summary(ours),
        "seconds": summary(theirs),
        "terms_error": errors["terms"],
        "gradient_error": errors["gradient"],
        "fastest": False,
    }
