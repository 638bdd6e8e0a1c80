"""A report of what the paper says and what this machine, with this engine, computes. Each line is one claim.

Errors set the verdict; times are reported and never do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import model_zoo
from model_zoo.samples import pair
from model_zoo.vgg19 import LAYERS, STYLE_LAYERS
from model_zoo.weights import Weights

from . import claims, costs, losses
from ._mxnet import mx
from .config import METHODS, TransferConfig
from .evaluation import noise
from .images import preprocess
from .network import vgg19_symbol
from .single_layer import discrepancy
from .stylization import prepare, transfer
from .threads import VARIABLE, usable_cores

SIZE = 64  # long edge of the pictures, which makes the whole report a matter of a minute
DRAWS = 4000


@dataclass(frozen=True)
class Line:
    """One claim. measured: an error, that must be at most `tolerance`; without one it is only reported."""

    claim: str
    source: str
    measured: float
    tolerance: float | None = None
    unit: str = ""

    @property
    def verdict(self) -> str:
        """holds, FAILS (also for NaN), or reported."""
        if self.tolerance is None:
            return "reported"
        return "holds" if self.measured <= self.tolerance else "FAILS"

    def as_dict(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self) | {"verdict": self.verdict}


def verify(
    weights: str = "auto",
    *,
    notify: Callable[[str], None] = lambda text: None,
    checks: Sequence[Callable[[Weights], Iterator[Line]]] | None = None,
) -> Iterator[Line]:
    """Every line of the report, as it is measured.

    weights: as the setting of that name; nothing is downloaded. checks: some of CHECKS; all by default.
    """
    network = model_zoo.load(weights, offline=True, notify=notify)
    for check in CHECKS if checks is None else checks:
        yield from check(network)


def _eq1_is_eq2(network: Weights) -> Iterator[Line]:
    """By explicit feature maps, against the engine's value of the loss, in float64."""
    f, s = _features(6, 50, 1), _features(6, 35, 2)
    linear, poly = discrepancy(f, s, "linear").value * 6, discrepancy(f, s, "poly").value * 4 * 6**2
    for name, value, feature_map, kernel in (
        ("linear", linear, np.positive, np.positive),
        ("poly", poly, claims.outer_products, np.square),
    ):
        sides = [claims.eq1(feature_map, f, s), claims.eq2(kernel, f, s), value]
        yield Line(f"Eq. 1 = Eq. 2 = the engine's loss, {name} kernel", "Eq. 1, 2", _spread(sides), 1e-10)
    variance = float(np.mean(claims.sampled_distances(f, s, *_drawn(50, 35, 0))))
    sides = [claims.gaussian_by_cholesky(f, s, variance), claims.gaussian_eq2(f, s, variance)]
    yield Line("Eq. 1 = Eq. 2, Gaussian kernel, by a Cholesky factor", "Eq. 1, 2", _spread(sides), 1e-8)


def _gram_is_mmd(network: Weights) -> Iterator[Line]:
    f, s = _features(7, 60, 3), _features(7, 60, 4)
    sides = claims.eq6(f, s), claims.eq8(f, s), *(discrepancy(f, s, name).value for name in ("gram", "poly"))
    yield Line("Eq. 6 = Eq. 8 = Eq. 9 = the engine's losses, random features", "Eq. 6-9", _spread(sides), 1e-10)
    content, style = (_layers(network, x) for x in _samples(network))
    for layer in STYLE_LAYERS:
        f, s = (maps[layer] for maps in (content, style))
        exact = [each.astype(np.float64) for each in (f, s)]
        sides = claims.eq6(*exact), claims.eq8(*exact), discrepancy(f, s, "gram").value, discrepancy(f, s, "poly").value
        yield Line(f"the same in float32 on {layer} of {network.kind}", "Eq. 6-9", _spread(sides), 1e-4)


