"""What made a picture, as JSON beside it: enough to repeat the run and to say whether the pixels match."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import resource
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.weights import Weights

from .config import TransferConfig
from .images import Picture
from .processor import cpu_model
from .threads import chosen_threads

SCHEMA = 1
NUMERICS_VERSION = 36
"""Raised whenever a change of this package changes the result of a run beyond nothing at all."""

SURROGATE_NOTICE = "surrogate network, not a reproduction"

_PACKAGES = ("neural-style-mmd", "mxnet", "numpy", "scipy", "pillow")
_ENVIRONMENT_PREFIXES = ("OMP_", "MXNET_", "DNNL_", "OPENBLAS_", "NNVM_", "DMLC_")


def pixels_sha256(pixels: np.ndarray) -> str:
    """sha256 of uint8 (H, W, 3) in C order: the same picture in any lossless file has the same."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def describe_picture(picture: Picture, path: str | None) -> dict[str, Any]:
    """An input picture's entry; `path` is None for an array."""
    return {
        "name": picture.name,
        "path": path,
        "sha256": picture.sha256,
        "size": list(picture.size),
        "notes": list(picture.notes),
    }


def describe_weights(weights: Weights) -> dict[str, Any]:
    """The network's entry."""
    return {
        "kind": weights.kind,
        "name": weights.name,
        "sha256": weights.sha256,
        "origin": weights.origin,
        "mean_rgb": list(weights.preprocessing.mean_rgb),
        "notes": list(weights.notes),
    }


def describe_machine() -> dict[str, Any]:
    """Versions, threads, CPU and the variables that MXNet reads."""
    return {
        "versions": {"python": platform.python_version()} | _package_versions(),
        "numerics_version": NUMERICS_VERSION,
        "threads": chosen_threads(),
        "cpu": cpu_model(),
        "platform": platform.platform(),
        "environment": {
            name: value for name, value in sorted(os.environ.items()) if name.startswith(_ENVIRONMENT_PREFIXES)
        },
    }


@cache
def _package_versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def peak_rss() -> int:
    """Largest resident memory of this process so far, in bytes."""
    try:
        # getrusage would also count what the parent held when it started this process.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def assemble(config: TransferConfig, command: Sequence[str] | None, **parts: Any) -> dict[str, Any]:
    """The record: what is common to every run, then `parts`. NaN and infinity, which JSON cannot say, become None."""
    whole = {
        "schema": SCHEMA,
        "command": list(command) if command else None,
        "config": config.as_dict(),
        "preset": config.preset,
        "overrides": config.overrides,
        **parts,
        **describe_machine(),
        "peak_rss": peak_rss(),
    }
    return _finite(whole)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def picture_text(record: dict[str, Any]) -> dict[str, str]:
    """What a picture's file says of itself, as text chunks; of a record its "weights" are enough, and "iterations", if
    they are there, are said."""
    weights = record["weights"]
    network = f"{weights['kind']} {weights['name']} sha256:{weights['sha256']}"
    notice = {"Comment": SURROGATE_NOTICE} if weights["kind"] == "surrogate" else {}
    iteration = {"Iteration": str(record["iterations"])} if "iterations" in record else {}
    return {"Software": f"neural-style-mmd {version('neural-style-mmd')}", "Network": network} | iteration | notice
