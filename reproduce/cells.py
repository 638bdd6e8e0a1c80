"""A grid becomes cells: hashable data, each with an id that is the hash of what its result depends on, no more.

Not in an id: paths, names, order, device, threads, date, and the measured beta' (its recipe is).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from neural_style_mmd.config import TransferConfig
from neural_style_mmd.record import NUMERICS_VERSION

from .figures import Coordinates, Grid, Pair, config_at
from .inputs import Inputs

STAGES = ("preview", "full")
CALIBRATIONS = ("figure", "pair")

_NOT_IN_ID = ("weights", "offline", "time_limit", "beta_prime")
_NOT_IN_RECIPE = (
    *(
        *_NOT_IN_ID,
        "method",
        "fusion",
        "gamma",
        "seed",
        "iterations",
        "stop_change",
        "stop_after",
        "init",
        "init_amplitude",
    ),
    *("optimizer", "learning_rate", "momentum", "weight_decay", "decay_factor", "decay_every", "clip", "step_scale"),
    *("lbfgs_restart", "horizon", "estimator", "fusion_rule", "rounding", "denoise"),
)
"""beta' is measured at one point, before the first step. Listed is what cannot matter, so that a new setting counts."""


@dataclass(frozen=True)
class Cell:
    """One piece of work.

    kind: "transfer" or "calibration".
    content: what the result depends on, in JSON's types; the id is its hash.
    files: {name: path} of its pictures on this machine; not in the id.
    needs: {method: id of the calibration whose beta' it takes}.
    label: what a person calls it.
    """

    kind: str
    content: Mapping[str, Any]
    files: Mapping[str, str]
    needs: Mapping[str, str] = field(default_factory=dict)
    label: str = ""

    @property
    def id(self) -> str:
        """sha256 of the canonical content, 64 hexadecimal digits."""
        return digest({"kind": self.kind, **self.content})

    def as_dict(self) -> dict[str, Any]:
        """JSON's types, the id included."""
        return asdict(self) | {"id": self.id}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """The inverse of as_dict."""
        return cls(**{key: value for key, value in values.items() if key != "id"})


@dataclass(frozen=True)
class Place:
    """A place of the figure: its row, its column, its replicate, and which cell fills it in each of STAGES."""

    row: int
    column: int
    replicate: int
    coordinates: Mapping[str, Any]
    label: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """All cells of a grid and where each belongs.

    rows, columns: headings. row_pairs: the pair of each row, None where it differs within the row.
    """

    cells: Mapping[str, Cell]
    places: Sequence[Place]
    rows: Sequence[str]
    columns: Sequence[str]
    row_pairs: Sequence[Pair | None]

    def stage(self, name: str) -> list[Cell]:
        """The cells of one stage, each calibration before the cells that need it."""
        return self._with_needs(place.cells[name] for place in self.places if name in place.cells)

    def first_look(self) -> list[Cell]:
        """The preview of the whole figure: of a place without one the full cell, which is no dearer."""
        return self._with_needs(next(iter(place.cells.values())) for place in self.places)

    def _with_needs(self, cell_ids: Iterable[str]) -> list[Cell]:
        wanted: dict[str, Cell] = {}
        for cell in map(self.cells.__getitem__, cell_ids):
            wanted |= {needed: self.cells[needed] for needed in cell.needs.values()}
            wanted[cell.id] = cell
        return sorted(wanted.values(), key=lambda cell: cell.kind)

    @property
    def stages(self) -> list[str]:
        """Those of STAGES that the plan has."""
        return [stage for stage in STAGES if any(stage in place.cells for place in self.places)]


