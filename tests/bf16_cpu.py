"""bfloat16: MXNet's type for it, and whether this machine's CPU runs it."""

import numpy as np
import pytest

from neural_style_mmd.processor import instructions

BFLOAT16 = np.dtype([("bfloat16", np.uint16)])

_CAN = {"avx512_bf16", "amx_bf16"} & set(instructions())
needs_bf16 = pytest.mark.skipif(not _CAN, reason="this CPU has neither avx512_bf16 nor amx_bf16")
