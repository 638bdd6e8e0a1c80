"""The same cells on a local Dask cluster of processes, a killed worker included. Skipped without Dask."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import InputError
from reproduce import cluster
from reproduce.cells import Cell, Plan, make_plan
from reproduce.display import Display
from reproduce.figures import Grid, parse_grid
from reproduce.inputs import Inputs, Network, find_pictures
from reproduce.runner import run_locally
from reproduce.store import Store

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install '.[distributed]'")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Dask's own warnings are not ours


@pytest.fixture(scope="module")
def small(pictures: tuple[Path, Path], network_file: Path) -> tuple[Grid, Inputs]:
    import model_zoo

    content, style = map(str, pictures)
    grid = parse_grid(
        {"name": "small", "methods": ["bn"], "gammas": [0.5, 2], "pairs": [{"content": content, "style": style}],
         "layer_sets": [["relu1_1", "relu2_1"]], "sizes": [40], "iterations": 3, "preview_size": 40,
         "config": {"content_layer": "relu2_1", "stop_change": 0.0}}
    )  # fmt: skip
    weights = model_zoo.load(str(network_file))
    network = Network(str(network_file), weights.kind, weights.name, weights.sha256)
    return grid, find_pictures(grid, network, None)


def stored(folder: Path, small: tuple[Grid, Inputs], **setting) -> tuple[Store, Plan]:
    store = Store(folder)
    folder.mkdir()
    store.open(small[1].network)
    return store, make_plan(small[0].with_setting(None, setting.get("iterations"), {}), small[1], stages=("full",))


def pixels(store: Store, cell: Cell) -> str:
    return store.result(cell.id, "picture.png.json")["output"]["pixels_sha256"]


def test_a_local_cluster_makes_the_same_pictures_with_the_threads_that_were_asked_for(
    small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    here, plan = stored(tmp_path / "here", small)
    there, _ = stored(tmp_path / "there", small)
    run_locally(here, plan.stage("full"), small[1].network, Display(io.StringIO(), "here", 3), jobs=1, threads=2)
    tally = cluster.run_on_cluster(
        there, plan.stage("full"), small[1].network, Display(io.StringIO(), "there", 3), scheduler="local:2", threads=2
    )
    assert (tally.done, tally.failed) == (3, [])
    for cell in plan.stage("full"):
        if cell.kind == "transfer":
            assert there.result(cell.id, "picture.png.json")["threads"] == 2, "not Dask's default of 1"
            assert pixels(there, cell) == pixels(here, cell)


def test_a_killed_worker_loses_no_cell(small: tuple[Grid, Inputs], tmp_path: Path) -> None:
    store, plan = stored(tmp_path / "store", small, iterations=400)
    killed: list[int] = []

    def kill_the_worker_of_the_first_running_cell() -> None:
        deadline = time.monotonic() + 120
        transfers = [cell for cell in plan.stage("full") if cell.kind == "transfer"]
        while time.monotonic() < deadline:
            for cell in transfers:
                if store.claim_path(cell.id).exists() and (store.running(cell.id) / "start.json").exists():
                    claim = store.claim_path(cell.id).read_text()
                    pid = int(claim.partition('"pid": ')[2].partition(",")[0])
                    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                    os.kill(parent, signal.SIGKILL)
                    killed.append(parent)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_the_worker_of_the_first_running_cell)
    killer.start()
    tally = cluster.run_on_cluster(
        store, plan.stage("full"), small[1].network, Display(io.StringIO(), "x", 3), scheduler="local:1", threads=1
    )
    killer.join()
    assert killed and os.getpid() not in killed
    assert (tally.done, tally.failed) == (3, [])
    for cell in plan.stage("full"):
        assert store.is_done(cell.id)
        if cell.kind == "transfer":
            assert len(store.result(cell.id, "picture.png.json")["trace"]) == 400


class Watching(Display):
    """Keeps what was shown, and calls `act` each time."""

    def __init__(self, act: Callable[[Sequence[Any]], None]) -> None:
        self.stream = io.StringIO()
        super().__init__(self.stream, "small", 7)
        self._act = act
        self.most = 0

    def show(self, done: int, failed: int, running: Sequence[Any], seconds_left: float | None) -> None:
        self.most = max(self.most, len(running))
        self._act(running)
        super().show(done, failed, running, seconds_left)


def test_workers_that_come_later_get_cells_and_what_is_sent_is_called_so(
    small: tuple[Grid, Inputs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reproduce.display.PLAIN_INTERVAL", 0.1)
    store, _ = stored(tmp_path / "store", small)
    plan = make_plan(small[0].with_gammas("1,2,3,4,5,6"), small[1], stages=("full",))
    grown: list[int] = []
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as growing:

        def grow(running: Sequence[Any]) -> None:
            if any(each.cell.kind == "transfer" for each in running) and not grown:
                grown.append(len(running))
                growing.scale(3)

        shown = Watching(grow)
        tally = cluster.run_on_cluster(
            store, plan.stage("full"), small[1].network, shown, scheduler=growing.scheduler_address
        )
    assert (tally.done, tally.failed) == (7, [])
    assert grown and shown.most > 2, "two for the first worker's thread, more for three"
    assert "2 sent, 0 failed" in shown.stream.getvalue() and ": sent\n" in shown.stream.getvalue()
    assert "starting" not in shown.stream.getvalue()


def test_clean_takes_nothing_from_cells_that_wait_on_the_cluster(small: tuple[Grid, Inputs], tmp_path: Path) -> None:
    store, plan = stored(tmp_path / "store", small, iterations=100)
    cleaned: list[list[str]] = []

    def clean(running: Sequence[Any]) -> None:
        transfers = [each.cell.id for each in running if each.cell.kind == "transfer"]
        if len(transfers) == 2 and not cleaned and any(store.state(cell_id) == "running" for cell_id in transfers):
            cleaned.append(store.clean(set(plan.cells)))

    tally = cluster.run_on_cluster(store, plan.stage("full"), small[1].network, Watching(clean), scheduler="local:1")
    assert cleaned and (tally.done, tally.failed) == (3, [])


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("local:0", "local:N"),
        ("slurm", "local:N"),
        ("tcp://127.0.0.1:9", "no Dask scheduler"),
        ("tcp://host", "scheduler 'tcp://host'.*give tcp://HOST:PORT"),
        ("tcp://host:port", "give tcp://HOST:PORT"),
        ("tls://127.0.0.1:9", "give tcp://HOST:PORT"),
    ],
)
def test_a_scheduler_that_is_none_is_one_line(scheduler: str, words: str, tmp_path: Path) -> None:
    network = Network("surrogate", "surrogate", "surrogate", "a" * 64)
    with pytest.raises(InputError, match=words) as caught:
        cluster.run_on_cluster(Store(tmp_path), [], network, Display(io.StringIO(), "x", 0), scheduler=scheduler)
    assert "\n" not in str(caught.value)
