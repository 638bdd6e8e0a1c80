"""Tasks of a child process that time the stages of one transfer, from the import to the saved picture."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

from .child import Turn


class _Watch:
    """Seconds since it was last read."""

    def __init__(self) -> None:
        self._began = perf_counter()

    def read(self) -> float:
        before, self._began = self._began, perf_counter()
        return self._began - before


def stages(turn: Turn, methods: str, content: str, style: str, out: str) -> dict[str, float]:
    """Seconds of each stage. Its first answer, with those before the first evaluation, comes when all is bound."""
    watch, seconds = _Watch(), {}
    from neural_style_mmd import _mxnet  # noqa: F401

    seconds["import of MXNet"] = watch.read()
    import model_zoo
    from neural_style_mmd.calibration import balance, calibration_point
    from neural_style_mmd.evaluation import noise
    from neural_style_mmd.images import deprocess, preprocess, read_picture, save_picture
    from neural_style_mmd.objective import Objective
    from neural_style_mmd.optimizers import State, minimise

    from .ours import settings

    seconds["import of the package"] = watch.read()
    weights = model_zoo.load("surrogate")
    seconds["surrogate network, from the cache"] = watch.read()
    mean = weights.preprocessing.mean_rgb
    x, y = (preprocess(read_picture(path).pixels, mean) for path in (content, style))
    seconds["pictures"] = watch.read()
    config = settings(methods, content)
    objective = Objective(config, weights, y, x, x.shape)
    seconds["targets, and binding"] = watch.read()
    turn(seconds)
    watch.read()
    start = noise(x.shape, config.init_amplitude, seed=0)
    balanced = balance(objective, calibration_point(config, x.shape, x)[0], "", start)
    heads = {name: balanced.step_scale * weight for name, weight in balanced.term_weights.items()}
    seconds["calibration"] = watch.read()
    iterations: list[float] = []

    def on_iterate(iterate) -> bool:
        iterations.append(watch.read())
        return len(iterations) == 2

    minimise(lambda at, draw: objective.evaluate(at, heads, draw), State(start), config, on_iterate)
    seconds["first iteration"], seconds["second iteration"] = iterations
    save_picture(out, deprocess(x, mean))
    seconds["saving"] = watch.read()
    return seconds


def cell_start_up(turn: Turn, spec: str, targets_folder: str) -> None:
    """What a cell does before its first iteration. The first answer comes when all is bound, the second after the first
    evaluation, which reorders the network's weights."""
    from neural_style_mmd.config import TransferConfig
    from neural_style_mmd.stylization import prepare
    from reproduce.cells import Cell

    asked = json.loads(Path(spec).read_text(encoding="utf-8"))
    cell = Cell.from_dict(asked["cell"])
    config = TransferConfig.from_dict({**cell.content["config"], "weights": asked["network"]["request"]})
    setting = prepare(cell.files.get("content"), cell.files["style"], config, targets_folder=Path(targets_folder))
    turn(None)
    setting.objective.evaluate(setting.start, dict.fromkeys(setting.objective.terms, 1.0))


def make_surrogate(turn: Turn) -> float:
    """Seconds that making the surrogate network takes, in a cache folder where it is not."""
    import model_zoo
    from model_zoo.files import cache_home

    began = perf_counter()
    model_zoo.load("surrogate")
    if not any(Path(cache_home()).iterdir()):
        raise OSError(f"{cache_home()} is empty: the network was not made there")
    return perf_counter() - began
