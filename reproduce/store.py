"""A folder of results. What a cell left is either there whole, with hashes that verify, or does not count.

store.json          the network that this store is pinned to
plan.json           the last grid that was asked for, for `status` and `report`
cells/ID/           a done cell: its files, and DONE.json with their hashes
running/ID/         a cell that was begun: spec.json, start.json, log.txt, a checkpoint or a calibration's pairs so far
failed/ID/          a cell whose last try failed: failure.json, log.txt
claims/ID.json      who works on it now
targets/            what several cells need of their pictures, measured by the first, until all cells are done
damaged/            done cells whose hashes did not verify any more
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_zoo.errors import InputError
from model_zoo.files import file_hash, locked, make_folder, require_writable, write_json

from . import locks
from .cells import Cell
from .inputs import Network

SCHEMA = 1
DONE = "DONE.json"
STATES = ("done", "running", "failed", "pending")
LOG_LINES = 40  # of a failed cell's log, kept in the report


class Store:
    """The results in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._verified: set[str] = set()

    # Where things are

    def cell(self, cell_id: str) -> Path:
        """The folder of a done cell."""
        return self.folder / "cells" / cell_id

    def running(self, cell_id: str) -> Path:
        """The folder of a cell that was begun."""
        return self.folder / "running" / cell_id

    def claim_path(self, cell_id: str) -> Path:
        """The claim's file."""
        return self.folder / "claims" / f"{cell_id}.json"

    @property
    def targets(self) -> Path:
        """The folder of what cells share."""
        return self.folder / "targets"

    def failed(self, cell_id: str) -> Path:
        """The folder of a failure."""
        return self.folder / "failed" / cell_id

    # The store as a whole

    def open(self, network: Network) -> None:
        """Create the folders, and pin the store to `network`; InputError where it is pinned to another."""
        for name in ("cells", "running", "claims", "failed"):
            make_folder(self.folder / name)
        require_writable(self.folder / "store.json")
        with locked(self.folder / ".pinning"):
            pinned = _read_json(self.folder / "store.json")
            if pinned is None:
                network_of_store = {"kind": network.kind, "name": network.name, "sha256": network.sha256}
                write_json(self.folder / "store.json", {"schema": SCHEMA, "network": network_of_store})
                return
        theirs = pinned.get("network", {})
        if theirs.get("sha256") != network.sha256:
            raise InputError(
                f"{self.folder} holds results of the network {theirs.get('kind')} {theirs.get('name')} (sha256 "
                f"{str(theirs.get('sha256'))[:12]}), not of {network.kind} {network.name} ({network.sha256[:12]}); "
                "choose another --out, or the old weights"
            )

    def exists(self) -> bool:
        """Whether the folder is a store."""
        return (self.folder / "store.json").is_file()

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Remember what was asked for."""
        write_json(self.folder / "plan.json", plan)

    def read_plan(self) -> dict[str, Any]:
        """The last plan; InputError where there is none."""
        plan = _read_json(self.folder / "plan.json")
        if plan is None:
            raise InputError(f"{self.folder} holds no figure: there is no plan.json; run a figure into it first")
        return plan

    # A cell

    def is_done(self, cell_id: str) -> bool:
        """Whether the cell's folder is there and every file has its hash. Looked at once per Store."""
        if cell_id not in self._verified and self._verifies(cell_id):
            self._verified.add(cell_id)
        return cell_id in self._verified

    def state(self, cell_id: str) -> str:
        """One of STATES."""
        if self.is_done(cell_id):
            return "done"
        if locks.is_claimed(self.claim_path(cell_id)):
            return "running"
        return "failed" if (self.failed(cell_id) / "failure.json").is_file() else "pending"

    def result(self, cell_id: str, name: str) -> Any:
        """A JSON file of a done cell."""
        if not self.is_done(cell_id):
            raise InputError(f"the cell {cell_id[:12]} in {self.folder} is not done")
        return json.loads((self.cell(cell_id) / name).read_text(encoding="utf-8"))

    def publish(self, cell: Cell, result: Path) -> None:
        """Make the folder `result`, with all its files, the done cell: hashes first, then one rename.

        Another process that was faster keeps its result; a damaged one is moved aside.
        """
        names = sorted(path.name for path in result.iterdir() if path.name != DONE)
        hashes = {name: file_hash(result / name) for name in names}
        write_json(result / DONE, {"schema": SCHEMA, "id": cell.id, "label": cell.label, "files": hashes})
        _sync(result)
        target = self.cell(cell.id)
        if target.exists() and not self._verifies(cell.id):
            self._set_aside(target)
        try:
            os.rename(result, target)
        except OSError as error:
            if not self._verifies(cell.id):
                raise InputError(f"cannot write {target}: {error.strerror}") from error
        _sync(target.parent)
        for leftover in (self.running(cell.id), self.failed(cell.id)):
            shutil.rmtree(leftover, ignore_errors=True)

    def record_failure(self, cell_id: str, failure: Mapping[str, Any], log: Path) -> None:
        """Remember that a try failed, with the end of its log."""
        folder = make_folder(self.failed(cell_id))
        try:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = []
        write_json(folder / "failure.json", {**failure, "log": lines})

    def read_failure(self, cell_id: str) -> dict[str, Any] | None:
        """What record_failure wrote."""
        return _read_json(self.failed(cell_id) / "failure.json")

    def remove_targets(self) -> None:
        """Remove what cells share; one that needs it nevertheless measures it anew."""
        shutil.rmtree(self.targets, ignore_errors=True)

    def clean(self, keep: set[str]) -> list[str]:
        """Remove what is neither a done cell of `keep` nor being worked on; returns the names of what went."""
        gone = []
        for kind in ("running", "failed", "claims", "damaged", "targets", "cells"):
            for path in sorted((self.folder / kind).glob("*")):
                cell_id = path.name.removesuffix(".json")
                if path.name.startswith("."):
                    continue
                if locks.is_claimed(self.claim_path(cell_id)) or (kind == "cells" and cell_id in keep):
                    continue
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                gone.append(f"{kind}/{path.name}")
        return gone

    def _verifies(self, cell_id: str) -> bool:
        folder = self.cell(cell_id)
        done = _read_json(folder / DONE)
        if done is None or done.get("id") != cell_id or not done.get("files"):
            return False
        try:
            return all(file_hash(folder / name) == digest for name, digest in done["files"].items())
        except OSError:
            return False

    def _set_aside(self, path: Path) -> None:
        folder = make_folder(self.folder / "damaged")
        number = len(list(folder.glob(f"{path.name}*")))
        os.rename(path, folder / f"{path.name}.{number}")


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _sync(folder: Path) -> None:
    """fsync of every file of a folder and of the folder itself."""
    for path in [*folder.iterdir(), folder]:
        if path.is_file() or path == folder:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
