"""A figure is a grid, and a grid is data: TOML, read and checked here. The paper's four ship in `grids/`.

Keys of a grid (docs/FIGURES.md explains each): name, title, caption, methods, weights, gammas, pairs, layer_sets,
sizes, seeds, iterations, rows, columns, claims, preview_size, preview_iterations, and the tables config, sweeps,
sources and block. A key inside a [[block]] replaces the one above it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from model_zoo.errors import InputError
from model_zoo.vgg19 import LAYERS, STYLE_LAYERS
from neural_style_mmd.config import TransferConfig

FOLDER = Path(__file__).with_name("grids")
FIGURES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))

PROCEDURAL = "procedural:"
"""procedural:K-content and procedural:K-style name the pictures of pair K that the program makes itself."""

PREVIEW_SIZE, PREVIEW_ITERATIONS = 192, 100  # our choice: Figure 2 in a few minutes on two cores

AXES = ("method", "weights", "gamma", "pair", "layers", "size")
BLOCK_KEYS = ("methods", "weights", "gammas", "pairs", "layer_sets", "sizes")
TOP_KEYS = (
    *("name", "title", "caption", "iterations", "rows", "columns", "claims", "seeds", "preview_size"),
    *("preview_iterations", "config", "sweeps", "sources", "block", *BLOCK_KEYS),
)
_NO_INIT_FILE = (None, "noise", "content")
_NOT_IN_CONFIG = {
    **dict.fromkeys(
        ("method", "fusion", "gamma", "layers", "size", "iterations", "seed", "beta_prime", "weights"),
        "a grid gives it by its own keys",
    ),
    "time_limit": "the pictures would depend on how fast the machine is; give iterations",
    "offline": "it is an option of the command, --offline",
}
"""Setting -> why it may not be in [config]."""


@dataclass(frozen=True)
class Pair:
    """Names or paths of a content and a style picture; without content the style alone is reconstructed.

    written: the two as the grid's file has them, wherever that lies; None where they are the same.
    """

    content: str | None
    style: str
    written: tuple[str | None, str] | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """Without folders and extensions."""
        if self.style.startswith(PROCEDURAL):
            return f"procedural pair {self.style.removeprefix(PROCEDURAL).partition('-')[0]}"
        shown = [Path(name).stem if "." in name else name for name in (self.content, self.style) if name]
        return " × ".join(shown)


@dataclass(frozen=True)
class LayerSet:
    """The style layers of a cell; each has weight 1."""

    label: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Coordinates:
    """Where a cell lies in its grid. weights: of fused methods, () for one method or equal ones."""

    method: tuple[str, ...]
    weights: tuple[float, ...]
    gamma: float
    pair: Pair
    layers: LayerSet
    size: int

    def label(self, axis: str) -> str:
        """The value on one of AXES as a reader sees it."""
        return _LABELS[axis](self)

    def as_dict(self) -> dict[str, Any]:
        """The coordinates in JSON's types."""
        return {
            "method": "+".join(self.method),
            "weights": list(self.weights),
            "gamma": self.gamma,
            "content": self.pair.content,
            "style": self.pair.style,
            "layers": self.layers.label,
            "size": self.size,
        }


_LABELS: Mapping[str, Callable[[Coordinates], str]] = {
    "method": lambda at: " + ".join(at.method),
    "weights": lambda at: ", ".join(f"{weight:g}" for weight in at.weights) or "equal",
    "gamma": lambda at: f"γ = {at.gamma:g}",
    "pair": lambda at: at.pair.label,
    "layers": lambda at: at.layers.label,
    "size": lambda at: f"{at.size} px",
}


