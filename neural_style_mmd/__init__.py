"""Neural style transfer as distribution alignment: "Demystifying Neural Style Transfer" (Li et al., IJCAI 2017).

    from neural_style_mmd import transfer, TransferConfig
    result = transfer("content.jpg", "style.jpg", TransferConfig(method=("bn",), gamma=2.0))

Names are loaded when they are first used, because MXNet takes a second to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_zoo.errors import InputError

    from .config import TransferConfig
    from .losses import content_loss, style_loss, style_statistics, total_variation
    from .network import vgg19_symbol
    from .single_layer import discrepancy
    from .stopping import Outcome
    from .stylization import Progress, Result, calibrate, transfer

_HOMES = {
    "InputError": "model_zoo.errors",
    "Outcome": "neural_style_mmd.stopping",
    "Progress": "neural_style_mmd.stylization",
    "Result": "neural_style_mmd.stylization",
    "TransferConfig": "neural_style_mmd.config",
    "calibrate": "neural_style_mmd.stylization",
    "content_loss": "neural_style_mmd.losses",
    "discrepancy": "neural_style_mmd.single_layer",
    "style_loss": "neural_style_mmd.losses",
    "style_statistics": "neural_style_mmd.losses",
    "total_variation": "neural_style_mmd.losses",
    "transfer": "neural_style_mmd.stylization",
    "vgg19_symbol": "neural_style_mmd.network",
}

__all__ = [
    "InputError",
    "Outcome",
    "Progress",
    "Result",
    "TransferConfig",
    "calibrate",
    "content_loss",
    "discrepancy",
    "style_loss",
    "style_statistics",
    "total_variation",
    "transfer",
    "vgg19_symbol",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