def digest(value: Any) -> str:
    """sha256 of `value` as JSON with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seed_of(figure: str, pair: Pair, replicate: int) -> int:
    """The seed of a cell, below 2^32: shared by all methods, balance factors, fusion weights and layer sets, and the
    same wherever the grid lies."""
    return int(digest([figure, *(pair.written or (pair.content, pair.style)), replicate])[:8], 16)


def make_plan(
    grid: Grid, inputs: Inputs, *, replicates: int = 1, calibration: str = "figure", stages: Sequence[str] = STAGES
) -> Plan:
    """Every cell of the grid.

    replicates: how often each cell is repeated with another seed; ignored where the grid gives seeds.
    calibration: "figure" takes beta' as the geometric mean over the figure's pairs, as the paper's figures keep one
        beta' per method; "pair" measures it for each pair alone.
    stages: which of STAGES; the preview is left out where it would be the full setting itself.
    """
    planner = _Planner(grid, inputs, calibration)
    points = grid.coordinates()
    keys = [tuple(at.label(axis) for axis in grid.rows) for at in points]
    columns = [tuple(at.label(axis) for axis in grid.columns) for at in points]
    row_order, column_order = list(dict.fromkeys(keys)), list(dict.fromkeys(columns))
    numbers = range(len(grid.seeds) or replicates)
    places = [
        Place(
            row_order.index(key),
            column_order.index(column),
            replicate,
            {**_shown(at, inputs), "replicate": replicate, "seed": planner.seed(at, replicate)},
            _label(at, inputs, replicate if len(numbers) > 1 else None),
            {stage: planner.transfer(at, replicate, stage) for stage in planner.stages_of(at, stages)},
        )
        for replicate in numbers
        for at, key, column in zip(points, keys, columns, strict=True)
    ]
    return Plan(
        cells=planner.cells,
        places=places,
        rows=[_heading(key, grid.rows, points, inputs) for key in row_order],
        columns=[", ".join(column) for column in column_order],
        row_pairs=[_row_pair([at for at, other in zip(points, keys, strict=True) if other == key], inputs)
                   for key in row_order],
    )  # fmt: skip


class _Planner:
    """Collects the cells of a grid while its places are laid out."""

    def __init__(self, grid: Grid, inputs: Inputs, calibration: str) -> None:
        self.cells: dict[str, Cell] = {}
        self._grid, self._inputs, self._calibration = grid, inputs, calibration

    def seed(self, at: Coordinates, replicate: int) -> int:
        grid = self._grid
        return grid.seeds[replicate] if grid.seeds else seed_of(grid.name, self._inputs.pair(at.pair), replicate)

    def stages_of(self, at: Coordinates, stages: Sequence[str]) -> list[str]:
        same = self._setting(at, "preview") == self._setting(at, "full")
        return [stage for stage in stages if not (same and stage == "preview" and "full" in stages)]

    def transfer(self, at: Coordinates, replicate: int, stage: str) -> str:
        """Adds the cell and the calibrations it needs; returns its id."""
        config = self._config(at, replicate, stage)
        measured = config.alpha != 0 and config.balance == "measured"
        needs = {method: self._calibrate(method, at, stage) for method in at.method} if measured else {}
        pictures, init = self._pictures(at.pair), self._grid.init_file
        pictures |= {"init": self._inputs.pictures[init]} if init else {}
        apart = (*_NOT_IN_ID, "init") if init else _NOT_IN_ID  # a path, in whose place the picture's hash counts
        cell = Cell(
            kind="transfer",
            content={
                "config": {key: value for key, value in config.as_dict().items() if key not in apart},
                "inputs": {role: picture.sha256 for role, picture in pictures.items()},
                "network": self._inputs.network.identity,
                "calibration": needs,
                "scored_layers": list(self._grid.all_layers),
                "numerics": NUMERICS_VERSION,
            },
            files={role: picture.path for role, picture in pictures.items()},
            needs=needs,
            label=_label(at, self._inputs, replicate or None),
        )
        return self._add(cell)

    def _calibrate(self, method: str, at: Coordinates, stage: str) -> str:
        """The cell that measures beta' of `method` at the layers and the size of `at`: once in the store."""
        pairs = self._grid.pairs if self._calibration == "figure" else (at.pair,)
        config = self._config(at, 0, stage).as_dict()
        sources = [self._pictures(pair) for pair in pairs]
        cell = Cell(
            kind="calibration",
            content={
                "method": method,
                "config": {key: value for key, value in config.items() if key not in _NOT_IN_RECIPE},
                "pairs": [
                    {role: picture.sha256 for role, picture in each.items()}
                    | {"seed": self._grid.seeds[0] if self._grid.seeds else
                       seed_of(self._grid.name, self._inputs.pair(pair), 0)}
                    for pair, each in zip(pairs, sources, strict=True)
                ],
                "network": self._inputs.network.identity,
                "numerics": NUMERICS_VERSION,
            },
            files={
                f"{role}{k}": picture.path for k, each in enumerate(sources) for role, picture in each.items()
            },
            label=f"beta' of {method}",
        )  # fmt: skip
        return self._add(cell)

    def _add(self, cell: Cell) -> str:
        self.cells.setdefault(cell.id, cell)
        return cell.id

    def _config(self, at: Coordinates, replicate: int, stage: str) -> TransferConfig:
        size, iterations = self._setting(at, stage)
        return config_at(self._grid, at, size, iterations, self.seed(at, replicate))

    def _setting(self, at: Coordinates, stage: str) -> tuple[int, int]:
        """(long edge, iterations)."""
        grid = self._grid
        if stage == "full":
            return at.size, grid.iterations
        return min(at.size, grid.preview_size), min(grid.iterations, grid.preview_iterations)

    def _pictures(self, pair: Pair) -> dict[str, Any]:
        mine = self._inputs.pair(pair)
        names = {"content": mine.content, "style": mine.style}
        return {role: self._inputs.pictures[name] for role, name in names.items() if name}


def _shown(at: Coordinates, inputs: Inputs) -> dict[str, Any]:
    pair = inputs.pair(at.pair)
    return at.as_dict() | {"content": pair.content, "style": pair.style}


def _label(at: Coordinates, inputs: Inputs, replicate: int | None) -> str:
    parts = [at.label("method")]
    if at.weights:
        parts.append(at.label("weights"))
    parts += [at.label("gamma"), inputs.pair(at.pair).label]
    if at.layers.label.startswith("Layer"):
        parts[-2:] = [at.layers.label]
    return ", ".join(parts) + (f", replicate {replicate + 1}" if replicate is not None else "")


def _heading(key: tuple[str, ...], axes: Sequence[str], points: Sequence[Coordinates], inputs: Inputs) -> str:
    """A row's heading: the labels of its axes, the pair being the one that is really used."""
    at = next(at for at in points if tuple(at.label(axis) for axis in axes) == key)
    words = [inputs.pair(at.pair).label if axis == "pair" else at.label(axis) for axis in axes]
    return ", ".join(words)


def _row_pair(row: Sequence[Coordinates], inputs: Inputs) -> Pair | None:
    pairs = {inputs.pair(at.pair) for at in row}
    return pairs.pop() if len(pairs) == 1 else None
