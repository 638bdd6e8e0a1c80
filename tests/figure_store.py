"""A figure's folder as a run leaves it, without a run: pictures of plain colours and stripes, made-up numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model_zoo.files import file_hash, write_json
from neural_style_mmd.scoring import SCORED_METHODS
from reproduce.cells import Cell, Place, make_plan
from reproduce.figures import Grid, figure
from reproduce.inputs import InputPicture, Inputs, Network
from reproduce.pipeline import Options, describe_plan
from reproduce.store import Store

SURROGATE = Network("surrogate", "surrogate", "surrogate", "b" * 64, "recipe 1, seed 0")
TRUE = Network("vgg19", "vgg19", "vgg19.params", "a" * 64)


def make_store(
    folder: Path,
    name: str = "figure2",
    *,
    network: Network = SURROGATE,
    replicates: int = 1,
    seeds: tuple[int, ...] = (),
    changed: Callable[[Grid], Grid] = lambda grid: grid,
    done: Callable[[Place, str], bool] = lambda place, stage: True,
    numbers: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda at: {},
) -> Store:
    """Every cell for which `done` says so is there; `numbers` gives scores that are not 0.5, and other versions."""
    grid = changed(replace(figure(name), seeds=seeds))
    names = {each for pair in grid.pairs for each in (pair.content, pair.style) if each}
    folder.mkdir(parents=True)
    pictures = {}
    for k, each in enumerate(sorted(names)):
        path = folder / f"input-{Path(each).stem}.png"
        picture(path, 3 * k)
        pictures[each] = InputPicture(each, str(path), file_hash(path), "named")
    inputs = Inputs(network, pictures, {})
    plan = make_plan(grid, inputs, replicates=replicates)
    store = Store(folder)
    store.open(network)
    options = Options(replicates=replicates, command=("python", "-m", "reproduce", name))
    store.write_plan(describe_plan(grid, inputs, plan, options))
    for number, place in enumerate(plan.places):
        for stage, cell_id in place.cells.items():
            if done(place, stage):
                _publish(store, plan.cells[cell_id], number, stage, network, numbers(place.coordinates))
    return store


def picture(path: Path, number: int) -> None:
    """Stripes in a colour of their own, 32 x 24."""
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[...] = (40 + 9 * number % 200, 200 - 7 * number % 180, 30 + 13 * number % 210)
    pixels[:, :: 2 + number % 5] = 20
    Image.fromarray(pixels).save(path)


def _publish(store: Store, cell: Cell, number: int, stage: str, network: Network, numbers: Mapping[str, Any]) -> None:
    result = store.running(cell.id) / "result"
    result.mkdir(parents=True)
    picture(result / "picture.png", number)
    config = cell.content["config"]
    methods, layers = config["method"], cell.content["scored_layers"]
    terms = [f"style.{method}.{layer}" for method in methods for layer in config["layers"]]
    trace = [
        {"iteration": k, "total": 100.0 / k, "terms": {"content": 1.0, **{term: 10.0 / k for term in terms}},
         "change": 0.1, "gradient_norm": 1.0, "clipped": False, "seconds": k / 10}
        for k in range(1, 6)
    ]  # fmt: skip
    record = {
        "config": config, "preset": "paper", "overrides": {"gamma": config["gamma"]}, "outcome": "iteration_limit",
        "iterations": 5, "seconds": 0.5, "seed": config["seed"], "trace": trace, "notes": [], "threads": 1,
        "cpu": "a processor", "numerics_version": 1,
        "versions": {"python": "3.11", "mxnet": "1.9.1"} | numbers.get("versions", {}),
        "weights": {"kind": network.kind, "name": network.name, "sha256": network.sha256, "notes": []},
        "balance": {
            "content_norm": 2.0, "beta_prime": dict.fromkeys(methods, 3.0),
            "style_norms": {method: {"total": 4.0, "layers": {}} for method in methods},
            "term_weights": {"content": 1.0, **dict.fromkeys(terms, 2.0)},
        },
    }  # fmt: skip
    style = dict.fromkeys(SCORED_METHODS, 0.5) | numbers.get("style", {})
    per_layer = {method: dict.fromkeys(layers, 0.5) for method in SCORED_METHODS}
    score = {"content": 0.5, "content_loss": 7.0, "colour": 0.5, "granularity": 5.0,
             **{key: value for key, value in numbers.items() if key not in ("style", "versions")},
             "style": style, "layers": per_layer, "style_loss": per_layer}  # fmt: skip
    write_json(result / "picture.png.json", record)
    write_json(result / "metrics.json", score)
    store.publish(cell, result)