@dataclass(frozen=True)
class Grid:
    """A checked grid. Each of `blocks` is the values of BLOCK_KEYS; the cells are the products of each block.

    seeds: seeds of the replicates given by hand; empty where they are derived (`cells.seed_of`).
    config: fields of TransferConfig that hold for every cell.
    sweeps: lists of gammas by name, alternatives for `gammas`.
    sources: key -> where its values come from.
    """

    name: str
    title: str
    caption: str
    blocks: tuple[Mapping[str, tuple], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    iterations: int
    seeds: tuple[int, ...] = ()
    preview_size: int = PREVIEW_SIZE
    preview_iterations: int = PREVIEW_ITERATIONS
    claims: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    sweeps: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def alpha(self) -> float:
        """Weight of the content loss; 0 means style reconstructions."""
        return float(self.config.get("alpha", TransferConfig().alpha))

    @property
    def init_file(self) -> str | None:
        """The picture that every cell starts from, where [config] names one."""
        init = self.config.get("init")
        return None if init in _NO_INIT_FILE else init

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair once, in order."""
        return tuple(dict.fromkeys(pair for block in self.blocks for pair in block["pairs"]))

    @property
    def all_layers(self) -> tuple[str, ...]:
        """Every style layer of any cell, from the picture downwards."""
        named = {layer for block in self.blocks for each in block["layer_sets"] for layer in each.layers}
        return tuple(layer for layer in LAYERS if layer in named)

    def coordinates(self) -> list[Coordinates]:
        """Every cell of the grid, replicates aside, in reading order."""
        return [
            Coordinates(*values) for block in self.blocks for values in product(*(block[key] for key in BLOCK_KEYS))
        ]

    def with_gammas(self, gammas: str) -> Grid:
        """The grid with other balance factors: the name of one of its sweeps, or numbers joined by commas."""
        values = self.sweeps.get(gammas)
        if values is None:
            try:
                values = tuple(float(text) for text in gammas.split(","))
            except ValueError:
                known = ", ".join(self.sweeps) or "none"
                raise InputError(
                    f"gammas {gammas!r}: neither numbers joined by commas nor a sweep of {self.name} (its sweeps: "
                    f"{known})"
                ) from None
        blocks = tuple({**block, "gammas": values} for block in self.blocks)
        return _checked(replace(self, blocks=blocks, **self._in_place(gammas=gammas)))

    def with_setting(self, size: int | None, iterations: int | None, config: Mapping[str, Any]) -> Grid:
        """The grid with another long edge, another limit of iterations, further fields of the configuration. A preset
        among these brings its own limit, unless one is given."""
        if iterations is None and "preset" in config:
            iterations = TransferConfig(preset=config["preset"]).iterations
        given = {"sizes": size, "iterations": iterations, **{f"config.{key}": value for key, value in config.items()}}
        blocks = self.blocks if size is None else tuple({**block, "sizes": (size,)} for block in self.blocks)
        grid = replace(self, **self._in_place(**given), iterations=iterations or self.iterations)
        return _checked(replace(grid, blocks=blocks, config={**self.config, **config}))

    def _in_place(self, **given: Any) -> dict[str, Any]:
        """A caption and sources that say what was asked for in place of the grid's own, which they tell of."""
        words = "; ".join(f"{key} {value}" for key, value in given.items() if value is not None)
        asked = f"Asked for in place of the grid's own: {words}." if words else ""
        sources = {key: "asked for in place of the grid's own" for key, value in given.items() if value is not None}
        return {"caption": f"{self.caption} {asked}".strip(), "sources": {**self.sources, **sources}}


def figure(name: str) -> Grid:
    """One of the paper's figures."""
    if name not in FIGURES:
        raise InputError(f"unknown figure {name!r}; known are {', '.join(FIGURES)}")
    return read_grid(FOLDER / f"{name}.toml")


def read_grid(path: Path) -> Grid:
    """The grid in a TOML file; InputError, in one line that names the file, for anything wrong in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot read {path}: {reason}; give a grid in TOML or one of {', '.join(FIGURES)}") from error
    try:
        return parse_grid(_toml().loads(text), path.stem, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _toml().TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from error


def parse_grid(data: Mapping[str, Any], name: str = "grid", folder: Path | None = None) -> Grid:
    """A grid from TOML's types; InputError for an unknown key, a wrong type or a value that cannot be."""
    try:
        return _checked(_grid(data, name, folder))
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise InputError(f"a value of a wrong type: {error}") from error


def _grid(data: Mapping[str, Any], name: str, folder: Path | None) -> Grid:
    _require_known(data, TOP_KEYS, "key")
    _check_types(data)
    shared = {key: data[key] for key in BLOCK_KEYS if key in data}
    own = data.get("block", [{}])
    for block in own:
        if not isinstance(block, Mapping):
            raise InputError(f"block is {block!r}; write [[block]] on a line and its keys below")
        _require_known(block, BLOCK_KEYS, "key of a block")
        _check_types(block)
    for table, kind, what in (("sweeps", list, "a list of gammas"), ("sources", str, "text")):
        for key, value in data.get(table, {}).items():
            if not isinstance(value, kind):
                raise InputError(f"{table}.{key} is {value!r}; it must be {what}")
            if not value:
                raise InputError(f"{table}.{key} is empty; it must be {what}")
    config = dict(data.get("config", {}))
    if isinstance(init := config.get("init"), str) and init not in _NO_INIT_FILE:
        config["init"] = _found(init, folder)
    return Grid(
        name=str(data.get("name", name)),
        title=str(data.get("title", name)),
        caption=" ".join(str(data.get("caption", "")).split()),
        blocks=tuple(_block({**shared, **block}, folder) for block in own),
        rows=tuple(data.get("rows", ["method"])),
        columns=tuple(data.get("columns", ["gamma"])),
        iterations=int(data.get("iterations", TransferConfig().iterations)),
        seeds=tuple(data.get("seeds", ())),
        preview_size=int(data.get("preview_size", PREVIEW_SIZE)),
        preview_iterations=int(data.get("preview_iterations", PREVIEW_ITERATIONS)),
        claims=tuple(data.get("claims", ())),
        config=config,
        sweeps={key: tuple(map(float, values)) for key, values in data.get("sweeps", {}).items()},
        sources=dict(data.get("sources", {})),
    )


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    return import_module("tomli")  # Python 3.10 has no reader of its own


def _require_known(data: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in data:
        if key not in known:
            raise InputError(f"unknown {what} {key!r}; known are {', '.join(sorted(known))}")


def _check_types(data: Mapping[str, Any]) -> None:
    lists = ("rows", "columns", "claims", "seeds", "block", *BLOCK_KEYS)
    for key, value in data.items():
        wanted = (
            list if key in lists else dict if key in ("config", "sweeps", "sources")
            else str if key in ("name", "title", "caption") else int
        )  # fmt: skip
        if not isinstance(value, wanted) or isinstance(value, bool):
            kind = {list: "a list", dict: "a table", str: "text", int: "a whole number"}[wanted]
            raise InputError(f"{key} is {value!r}; it must be {kind}")
        if wanted is list and not value:
            raise InputError(f"{key} is empty; give at least one value or leave it out")
        if key in ("rows", "columns", "claims", "methods") and set(map(type, data[key])) != {str}:
            raise InputError(f"{key} is {value!r}; it must be a list of names")


def _block(values: Mapping[str, Any], folder: Path | None) -> dict[str, tuple]:
    if "pairs" not in values:
        raise InputError('pairs are missing; give pairs = [{ content = "photo.jpg", style = "painting.jpg" }]')
    return {
        "methods": tuple(tuple(name.lower().split("+")) for name in values.get("methods", ["linear"])),
        "weights": tuple(tuple(map(float, each)) for each in values.get("weights", [()])),
        "gammas": tuple(map(float, values.get("gammas", [1.0]))),
        "pairs": tuple(_pair(each, folder) for each in values["pairs"]),
        "layer_sets": tuple(map(_layer_set, values.get("layer_sets", [list(STYLE_LAYERS)]))),
        "sizes": tuple(values.get("sizes", [TransferConfig().size])),
    }


def _pair(value: Mapping[str, str], folder: Path | None) -> Pair:
    if not isinstance(value, Mapping) or "style" not in value or set(map(type, value.values())) != {str}:
        raise InputError(f'{value!r} is no pair; write {{ content = "photo.jpg", style = "painting.jpg" }}')
    _require_known(value, ("content", "style"), "key of a pair")

    content, style = value.get("content") or None, value["style"]
    written = (content and Path(content).as_posix(), Path(style).as_posix())
    return Pair(content and _found(content, folder), _found(style, folder), written)


def _found(name: str, folder: Path | None) -> str:
    """A path in a grid is meant from the grid's own folder."""
    here = folder / name if folder is not None and folder != FOLDER else None
    return str(here.absolute()) if here is not None and here.is_file() else name


def _layer_set(value: Any) -> LayerSet:
    if isinstance(value, Mapping):
        _require_known(value, ("label", "layers"), "key of a layer set")
        if "layers" not in value:
            raise InputError(f'{value!r} is no layer set; write {{ label = "...", layers = ["relu1_1"] }}')
        return LayerSet(str(value.get("label", ", ".join(value["layers"]))), tuple(value["layers"]))
    return LayerSet(", ".join(value), tuple(value))


def _checked(grid: Grid) -> Grid:
    """The grid itself; InputError for what it cannot say."""
    if not grid.name or Path(grid.name).name != grid.name or grid.name.startswith("."):
        raise InputError(f"name is {grid.name!r}; it names a folder, so use letters, digits and dashes")
    for axis in (*grid.rows, *grid.columns):
        if axis not in AXES:
            raise InputError(f"unknown axis {axis!r} in rows or columns; known are {', '.join(AXES)}")
    cells = grid.coordinates()
    places = [tuple(at.label(axis) for axis in (*grid.rows, *grid.columns)) for at in cells]
    if len(set(places)) < len(places):
        free = [axis for axis in AXES if axis not in (*grid.rows, *grid.columns)]
        varies = [axis for axis in free if len({at.label(axis) for at in cells}) > 1]
        raise InputError(
            f"several cells fall on one place: {', '.join(varies) or 'a value'} "
            f"{'varies but is neither in rows nor in columns' if varies else 'is given twice'}"
        )
    _check_config(grid)
    for pair in grid.pairs:
        if (pair.content is None) != (grid.alpha == 0):
            raise InputError(f"pair {pair.label}: without a content picture config.alpha must be 0, otherwise not")
    if min(grid.preview_size, grid.preview_iterations) < 1:
        raise InputError("preview_size and preview_iterations must be 1 or more")
    _check_claims(grid)
    return grid


def _check_claims(grid: Grid) -> None:
    from .verdicts import CLAIMS

    for name in grid.claims:
        if name not in CLAIMS:
            raise InputError(f"unknown claim {name!r}; known are {', '.join(CLAIMS)}")


def _check_config(grid: Grid) -> None:
    for key in grid.config:
        if key in _NOT_IN_CONFIG:
            raise InputError(f"config.{key}: {_NOT_IN_CONFIG[key]}; remove it from [config]")
    cells = grid.coordinates()
    for at, seed in (*((at, 0) for at in cells), *((cells[0], seed) for seed in grid.seeds)):
        config_at(grid, at, at.size, grid.iterations, seed)
    if len(set(grid.seeds)) < len(grid.seeds):
        raise InputError(f"seeds are {', '.join(map(str, grid.seeds))}: a replicate needs a seed of its own")


def config_at(grid: Grid, at: Coordinates, size: int, iterations: int, seed: int) -> TransferConfig:
    """The configuration of one cell, without beta' and without the network; InputError where it cannot be."""
    return TransferConfig.from_dict(
        dict(grid.config)
        | {
            "method": at.method,
            "fusion": at.weights,
            "gamma": at.gamma,
            "layers": at.layers.layers,
            "size": size,
            "iterations": iterations,
            "seed": seed,
        }
    )
