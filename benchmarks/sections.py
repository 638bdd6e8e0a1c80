"""The sections: what each measures, and the columns of its table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import against_torch, bf16, grid, iterations, memory, quality, revisions, roofline, scaling, stages
from .setting import Setting
from .tables import Column


@dataclass(frozen=True)
class Section:
    """measure: gives {"rows": [...]} and perhaps "notes", in JSON's types. Rows have the columns' keys, or more.

    on_request: measured only where it is named.
    """

    title: str
    measure: Callable[[Setting], dict[str, Any]]
    columns: tuple[Column, ...]
    on_request: bool = False


SECTIONS = {
    "iterations": Section(
        "Whole iteration / bare network (forward to relu5_1, backward of ones)",
        iterations.measure,
        (
            Column("method", "method"),
            Column("ratio", "ratio", "ratio"),
            Column("seconds", "iteration, s", "s"),
            Column("bare_seconds", "bare, s", "s"),
            Column("graph_seconds", "MXNet's part of it, s", "s"),
            Column("overhead", "outside that, %", "percent"),
        ),
    ),
    "torch": Section(
        "Whole iteration / PyTorch's on the same losses, weights and pictures",
        against_torch.measure,
        (
            Column("method", "method"),
            Column("variant", "PyTorch"),
            Column("our_precision", "our precision"),
            Column("ratio", "ratio", "ratio"),
            Column("our_seconds", "ours, s", "s"),
            Column("seconds", "PyTorch, s", "s"),
            Column("fastest", "its fastest float32"),
            Column("terms_error", "difference of terms", "error"),
            Column("gradient_error", "of the gradient", "error"),
        ),
    ),
    "bf16": Section(
        "Whole iteration in float32 / in bf16",
        bf16.measure,
        (
            Column("method", "method"),
            Column("ratio", "ratio", "ratio"),
            Column("float32_seconds", "float32, s", "s"),
            Column("bf16_seconds", "bf16, s", "s"),
        ),
    ),
    "roofline": Section(
        "Operations per second (of the convolutions; an iteration is a forward and a backward)",
        roofline.measure,
        (
            Column("what", "what"),
            Column("flops", "GFLOP", "GFLOP"),
            Column("seconds", "ms", "ms"),
            Column("rate", "GFLOP/s", "GFLOP/s"),
            Column("share", "of the best layer, %", "percent"),
        ),
    ),
    "stages": Section(
        "Seconds of a fresh process by stage",
        stages.measure,
        (Column("stage", "stage"), Column("seconds", "s", "s")),
    ),
    "memory": Section(
        "Peak resident memory of fresh processes",
        memory.measure,
        (
            Column("size", "size"),
            Column("what", "process"),
            Column("peak", "GB", "GB"),
            Column("ratio", "ratio to bare MXNet", "ratio"),
        ),
    ),
    "sizes": Section(
        "Iteration by size",
        scaling.sizes,
        (
            Column("method", "method"),
            Column("width", "width", "count"),
            Column("height", "height", "count"),
            Column("seconds", "iteration, s", "s"),
            Column("per_megapixel", "s per megapixel", "s"),
            Column("relative", "cost of a pixel, relative", "ratio"),
        ),
    ),
    "threads": Section(
        "Iteration by threads",
        scaling.threads,
        (
            Column("method", "method"),
            Column("threads", "threads", "count"),
            Column("seconds", "iteration, s", "s"),
            Column("speed_up", "speed-up over one", "ratio"),
        ),
    ),
    "grid": Section(
        "A grid against single runs, one after another",
        grid.measure,
        (
            Column("what", "what"),
            Column("seconds", "s", "s"),
            Column("cells_per_hour", "cells per hour", "count"),
            Column("ratio", "ratio to single runs", "ratio"),
        ),
    ),
    "quality": Section(
        "Preset fast / the best of the baselines, by objective and time",
        quality.measure,
        (
            Column("pair", "pair", "count"),
            Column("method", "method"),
            Column("best", "best optimizer"),
            Column("best_total", "its objective", "objective"),
            Column("objective", "objective, ratio", "ratio"),
            Column("until", "reached, of its time", "ratio"),
            Column("time", "time in all, ratio", "ratio"),
            Column("reached", "goal reached"),
        ),
        on_request=True,
    ),
    "revisions": Section(
        "Whole iteration / that of other revisions",
        revisions.measure,
        (
            Column("method", "method"),
            Column("revision", "revision"),
            Column("ratio", "ratio", "ratio"),
            Column("our_seconds", "ours, s", "s"),
            Column("seconds", "the revision's, s", "s"),
        ),
        on_request=True,
    ),
}
"""Name -> section, in the order in which they are measured."""
