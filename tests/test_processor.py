"""The kernels of MXNet's OpenBLAS are chosen by what the CPU can, not by whether it knows the CPU's name; what is read
of the CPU."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from neural_style_mmd import processor
from neural_style_mmd.record import describe_machine

VARIABLE = "OPENBLAS_CORETYPE"
HAS_AVX2 = sys.platform == "linux" and {"avx2", "fma"} <= set(processor.instructions())
CPUINFO = "processor\t: 0\nmodel name\t: A CPU: new\nflags\t\t: fpu avx2\nmodel name\t: another\nflags : fpu\n"

needs_avx2 = pytest.mark.skipif(not HAS_AVX2, reason="this CPU has no AVX2, or the system does not say so")

LOADED = """
import ctypes, os
from pathlib import Path
from neural_style_mmd._mxnet import mx
(library,) = Path(mx.__file__).parent.glob("libopenblas.so*")
name = ctypes.CDLL(str(library)).openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode(), os.environ.get("OPENBLAS_CORETYPE"))
"""


def printed(program: str, without: str, variables: dict[str, str]) -> list[str]:
    """The words that a fresh process prints, with these variables and without others that begin like `without`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(without)} | variables
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60
    ).stdout.split()


def kernels(before: str = "", **variables: str) -> list[str]:
    """The name of the kernels that a fresh process takes, and of those that are asked for; `before` runs first."""
    return printed(before + LOADED, "OPENBLAS_", variables)


@needs_avx2
def test_where_the_cpu_has_avx2_openblas_uses_it_whatever_cpu_it_is():
    assert kernels() == ["Haswell", "Haswell"]


@needs_avx2
def test_who_asks_for_other_kernels_gets_them():
    assert kernels(OPENBLAS_CORETYPE="Sandybridge") == ["Sandybridge", "Sandybridge"]


@needs_avx2
@pytest.mark.parametrize("flags", [["avx2"], ["fma", "avx"], []])
def test_without_avx2_nothing_is_asked_for(flags):
    without = f"from neural_style_mmd import processor\nprocessor.instructions = lambda: {flags}\n"
    assert kernels(without)[1] == "None"


AMX = "DNNL_MAX_CPU_ISA"
HAS_AMX = sys.platform == "linux" and {"amx_tile", "amx_bf16"} <= set(processor.instructions())
GIVEN = HAS_AMX and ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0  # arch_prctl(ARCH_REQ_XCOMP_PERM, tile data)
needs_amx = pytest.mark.skipif(not GIVEN, reason="this CPU has no AMX, or the system does not say so or give it")

PRODUCTS = """
import os
from neural_style_mmd import _mxnet
from neural_style_mmd._mxnet import mx
from neural_style_mmd.network import _BFLOAT16
arrays = (mx.nd.ones(shape) for shape in ((1, 64, 16, 16), (64, 64, 3, 3), (64,)))
low = [mx.nd.amp_cast(each, dtype=_BFLOAT16) for each in arrays]
sums = mx.nd.Convolution(*low, num_filter=64, kernel=(3, 3))
print(mx.nd.amp_cast(sums, dtype="float32").asnumpy().max(), _mxnet.USES_AMX, os.environ.get("DNNL_MAX_CPU_ISA"))
"""


LINUX_SAYS_NO = """
import ctypes
from types import SimpleNamespace
real, no = ctypes.CDLL, SimpleNamespace(syscall=lambda *asked: -1, mallopt=lambda *asked: 1, malloc_trim=lambda pad: 0)
ctypes.CDLL = lambda name, *more, **options: no if name == "libc.so.6" else real(name, *more, **options)
"""


def products(before: str = "", **variables: str) -> list[str]:
    """What a fresh process makes of 576 ones in bfloat16, and whether, and because of what, by AMX."""
    return printed(before + PRODUCTS, AMX, variables)


@needs_amx
def test_where_the_cpu_has_amx_onednn_uses_it():
    """576 and the bias are 577, which no bfloat16 is."""
    assert products() == ["576.0", "True", "AVX512_CORE_AMX"]


@needs_amx
def test_who_asks_for_other_instructions_gets_them():
    assert products(**{AMX: "AVX512_CORE_BF16"}) == ["576.0", "False", "AVX512_CORE_BF16"]


@needs_amx
@pytest.mark.parametrize(
    "without",
    [
        "from neural_style_mmd import processor\nprocessor.instructions = lambda: ['avx2', 'amx_tile']\n",
        LINUX_SAYS_NO,
    ],
)
def test_without_amx_or_where_linux_does_not_give_it_nothing_is_asked_for(without):
    assert products(without) == ["576.0", "False", "None"]


def test_the_record_says_which(monkeypatch):
    monkeypatch.setenv(VARIABLE, "Haswell")
    assert describe_machine()["environment"][VARIABLE] == "Haswell"


def test_the_first_core_is_read(monkeypatch):
    monkeypatch.setattr(processor.Path, "read_text", lambda path: CPUINFO)
    monkeypatch.setattr(processor.sys, "platform", "linux")
    assert processor.cpu_model() == "A CPU: new"
    assert processor.instructions() == ["fpu", "avx2"]


def test_where_the_system_does_not_say_the_name_is_pythons_and_no_instruction_is_known(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(processor.Path, "read_text", missing)
    assert processor.cpu_model() == (platform.processor() or platform.machine())
    assert processor.instructions() == []


def test_another_system_has_other_names(monkeypatch):
    monkeypatch.setattr(processor.Path, "read_text", lambda path: CPUINFO)
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    assert processor.instructions() == []
