"""Whether this machine's CPU runs bfloat16."""

import pytest

from neural_style_mmd import precision

_CAN = {"avx512_bf16", "amx_bf16"} & set(precision._cpu_flags())
needs_bf16 = pytest.mark.skipif(not _CAN, reason="this CPU has neither avx512_bf16 nor amx_bf16")
