"""python -m benchmarks: the cost of an iteration of each method against the bare network, and peak memory.

"Bare" is one forward to relu5_1 and one backward of a head of ones. Whole iterations (draw, evaluation, clipping,
update) and bare ones alternate strictly in one process, so that a noisy machine disturbs both alike; ratios are
medians of the ratios of neighbours. Weights and pictures are seeded noise: the time does not depend on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import click
import numpy as np

from model_zoo.vgg19 import parameter_shapes
from model_zoo.weights import Preprocessing, Weights
from neural_style_mmd.config import METHODS, TransferConfig

WARM_UP = 2


def noise_weights() -> Weights:
    """He-scaled noise in VGG-19's shape up to relu5_1."""
    rng = np.random.default_rng(0)
    parameters = {
        name: (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]) if len(shape) > 1 else 0)).astype("f4")
        for name, shape in parameter_shapes("relu5_1").items()
    }
    return Weights(parameters, Preprocessing(), "unverified", "noise", "benchmark")


def bare_network(weights: Weights, shape: tuple[int, ...]) -> Callable[[], None]:
    """A function that runs one forward to relu5_1 and one backward of a head of ones, and waits for the gradient."""
    from neural_style_mmd._mxnet import mx
    from neural_style_mmd.network import vgg19_symbol

    arguments = {name: mx.nd.array(array) for name, array in weights.parameters.items()}
    arguments["data"] = mx.nd.array(picture(shape, 0))
    gradient = mx.nd.zeros(shape)
    requests = {name: "write" if name == "data" else "null" for name in arguments}
    executor = vgg19_symbol(["relu5_1"])["relu5_1"].bind(mx.cpu(), arguments, {"data": gradient}, requests)
    head = mx.nd.ones(executor.forward(is_train=True)[0].shape)

    def run() -> None:
        executor.forward(is_train=True)
        executor.backward([head])
        gradient.wait_to_read()

    return run


def picture(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A preprocessed picture of seeded noise."""
    return np.random.default_rng(seed).uniform(-100, 100, shape).astype("f4")


def time_method(methods: tuple[str, ...], shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Whole iterations of `methods` (several: fused) in alternation with the bare network."""
    from neural_style_mmd.calibration import balance
    from neural_style_mmd.objective import Objective
    from neural_style_mmd.optimizers import Iterate, State, minimise

    weights = noise_weights()
    bare = bare_network(weights, shape)
    config = TransferConfig(method=methods)
    objective = Objective(config, weights, picture(shape, 1), picture(shape, 2), shape)
    start = picture(shape, 3)
    weighted = balance(objective, start, "noise", start)
    heads = {name: weighted.step_scale * weight for name, weight in weighted.term_weights.items()}
    whole, alone = [], []
    clock = perf_counter()

    def on_iterate(iterate: Iterate) -> bool:
        nonlocal clock
        whole.append(perf_counter() - clock)
        clock = perf_counter()
        bare()
        alone.append(perf_counter() - clock)
        clock = perf_counter()
        return iterate.iteration == rounds + WARM_UP

    minimise(lambda x, draw: objective.evaluate(x, heads, draw), State(start), config, on_iterate)
    ratios = [ours / theirs for ours, theirs in zip(whole[WARM_UP:], alone[WARM_UP:], strict=True)]
    quartiles = quantiles(ratios, n=4)
    return {
        "method": "+".join(methods),
        "seconds": median(whole[WARM_UP:]),
        "bare_seconds": median(alone[WARM_UP:]),
        "ratio": median(ratios),
        "quartiles": [quartiles[0], quartiles[2]],
    }


def transfer_memory(method: str, shape: tuple[int, ...], sources: tuple[str, str]) -> int:
    """Peak resident memory, in bytes, of a fresh process that makes a picture by `method` from files."""
    code = (
        "import sys; from neural_style_mmd import transfer, TransferConfig;"
        "config = TransferConfig(method=(sys.argv[1],), size=int(sys.argv[2]), iterations=3, weights='surrogate');"
        "print(transfer(sys.argv[3], sys.argv[4], config).record['peak_rss'])"
    )
    command = [sys.executable, "-c", code, method, str(max(shape)), *sources]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@click.command()
@click.option("--width", default=512, show_default=True)
@click.option("--height", default=384, show_default=True)
@click.option("--rounds", default=9, show_default=True, help="Timed iterations of each method.")
@click.option("--method", "chosen", multiple=True, help="Only these (repeatable; a+b for a fusion).")
@click.option("--memory/--no-memory", default=True, help="Also measure the peak memory of whole transfers.")
@click.option("--json", "path", type=click.Path(), help="Write the numbers here too.")
def main(width: int, height: int, rounds: int, chosen: tuple[str, ...], memory: bool, path: str | None) -> None:
    """Compare whole iterations with the bare network."""
    import tempfile
    from pathlib import Path

    import model_zoo
    from neural_style_mmd.images import save_picture
    from neural_style_mmd.record import describe_machine

    shape = (1, 3, height, width)
    methods = chosen or (*METHODS, "bn+poly")
    rows = []
    click.echo(f"{width} x {height}, {rounds} rounds, iteration / bare network (forward to relu5_1 and backward)")
    click.echo(f"{'method':12}{'ratio':>8}{'quartiles':>16}{'iteration s':>13}{'bare s':>9}{'peak GB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        sources = str(Path(folder) / "content.png"), str(Path(folder) / "style.png")
        if memory:
            model_zoo.load("surrogate", notify=click.echo)  # made once, not in the measured process
            for source, seed in zip(sources, (1, 2), strict=True):
                noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
                save_picture(source, noise)
        for name in methods:
            row = time_method(tuple(name.split("+")), shape, rounds)
            if memory and "+" not in name:
                row["peak_rss"] = transfer_memory(name, shape, sources)
            rows.append(row)
            low, high = row["quartiles"]
            peak = f"{row['peak_rss'] / 1e9:9.2f}" if "peak_rss" in row else ""
            click.echo(
                f"{name:12}{row['ratio']:8.3f}{low:9.3f}-{high:.3f}{row['seconds']:14.3f}{row['bare_seconds']:9.3f}{peak}"
            )
    machine = describe_machine()
    click.echo(f"{machine['threads']} threads, {machine['cpu']}")
    if path:
        Path(path).write_text(json.dumps({"size": [width, height], "rows": rows, "machine": machine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
