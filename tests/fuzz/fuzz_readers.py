"""`make fuzz`: coverage-guided fuzzing of each weight reader.

Inputs are mutated from the kept seeds; one that reaches a line-to-line step in model_zoo/formats that none reached
before joins the corpus. A reader keeps its promise if it gives a network or raises InputError in one line that names
the file, within SECONDS_EACH and MEMORY beyond what the process had. What breaks it is written to tests/fuzz/found.

    python tests/fuzz/fuzz_readers.py [--seconds 60] [--seed 0] [FORMAT ...]
    python tests/fuzz/fuzz_readers.py --write-seeds
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
import weight_files as wf  # noqa: E402

from model_zoo import formats  # noqa: E402
from model_zoo.errors import InputError  # noqa: E402
from model_zoo.loading import load_file  # noqa: E402

SEEDS, FOUND = HERE / "seeds", HERE / "found"
FORMATS = ("params", "npz", "npy", "mat", "safetensors", "caffemodel", "onnx", "pth", "h5")
SECONDS_EACH = 10
MEMORY = 200_000_000  # bytes; the inputs are small, so twice their size is nothing beside it
READERS_FOLDER = str(Path(formats.__file__).parent)
NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 33, 1 << 62, (1 << 64) - 1)


def seeds(form: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(SEEDS.iterdir()) if path.suffix == f".{form}"]


def write_seeds() -> None:
    """One layer in every format: whole numbers, so that the files pack well."""
    parameters = {name: np.round(array * 20) for name, array in wf.random_parameters("conv1_1").items()}
    SEEDS.mkdir(exist_ok=True)
    for name, writer in wf.WRITERS.items():
        (SEEDS / name).write_bytes(writer(parameters))
    (SEEDS / "torchvision.pth").write_bytes(wf.pth(wf.torchvision_names(parameters)))
    (SEEDS / "mean.safetensors").write_bytes(wf.safetensors(parameters, {"mean_rgb": "1,2,3"}))
    (SEEDS / "mean.npz").write_bytes(wf.npz(parameters, mean_rgb=np.array([1.0, 2, 3])))
    wf.write_h5(SEEDS / "vgg19.h5", parameters)


def mutated(data: bytes, corpus: list[bytes], rng: random.Random) -> bytes:
    """One to five changes, mostly near the ends, where the formats keep their structure."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        if not result:
            break
        rng.choice(CHANGES)(result, _position(len(result), rng), corpus, rng)
    return bytes(result)


def _position(length: int, rng: random.Random) -> int:
    where = rng.random()
    reach = min(length, 500)
    if where < 0.4:
        return rng.randrange(reach)
    return length - 1 - rng.randrange(reach) if where < 0.8 else rng.randrange(length)


def _flip(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    data[at] ^= 1 << rng.randrange(8)


def _number(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    data[at : at + size] = (rng.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _nearby_number(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    size = rng.choice((1, 2, 4))
    value = int.from_bytes(data[at : at + size], "little") + rng.randint(-4, 4)
    data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def _remove(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    del data[at : at + rng.choice((1, 2, 4, 8, 64))]


def _repeat(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    data[at:at] = data[at : at + rng.choice((1, 4, 8, 64, 1000))]


def _cut(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    del data[at:]


def _splice(data: bytearray, at: int, corpus: list[bytes], rng: random.Random) -> None:
    other = rng.choice(corpus)
    start = rng.randrange(len(other)) if other else 0
    data[at : at + 64] = other[start : start + 64]


CHANGES: tuple[Callable[[bytearray, int, list[bytes], random.Random], None], ...] = (
    *(_flip, _number, _number, _nearby_number, _remove, _repeat, _cut, _splice),
)


class Steps:
    """The line-to-line steps that the readers' code has taken."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, int]] = set()

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(READERS_FOLDER):
            return None
        name, last = frame.f_code.co_filename, frame.f_lineno

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                self.seen.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return step

        return step


def check(path: Path) -> str:
    """What is wrong with how the file is read; empty where nothing is."""
    try:
        load_file(path)
    except InputError as error:
        message = str(error)
        if str(path) not in message or "\n" in message or len(message) > 1000 or not message.isprintable():
            return f"not one line that names the file: {message!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error))
    return ""


def fuzz(form: str, seconds: float, seed: int) -> Iterator[str]:
    """Fuzz one reader; gives a line for each broken promise, and a last one that sums up."""
    rng = random.Random(f"{form} {seed}")
    corpus, steps, runs, failures = seeds(form), Steps(), 0, 0
    signal.signal(signal.SIGALRM, _too_slow)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ends = time.monotonic() + seconds
    pending = list(corpus)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"vgg19.{form}"
        while pending or time.monotonic() < ends:
            data = pending.pop() if pending else mutated(rng.choice(corpus), corpus, rng)
            path.write_bytes(data)
            before = len(steps.seen)
            signal.alarm(SECONDS_EACH)
            sys.settrace(steps.trace)
            try:
                wrong = check(path)
            finally:
                sys.settrace(None)
                signal.alarm(0)
            runs += 1
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if now > peak + MEMORY:
                wrong, peak = f"took {now - peak} bytes", now
            if wrong:
                failures += 1
                yield f"{form}: {_keep(data, form)}: {wrong}"
            elif len(steps.seen) > before and runs > len(corpus):
                corpus.append(data)
    yield f"{form}: {runs} inputs, {len(corpus)} in the corpus, {len(steps.seen)} steps, {failures} failures"


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"took more than {SECONDS_EACH} s")


def _keep(data: bytes, form: str) -> Path:
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{hashlib.sha256(data).hexdigest()[:12]}.{form}"
    path.write_bytes(data)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=f"of {', '.join(FORMATS)}; all by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write-seeds", action="store_true")
    options = parser.parse_args()
    if options.write_seeds:
        write_seeds()
        return 0
    formats.FEWEST_CONVOLUTIONS = 1
    failed = False
    with tempfile.TemporaryDirectory() as home:
        import os

        os.environ["NEURAL_STYLE_MMD_HOME"] = home
        for form in options.formats or FORMATS:
            for line in fuzz(form, options.seconds, options.seed):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
                failed |= not line.endswith(" 0 failures")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
