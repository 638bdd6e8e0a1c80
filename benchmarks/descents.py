"""Task of a child process that minimises one objective by several ways down, each from its start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import model_zoo
from model_zoo import samples
from model_zoo.errors import InputError
from neural_style_mmd.calibration import Balance
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.stylization import Progress, prepare, transfer

from .child import Turn

FAST = "fast"


def configurations(methods: str, edge: int, iterations: int, against: Sequence[str]) -> dict[str, TransferConfig]:
    """The preset fast as it is, and the paper's setting with each optimizer for `iterations`, without the stop rule."""
    common: dict[str, Any] = {"method": tuple(methods.split("+")), "size": edge, "weights": "surrogate"}
    baselines = {
        name: TransferConfig(**common, optimizer=name, iterations=iterations, stop_change=0.0) for name in against
    }
    return {FAST: TransferConfig(**common, preset=FAST), **baselines}


def descend(
    turn: Turn, methods: str, pair: int, edge: int, iterations: int, against: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Name of a way down -> total, seconds, iterations and outcome of its run on sample pair `pair`.

    total: the objective of the last picture, float32, with the fixed draw of the Gaussian method's pairs. seconds: of
    the optimisation with that last evaluation, which every run has; reading, binding and calibration are before it.
    The preset fast has "curve" too: [seconds, total] of each iterate, the totals measured when all runs have ended.
    Raises InputError where two runs weigh the terms otherwise, for then their totals cannot be compared.
    """
    weights, pictures = model_zoo.load("surrogate"), samples.pair(pair, edge)
    chosen = configurations(methods, edge, iterations, against)
    runs: dict[str, dict[str, Any]] = {}
    balances: dict[str, Balance] = {}
    for config in chosen.values():  # to warm up: SciPy's import, too, would count for the first that needs it
        transfer(pictures.content, pictures.style, replace(config, iterations=2), weights=weights)
    curve: list[tuple[float, Any]] = []

    def keep(progress: Progress) -> None:
        curve.append((progress.seconds, progress.x))

    for name, config in chosen.items():
        on_iterate = keep if name == FAST else None
        record = transfer(pictures.content, pictures.style, config, weights=weights, on_iterate=on_iterate).record
        balances[name] = Balance(**record["balance"])
        own, expected = (balances[each].term_weights for each in (name, FAST))
        if own != expected:
            raise InputError(f"{name} weighs the terms of {methods} by {own}, but {FAST} by {expected}")
        runs[name] = {key: record[key] for key in ("seconds", "iterations", "outcome")}
        runs[name]["total"] = record["final"]["total"]
    objective = prepare(pictures.content, pictures.style, chosen[FAST], weights=weights).objective
    summands = balances[FAST].summands
    runs[FAST]["curve"] = [[seconds, sum(summands(objective.terms_at(x)).values())] for seconds, x in curve]
    return runs
