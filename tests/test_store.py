"""What counts as done, who may work on a cell, and what happens to the dead: with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_zoo.errors import InputError
from reproduce import locks
from reproduce.cells import Cell
from reproduce.inputs import Network
from reproduce.store import Store

NETWORK = Network("surrogate", "surrogate", "surrogate", "b" * 64, "recipe 1, seed 0")
CELL = Cell("transfer", {"config": {}, "inputs": {}}, {})

HOLD = """
import sys, time
from pathlib import Path
from reproduce import locks
held = locks.claim(Path(sys.argv[1]))
print(held is not None, flush=True)
time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "figure")
    made.folder.mkdir()
    made.open(NETWORK)
    return made


def publish(store: Store, cell: Cell = CELL, text: str = "result") -> Path:
    result = store.running(cell.id) / "result"
    result.mkdir(parents=True)
    (result / "picture.png").write_text(text)
    store.publish(cell, result)
    return store.cell(cell.id)


@pytest.fixture
def holder(store: Store) -> Iterator[subprocess.Popen]:
    """Another process that holds the claim on CELL."""
    path = store.claim_path(CELL.id)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_a_published_cell_is_done_and_leaves_nothing_else(store: Store) -> None:
    assert store.state(CELL.id) == "pending"
    store.record_failure(CELL.id, {"reason": "before"}, store.folder / "no.log")
    assert store.state(CELL.id) == "failed"
    folder = publish(store)
    assert store.state(CELL.id) == "done"
    assert {path.name for path in folder.iterdir()} == {"picture.png", "DONE.json"}
    assert not store.running(CELL.id).exists() and not store.failed(CELL.id).exists()


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "no hashes", "another cell"])
def test_done_means_that_the_hashes_verify(store: Store, damage: str) -> None:
    folder = publish(store)
    picture, done = folder / "picture.png", folder / "DONE.json"
    if damage == "flip":
        picture.write_text("Result")
    elif damage == "truncate":
        picture.write_text("resul")
    elif damage == "remove":
        picture.unlink()
    elif damage == "no hashes":
        done.write_text("{}")
    else:
        done.write_text(json.dumps(json.loads(done.read_text()) | {"id": "0" * 64}))
    assert not Store(store.folder).is_done(CELL.id)


def test_a_damaged_cell_is_set_aside_and_made_anew(store: Store) -> None:
    (publish(store) / "picture.png").write_text("damaged")
    again = Store(store.folder)
    publish(again, text="whole")
    assert again.is_done(CELL.id)
    assert [path.read_text() for path in store.folder.glob("damaged/*/picture.png")] == ["damaged"]


def test_the_faster_of_two_keeps_its_result(store: Store) -> None:
    publish(store, text="first")
    publish(store, text="second")
    assert (store.cell(CELL.id) / "picture.png").read_text() == "first"


def test_a_store_is_pinned_to_the_network_that_it_began_with(store: Store) -> None:
    Store(store.folder).open(NETWORK)
    with pytest.raises(InputError, match="holds results of the network surrogate"):
        Store(store.folder).open(Network("surrogate", "surrogate", "surrogate", "c" * 64, "recipe 1, seed 0"))


def test_one_process_holds_a_claim_and_gives_it_back(store: Store, holder: subprocess.Popen) -> None:
    path = store.claim_path(CELL.id)
    assert locks.claim(path) is None
    assert locks.is_claimed(path)
    assert store.state(CELL.id) == "running"


def test_the_claim_of_a_killed_process_is_taken_over_at_once(store: Store, holder: subprocess.Popen) -> None:
    path = store.claim_path(CELL.id)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not locks.is_claimed(path)
    mine = locks.claim(path)
    assert mine is not None and mine.is_mine()
    mine.release()
    assert not path.exists()


def test_a_paused_process_keeps_its_claim_on_its_own_machine(store: Store, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGSTOP)
    assert locks.claim(store.claim_path(CELL.id)) is None


@pytest.mark.parametrize(("seconds", "dead"), [(10, False), (locks.DEAD_AFTER + 10, True)])
def test_the_claim_of_another_machine_dies_when_it_is_not_touched(store: Store, seconds: float, dead: bool) -> None:
    path = store.claim_path(CELL.id)
    path.write_text(json.dumps({"token": "x", "host": "elsewhere", "boot": "y", "pid": 1, "started": "1"}))
    os.utime(path, (time.time() - seconds,) * 2)
    assert locks.is_claimed(path) is not dead
    claim = locks.claim(path)
    assert (claim is not None) is dead
    if claim:
        claim.release()


def test_a_claim_from_before_a_reboot_is_dead(store: Store) -> None:
    path = store.claim_path(CELL.id)
    held = locks.claim(path)
    assert held is not None
    held.release()
    path.write_text(json.dumps(locks._this_process() | {"token": "x", "boot": "another boot"}))
    assert not locks.is_claimed(path)


def test_whoever_lost_a_claim_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.02)
    told: list[bool] = []
    path = store.claim_path(CELL.id)
    held = locks.claim(path, on_loss=lambda: told.append(True))
    assert held is not None
    path.write_text(json.dumps({"token": "somebody else's"}))
    deadline = time.monotonic() + 10
    while not told and time.monotonic() < deadline:
        time.sleep(0.02)
    held.release()
    assert told == [True]
    assert path.exists(), "the other's claim must stay"


def test_a_claim_that_cannot_be_read_for_a_while_is_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "BEAT", 0.02)
    told: list[bool] = []
    path = store.claim_path(CELL.id)
    held = locks.claim(path, on_loss=lambda: told.append(True))
    assert held is not None
    saved, loop = path.with_name("saved"), path.with_name("loop")
    os.link(path, saved)
    loop.symlink_to(path.name)
    os.replace(loop, path)  # which now names itself: "too many levels of symbolic links"
    time.sleep(0.3)
    os.replace(saved, path)
    before = path.stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (told, held.is_mine(), path.stat().st_mtime_ns > before) == ([], True, True)
    held.release()
    assert not path.exists()


def test_clean_removes_what_is_neither_kept_nor_worked_on(store: Store, holder: subprocess.Popen) -> None:
    other = Cell("transfer", {"config": {"seed": 1}, "inputs": {}}, {})
    third = Cell("transfer", {"config": {"seed": 2}, "inputs": {}}, {})
    publish(store, other)
    publish(store, third)
    store.running(CELL.id).mkdir()
    store.record_failure("f" * 64, {"reason": "x"}, store.folder / "no.log")
    store.targets.mkdir()
    (store.targets / "of-a-pair.npz").write_bytes(b"")
    gone = store.clean(keep={other.id})
    assert gone == [f"failed/{'f' * 64}", "targets/of-a-pair.npz", f"cells/{third.id}"]
    assert store.is_done(other.id) and store.running(CELL.id).exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="cannot create the folder") as caught:
        Store(blocked / "figure").open(NETWORK)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_figure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no figure"):
        Store(tmp_path).read_plan()
