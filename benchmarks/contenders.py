"""What is compared: the bare network, ways to run our iteration, settings of PyTorch. Imports neither library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model_zoo.errors import InputError
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.precision import require_precision

BARE = "bare"
"""In place of a method: one forward to DEEPEST and one backward of a head of ones."""

DEEPEST = "relu5_1"

OURS: dict[str, dict[str, Any]] = {"float32": {}, "bf16": {"precision": "bf16"}}
"""Precision -> settings of TransferConfig. Each is compared with PyTorch's of the same name; see refusal()."""


def refusal(precision: str) -> str | None:
    """Why this CPU is not measured in `precision`, ours or PyTorch's; None where it is."""
    try:
        require_precision(TransferConfig(**OURS[precision]), "cpu")
    except InputError as error:
        return str(error)
    return None


@dataclass(frozen=True)
class Variant:
    """A setting of PyTorch. tolerance: of terms and gradient, relative to ours in float32."""

    channels_last: bool = False
    compiled: bool = False
    precision: str = "float32"
    tolerance: float = 1e-3


TORCH = {
    "eager": Variant(),
    "channels_last": Variant(channels_last=True),
    "compiled": Variant(compiled=True),
    "compiled, channels_last": Variant(channels_last=True, compiled=True),
    "bf16": Variant(channels_last=True, precision="bf16", tolerance=0.2),
    "bf16, compiled": Variant(channels_last=True, compiled=True, precision="bf16", tolerance=0.2),
}
"""bf16: network and picture in bfloat16, statistics and update in float32; only where the processor multiplies it.
Its tolerance catches another formula, not its rounding, which the table shows."""
