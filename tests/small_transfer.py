"""A transfer that takes a fraction of a second: 32 pixels, two shallow layers."""

from typing import Any

from neural_style_mmd.config import TransferConfig

LAYERS = ("relu1_1", "relu2_1")


def small_config(**changes: Any) -> TransferConfig:
    """Six iterations of 32 x 24 pixels; `changes` override."""
    small = {"layers": LAYERS, "content_layer": "relu2_1", "size": 32, "iterations": 6, "stop_change": 0.0}
    return TransferConfig(**(small | changes))
