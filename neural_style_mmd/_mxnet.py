"""The only module that imports MXNet: it sets what MXNet reads at import, and the NumPy shim.

The import takes about a second, so modules that must answer at once (`--help`) import this one inside functions.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
import os
import sys
import warnings

import numpy

from model_zoo.errors import InputError

from .operators_on_demand import on_demand
from .processor import instructions
from .threads import choose_threads

ENVIRONMENT = {
    "MXNET_SUBGRAPH_VERBOSE": "0",  # otherwise a log line at every bind
    "MXNET_USE_OPERATOR_TUNING": "0",  # otherwise a timing at import decides how operators run
    "NNVM_AUTO_SEARCH_MATCH_RANGE": "1",  # the plan of an executor's arrays that needs the least memory
    "MXNET_CPU_TEMP_COPY": "1",  # otherwise up to four copies of each temporary space
    "MXNET_SAFE_ACCUMULATION": "1",  # sums of float32 are accumulated in float64
    "MXNET_CUDNN_AUTOTUNE_DEFAULT": "0",
    "MXNET_ENFORCE_DETERMINISM": "1",
    "DMLC_LOG_STACK_TRACE_DEPTH": "0",  # short error messages
}
"""Set where the user has not. Recorded with every result."""


_WITH_AVX2 = {"OPENBLAS_CORETYPE": "Haswell"}
"""Set as well, where the CPU has what kernels of that name need. The OpenBLAS in MXNet's wheel, 0.3.13, has none for
AVX-512, and for a CPU that is younger than itself it may take those without AVX: an iteration is then half as long
again. So all such CPUs round alike, too. NumPy's OpenBLAS is loaded before and chooses its own."""


_WITH_AMX = {"DNNL_MAX_CPU_ISA": "AVX512_CORE_AMX"}
"""Set as well, where the CPU has AMX and Linux lets this process use it. The oneDNN in MXNet's wheel, 2.4, leaves it
alone until it is asked for, and such CPUs are slow in bfloat16 without: an iteration in bf16 takes as long as in
float32, which AMX does not change."""


_SYSTEM_LIBRARIES = {"libgomp": "libgomp1", "libquadmath": "libquadmath0"}
"""What MXNet's wheel may miss on a bare machine -> the package's name on Debian."""


_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18
"""Linux's names and numbers, on x86-64, of a question and what it is about (Documentation/arch/x86/xstate.rst)."""


_M_MMAP_THRESHOLD, LARGE_BLOCK = -3, 2**20  # a name of malloc.h, and bytes
"""Blocks of a MiB and more go back to the system when they are freed. Otherwise glibc raises this limit to 32 MiB as
such blocks are freed, and the holes that features leave in the heap stay: 40 to 50 MB of a transfer's peak."""


def _import_mxnet():
    _call_libc("mallopt", _M_MMAP_THRESHOLD, LARGE_BLOCK)
    has_avx2 = {"avx2", "fma"} <= set(instructions())
    for name, value in (ENVIRONMENT | (_WITH_AVX2 if has_avx2 else {}) | (_WITH_AMX if _has_amx() else {})).items():
        os.environ.setdefault(name, value)
    choose_threads(None)
    gc.collect()  # nothing that is garbage now is frozen below
    # MXNet 1.9.1 reads numpy.bool at import; NumPy 1.24 removed it. Nothing here needs it afterwards, so it goes
    # again and no other library sees it.
    shim = "bool" not in numpy.__dict__
    if shim:
        numpy.bool = bool  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings(), _without("scipy.stats", "scipy.sparse", "h5py"):
            warnings.simplefilter("ignore")  # its own deprecated calls
            mxnet = _with_operators_on_demand()
    except OSError as error:
        packages = [package for library, package in _SYSTEM_LIBRARIES.items() if library in str(error)]
        remedy = f"install the package {packages[0]}" if packages else "install the system library that it names"
        raise InputError(f"MXNet cannot be loaded ({error}): {remedy}") from error
    finally:
        if shim:
            del numpy.bool  # type: ignore[attr-defined]
    # MXNet's functions and classes, thousands, stay: give_memory_back() need not look for garbage among them.
    gc.freeze()
    return mxnet


def _with_operators_on_demand():
    """The package mxnet. Its module `base` registers operators, so it is loaded, and told how, before the rest."""
    spec = None if "mxnet" in sys.modules else importlib.util.find_spec("mxnet")
    if spec is None or spec.loader is None:
        import mxnet

        return mxnet
    package = sys.modules["mxnet"] = importlib.util.module_from_spec(spec)
    try:
        base = importlib.import_module("mxnet.base")
        for name in ("_init_op_module", "_init_np_op_module"):
            setattr(base, name, on_demand(getattr(base, name)))
        spec.loader.exec_module(package)
    except BaseException:
        del sys.modules["mxnet"]  # as Python does where an import fails
        raise
    return package


@contextlib.contextmanager
def _without(*modules: str):
    """Importing `modules` fails, unless they are loaded already. MXNet is prepared for that: it takes a third of its
    import to load them, for its test utilities, for quantisation, for SciPy's sparse matrices and for data in HDF5."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None there makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def device(name: str):
    """MXNet's context called `name`: "cpu", "gpu" or "gpu:N". The GPU was never tried with this package."""
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return mx.cpu()
    if kind == "gpu" and (number.isdigit() or not number):
        index = int(number or 0)
        if index >= mx.context.num_gpus():
            raise InputError(f"device {name!r}: MXNet sees {mx.context.num_gpus()} GPUs; use --device cpu")
        return mx.gpu(index)
    raise InputError(f"unknown device {name!r}; allowed are cpu, gpu, gpu:N")


def shared(array: numpy.ndarray, context):
    """`array` (float32, C order) as an MXNet array; on a CPU they share their memory, and NumPy refuses to write there
    from then on."""
    if context.device_type == "cpu":
        return mx.nd.from_numpy(array, zero_copy=True)
    return mx.nd.array(array, ctx=context)


def recomputed(wanted: bool = True) -> contextlib.AbstractContextManager:
    """A scope whose symbols MXNet computes again for the backward pass and does not keep until then, if it is `wanted`.

    It does so only for what a symbol within the scope reads: an array and the product that reads it belong together.
    """
    return mx.AttrScope(__force_mirroring__="True") if wanted else contextlib.nullcontext()


def zero_bias(channels: int):
    """(channels,) zeros: the bias of a convolution that has none. By `no_bias` MXNet 1.9.1 with oneDNN reads behind the
    end of what is requested of the backward pass, and as chance will have it makes the weights' gradient, for nobody
    (apache/mxnet#17992)."""
    return mx.sym.zeros((channels,))


def give_memory_back() -> None:
    """Return freed memory to the system, where the C library can: what an executor that is gone has used."""
    gc.collect()
    _call_libc("malloc_trim", 0)


def _has_amx() -> bool:
    """Whether the CPU has AMX and Linux gives its registers, which it does to a process that asks. Without them oneDNN
    dies of an illegal instruction."""
    known = {"amx_tile", "amx_bf16"} <= set(instructions())
    return known and _call_libc("syscall", _ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0


def _call_libc(function: str, *arguments: int) -> int | None:
    """What a function of the GNU C library returns; None, and nothing is called, on other systems."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            return getattr(ctypes.CDLL("libc.so.6"), function)(*arguments)
    return None


mx = _import_mxnet()

USES_AMX = _has_amx() and _WITH_AMX.items() <= os.environ.items()
"""Whether oneDNN multiplies bfloat16 by AMX, which makes the convolutions several times as fast, and nothing else."""
