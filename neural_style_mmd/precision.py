"""The precision of each iteration, and whether this machine can compute in bfloat16. Imports without MXNet.

Under precision "bf16" the network runs in bfloat16, forward and backward, for the first nine tenths of the iterations,
and in float32 for the last; losses, targets, calibration, updates and the final evaluation are float32 throughout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from model_zoo.errors import InputError

from .config import BF16, FLOAT32, TransferConfig
from .processor import instructions
from .stopping import Outcome, StoppingRule

_FINISH = 10  # the last tenth of the iterations
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
_ENDS_BF16 = (Outcome.SMALL_CHANGE, Outcome.ITERATION_LIMIT)


def require_precision(config: TransferConfig, device: str) -> None:
    """InputError where bf16 is asked for and `device`, or this CPU, has no products of it: it would be slower there."""
    if config.precision != BF16:
        return
    if device != "cpu":
        raise InputError(f"precision is bf16, but device is {device}: MXNet has it for the cpu alone; use float32")
    if not set(_INSTRUCTIONS) & set(instructions()):
        raise InputError(
            f"precision is bf16, but no {' or '.join(_INSTRUCTIONS)} is found among this CPU's flags; use float32"
        )


def precision_of(entry: Mapping[str, Any]) -> str:
    """The precision of an entry of the trace, which names it where the setting is not float32."""
    return entry.get("precision", FLOAT32)


def precisions_left(config: TransferConfig, trace: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The precisions of the iterations after those of `trace`, in their order.

    The iterations in bf16 are over when the last tenth begins, or with a small change; from then on all are in float32,
    also where a run that has ended goes on with a higher limit.
    """
    if config.precision == FLOAT32 or (trace and precision_of(trace[-1]) == FLOAT32):
        return (FLOAT32,)
    done: Mapping[str, Any] = trace[-1] if trace else {"iteration": 0, "change": float("inf"), "seconds": 0.0}
    outcome = rule(BF16, config, trace).outcome(done["iteration"], done["change"], done["seconds"])
    return (FLOAT32,) if outcome in _ENDS_BF16 else (BF16, FLOAT32)


def rule(precision: str, config: TransferConfig, trace: Sequence[Mapping[str, Any]]) -> StoppingRule:
    """When the iterations in `precision` end; `trace` has all iterations before them.

    In bf16: with the last tenth, or a small change, or the time limit. In float32 after bf16: as always, but a small
    change counts only when a tenth of all iterations is float32.
    """
    whole = StoppingRule(config.stop_change, config.iterations, config.time_limit, config.stop_after)
    if precision == BF16:
        return dataclasses.replace(whole, iterations=config.iterations - -(-config.iterations // _FINISH))
    low = sum(precision_of(entry) == BF16 for entry in trace)
    least = low + -(-low // (_FINISH - 1)) if low else 0
    return dataclasses.replace(whole, stop_after=max(config.stop_after, least - 1))


def continues(precision: str, outcome: Outcome | None) -> bool:
    """Whether the run goes on when the iterations in `precision` have ended with `outcome` (None: the optimizer ended
    by itself)."""
    return precision == BF16 and outcome in (*_ENDS_BF16, None)