def _gradients(network: Weights) -> Iterator[Line]:
    f, s = _features(4, 15, 5), _features(4, 6, 6)
    drawn = _drawn(15, 6, 7)
    held = float(np.mean(claims.sampled_distances(f, s, *drawn)))
    cases: dict[str, tuple[str, float, Callable[[np.ndarray], float]]] = {
        "linear": ("linear", 0.0, lambda x: claims.eq2(lambda k: k, x, s) / 4),
        "gram": ("gram", 0.0, lambda x: claims.eq2(np.square, x, s) / 64),
        "poly": ("poly", 0.0, lambda x: claims.eq2(np.square, x, s) / 64),
        "poly, c = 1.7": ("poly", 1.7, lambda x: claims.eq2(lambda k: (k + 1.7) ** 2, x, s) / 64),
        "bn": ("bn", 0.0, lambda x: claims.eq11(x, s)),
        "gaussian, sigma^2 held": ("gaussian", 0.0, lambda x: claims.sampled_gaussian(x, s, *drawn, held)),
    }
    for name, (method, c, equation) in cases.items():
        found = discrepancy(f, s, method, poly_c=c, pairs=drawn).gradient
        error = _relative(found, claims.central_differences(equation, f))
        yield Line(f"gradient of {name} is that of the equation", "Eq. 9-12", error, 1e-6)
    for name, source, symbol, inputs in _symbols():
        value = partial(_value_at, symbol, inputs)
        error = _relative(_evaluate(symbol, inputs)[1], claims.central_differences(value, inputs["data"]))
        yield Line(f"gradient of {name}", source, error, 1e-6)


def _sampling(network: Weights) -> Iterator[Line]:
    f, s = _features(5, 40, 8), _features(5, 31, 9)
    variance = float(np.mean(claims.sampled_distances(f, s, *_drawn(40, 31, 0))))
    draws = [_drawn(40, 31, seed) for seed in range(DRAWS)]
    errors = []
    for drawn in draws[:10]:
        own = float(np.mean(claims.sampled_distances(f, s, *drawn)))
        exact = claims.sampled_gaussian(f, s, *drawn, own)
        errors.append(_spread([exact, discrepancy(f, s, "gaussian", pairs=drawn).value]))
    yield Line("the engine's sampled estimator is that of the equation", "3.2, [9]", max(errors), 1e-10)
    estimates = [claims.sampled_gaussian(f, s, *drawn, variance) for drawn in draws]
    error = np.mean(estimates) - claims.gaussian_unbiased(f, s, variance)
    z = abs(error) / (np.std(estimates, ddof=1) / np.sqrt(DRAWS))
    yield Line(f"the estimator is unbiased, sigma^2 held: |z| over {DRAWS} draws", "3.2, [9]", float(z), 4.0)
    sizes = (8192, 16384, 32768, 65536)
    sampled = costs.exponent(sizes, [costs.loss_seconds("gaussian", 64, m) for m in sizes])
    yield Line("its cost grows as M^p: p", "3.2: linear complexity", sampled)
    sizes = (256, 512, 1024, 2048)
    full = costs.exponent(sizes, [costs.full_estimate_seconds(64, m) for m in sizes])
    yield Line("that of the estimate over all pairs: p", "3.2", full)


