"""What is in a store, laid out as its figure: read once, for the report. Nothing is computed with the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.errors import InputError
from model_zoo.files import file_hash
from neural_style_mmd.images import read_picture
from neural_style_mmd.scoring import Score

from .store import Store
from .verdicts import Observation, Verdict, judge
from .worker import CALIBRATION, METRICS, PICTURE, RECORD


@dataclass(frozen=True)
class Tile:
    """One cell of the figure as it is now.

    at: its coordinates, with "replicate" and "seed". stage: which of cells.STAGES is shown. state: one of store.STATES.
    """

    row: int
    column: int
    at: Mapping[str, Any]
    label: str
    stage: str
    state: str
    cell_id: str
    picture: Path | None = None
    record: Mapping[str, Any] | None = None
    score: Score | None = None
    failure: Mapping[str, Any] | None = None


class Results:
    """A store and its plan.

    stages: of the plan. tiles: of the first replicate, the best picture of each place: the full one where it is done,
    else the preview.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.plan = store.read_plan()
        self.grid: Mapping[str, Any] = self.plan["grid"]
        self.inputs: Mapping[str, Any] = self.plan["inputs"]
        self.stages: Sequence[str] = self.plan["stages"]
        self._by_id: dict[str, tuple] = {}

    @cached_property
    def tiles(self) -> list[Tile]:
        """Of the first replicate, in reading order."""
        chosen = [self._best(place) for place in self.plan["places"] if place["replicate"] == 0]
        return sorted(chosen, key=lambda tile: (tile.row, tile.column))

    @cached_property
    def all_done(self) -> list[Tile]:
        """Every done cell of every stage and replicate."""
        tiles = [self._tile(place, stage) for stage in self.stages for place in self.plan["places"]
                 if stage in place["cells"]]  # fmt: skip
        return [tile for tile in tiles if tile.state == "done"]

    @cached_property
    def failures(self) -> list[Mapping[str, Any]]:
        """What is known of every failed cell of the plan, calibrations among them."""
        states = {cell_id: self.store.state(cell_id) for cell_id in self.plan["cells"]}
        found = [self.store.read_failure(cell_id) for cell_id, state in states.items() if state == "failed"]
        return [failure for failure in found if failure]

    @cached_property
    def calibrations(self) -> list[Mapping[str, Any]]:
        """The done calibrations that the tiles use."""
        wanted = {
            need: tile.stage for tile in self.tiles for need in self.plan["cells"][tile.cell_id]["needs"].values()
        }
        return [
            {"stage": stage, "id": cell_id, **self.store.result(cell_id, CALIBRATION)}
            for cell_id, stage in wanted.items()
            if self.store.is_done(cell_id)
        ]

    @property
    def shown_stage(self) -> str:
        """ "full" as soon as one tile that has a preview, too, is of the full setting."""
        if len(self.stages) == 1:
            return self.stages[0]
        both = {(place["row"], place["column"]) for place in self.plan["places"] if len(place["cells"]) > 1}
        made = (tile for tile in self.tiles if tile.stage == "full" and tile.state == "done")
        return "full" if any((tile.row, tile.column) in both for tile in made) else "preview"

    @cached_property
    def judged_stage(self) -> str:
        """The stage of the verdicts: the full one as soon as all of its cells are done."""
        complete = [stage for stage in self.stages if self._is_complete(stage)]
        return complete[-1] if complete else self.stages[-1]

    @cached_property
    def observations(self) -> list[Observation]:
        """The done cells of the judged stage, in reading order."""
        tiles = [self._tile(place, stage) for place, stage in self._places(self.judged_stage)]
        done = (tile for tile in tiles if tile.state == "done")
        return [Observation(tile.at, tile.score, tile.picture) for tile in done if tile.score and tile.picture]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """On each claim of the grid."""
        expected = len(self.plan["places"])
        prefix = self.inputs["prefix"]
        return [judge(name, self.observations, expected, prefix) for name in self.grid["claims"]]

    def has_original(self, role: str) -> bool:
        """Whether a row has a content or style picture of its own."""
        return any(pair and pair[role] for pair in self.plan["row_pairs"])

    def original(self, role: str, row: int) -> np.ndarray | str:
        """The pixels of a row's content or style picture; in words, why they are not to be had."""
        pair = self.plan["row_pairs"][row]
        if not (pair and pair[role]):
            return ""
        picture = self.inputs["pictures"][pair[role]]
        try:
            same = file_hash(Path(picture["path"])) == picture["sha256"]
            return read_picture(picture["path"]).pixels if same else "changed since"
        except OSError:
            return "not there any more"
        except InputError:
            return "not a picture that can be read"

    @property
    def one_pair(self) -> bool:
        """Whether every row has the same pair."""
        pairs = self.plan["row_pairs"]
        return bool(pairs[0]) and all(pair == pairs[0] for pair in pairs)

    def setting(self, stage: str) -> str:
        """The stage in words."""
        configs = [self.plan["cells"][place["cells"][own]]["content"]["config"] for place, own in self._places(stage)]
        sizes = sorted({config["size"] for config in configs})
        shown = f"{sizes[0]} px" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} px"
        return f"{stage} setting: long edge {shown}, at most {configs[0]['iterations']} iterations"

    def _is_complete(self, stage: str) -> bool:
        return all(self.store.is_done(place["cells"][own]) for place, own in self._places(stage))

    def _places(self, stage: str) -> list[tuple[Mapping[str, Any], str]]:
        """Every place, and the stage of its cell there: of one without a preview, for it is as small, the full one."""
        return [(place, stage if stage in place["cells"] else "full") for place in self.plan["places"]]

    def _best(self, place: Mapping[str, Any]) -> Tile:
        of_stages = [stage for stage in self.stages if stage in place["cells"]]
        done = [stage for stage in of_stages if self.store.is_done(place["cells"][stage])]
        return self._tile(place, done[-1] if done else of_stages[0])

    def _tile(self, place: Mapping[str, Any], stage: str) -> Tile:
        cell_id = place["cells"][stage]
        state = self.store.state(cell_id)
        picture, record, score = self._read(cell_id) if state == "done" else (None, None, None)
        failure = self.store.read_failure(cell_id) if state == "failed" else None
        return Tile(
            place["row"], place["column"], place["coordinates"], place["label"], stage, state, cell_id, picture, record,
            score, failure,
        )  # fmt: skip

    def _read(self, cell_id: str) -> tuple:
        if cell_id not in self._by_id:
            score = Score.from_dict(self.store.result(cell_id, METRICS))
            record = self.store.result(cell_id, RECORD)
            self._by_id[cell_id] = (self.store.cell(cell_id) / PICTURE, record, score)
        return self._by_id[cell_id]