def _complexity(network: Weights) -> Iterator[Line]:
    for layer in STYLE_LAYERS:
        row = LAYERS[layer]
        for method in ("linear", "poly", "gaussian", "bn"):
            time = costs.loss_seconds(method, row.channels, (256 // row.stride) ** 2)
            yield Line(f"cost of {method} at {layer}, 256 x 256", "4.2: linear is cheaper", 1e3 * time, None, "ms")


def _balance(network: Weights) -> Iterator[Line]:
    setting = prepare(*_sample_pictures(), TransferConfig(method=METHODS, size=SIZE), weights=network)
    beta_prime = setting.measure_balance().beta_prime

    def norm(weights: dict[str, float]) -> float:
        return float(np.linalg.norm(setting.objective.evaluate(setting.point, weights).gradient.astype(np.float64)))

    content = norm({"content": 1.0})
    for method in METHODS:
        ratio = norm({f"style.{method}.{layer}": beta_prime[method] for layer in STYLE_LAYERS}) / content
        yield Line(f"{method}: style and content gradients have equal norms", "4: beta'", abs(ratio - 1), 0.01)


def _determinism(network: Weights) -> Iterator[Line]:
    content, style = _sample_pictures()
    config = TransferConfig(method=("gaussian", "bn"), size=SIZE, iterations=5, stop_change=0.0)
    one, two = (transfer(content, style, config, weights=network) for _ in range(2))
    different = int((one.image != two.image).sum())
    totals = [[entry["total"] for entry in each.record["trace"]] for each in (one, two)]
    yield Line("the same run twice: pixels that differ", "ours", different, 0)
    yield Line("the same run twice: losses that differ", "ours", sum(a != b for a, b in zip(*totals, strict=True)), 0)


def _threads(network: Weights) -> Iterator[Line]:
    """The gradient of each method in processes of their own, because MXNet fixes its threads when it is loaded."""
    many = max(2, usable_cores())
    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder) / "network.npz"
        np.savez(parameters, **network.parameters)
        one, other = (_gradients_with(threads, parameters, Path(folder)) for threads in (1, many))
    for method in one:
        error = _relative(other[method], one[method])
        yield Line(f"gradient of {method}: 1 thread against {many}", "ours", error, 1e-3)


CHECKS = (_eq1_is_eq2, _gram_is_mmd, _gradients, _sampling, _balance, _determinism, _threads, _complexity)


def _gradients_with(threads: int, parameters: Path, folder: Path) -> dict[str, np.ndarray]:
    path = folder / f"{threads}.npz"
    code = "import sys; from neural_style_mmd.verify import write_gradients; write_gradients(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(parameters), str(path)]
    subprocess.run(command, check=True, env=os.environ | {VARIABLE: str(threads)}, capture_output=True, timeout=120)
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def write_gradients(parameters: str, path: str) -> None:
    """Write the gradient of each method's loss at a textured point to `path`; for a process of its own."""
    with np.load(parameters) as archive:
        arrays = {name: archive[name] for name in archive.files}
    network = Weights(arrays, model_zoo.weights.Preprocessing(), "unverified", "verify", "the parent's")
    content, style = _sample_pictures()
    setting = prepare(content, style, TransferConfig(method=METHODS, size=SIZE), weights=network)
    gradients = {
        method: setting.objective.evaluate(setting.point, {f"style.{method}.{layer}": 1.0 for layer in STYLE_LAYERS})
        for method in METHODS
    }
    np.savez(path, **{method: evaluation.gradient for method, evaluation in gradients.items()})


def _sample_pictures() -> tuple[np.ndarray, np.ndarray]:
    sample = pair(0, 128)
    return sample.content, sample.style


def _samples(network: Weights) -> list[np.ndarray]:
    """Content and style at SIZE x 3/4 SIZE, preprocessed."""
    sample = pair(0, SIZE)
    return [preprocess(pixels, network.preprocessing.mean_rgb) for pixels in (sample.content, sample.style)]


def _layers(network: Weights, x: np.ndarray) -> dict[str, np.ndarray]:
    """The style layers' features (N, M) of a preprocessed picture."""
    group = mx.sym.Group(list(vgg19_symbol(STYLE_LAYERS).values()))
    known = dict(network.parameters) | {"data": x}
    executor = group.bind(
        mx.cpu(), {name: mx.nd.array(known[name]) for name in group.list_arguments()}, grad_req="null"
    )
    maps = [value.asnumpy()[0] for value in executor.forward()]
    return {layer: each.reshape(len(each), -1) for layer, each in zip(STYLE_LAYERS, maps, strict=True)}


def _symbols() -> list[tuple[str, str, Any, dict[str, np.ndarray]]]:
    """(name, source, symbol of "data", inputs) of the terms that are not style losses."""
    data, x, p = mx.sym.Variable("data"), *(noise((1, 3, 4, 5), 1.0, 0, k).astype(np.float64) for k in (0, 1))
    return [
        ("the content loss", "Eq. 4", losses.content_loss(data), {"data": x, "content.features": p}),
        ("total variation", "ours", losses.total_variation(data), {"data": x}),
        ("total variation, the release's", "NS:186-208", losses.total_variation(data, "release"), {"data": x}),
    ]


def _value_at(symbol: Any, inputs: dict[str, np.ndarray], data: np.ndarray) -> float:
    return _evaluate(symbol, inputs | {"data": data})[0]


def _evaluate(symbol: Any, inputs: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    arrays = {name: mx.nd.array(value, dtype="float64") for name, value in inputs.items()}
    gradient = mx.nd.zeros(inputs["data"].shape, dtype="float64")
    requests = {name: "write" if name == "data" else "null" for name in arrays}
    executor = symbol.bind(mx.cpu(), arrays, {"data": gradient}, requests)
    value = float(executor.forward(is_train=True)[0].asscalar())
    executor.backward([mx.nd.ones(1, dtype="float64")])
    return value, gradient.asnumpy()


def _features(channels: int, positions: int, seed: int) -> np.ndarray:
    """What follows a ReLU, (N, M), float64."""
    return np.maximum(np.random.default_rng(seed).normal(0.3, 1.0, (channels, positions)), 0)


def _drawn(positions: int, style_positions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = losses.draw_pairs(positions, style_positions, np.random.default_rng(seed))
    return drawn["pairs"], drawn["style_pairs"]


def _spread(values: Sequence[float]) -> float:
    """Largest difference of `values`, relative to the first."""
    return float(np.ptp(values) / abs(values[0]))


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
