"""A small grid done by real processes: counted, killed, crashed, hung, shared, resumed."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from model_zoo.errors import InputError
from model_zoo.files import file_hash
from model_zoo.weights import Weights
from reproduce import runner, supervisor
from reproduce.cells import Cell, Plan, make_plan
from reproduce.cluster import threads_of
from reproduce.display import Display
from reproduce.figures import Grid, parse_grid
from reproduce.inputs import Inputs, Network, find_pictures
from reproduce.memory import free_memory
from reproduce.pipeline import shard_of
from reproduce.runner import dearest_first, divide_cores, run_locally
from reproduce.store import Store
from reproduce.supervisor import CellProcess, write_spec

EVERY_ITERATION = {"checkpoint_every": 0.0}


@pytest.fixture(scope="module")
def small(pictures: tuple[Path, Path], network_file: Path) -> tuple[Grid, Inputs]:
    """Two cells that share one calibration."""
    import model_zoo

    content, style = map(str, pictures)
    grid = parse_grid(
        {"name": "small", "methods": ["bn"], "gammas": [0.5, 2], "pairs": [{"content": content, "style": style}],
         "layer_sets": [["relu1_1", "relu2_1"]], "sizes": [40], "iterations": 3, "preview_size": 40,
         "config": {"content_layer": "relu2_1", "stop_change": 0.0}}
    )  # fmt: skip
    weights: Weights = model_zoo.load(str(network_file))
    network = Network(str(network_file), weights.kind, weights.name, weights.sha256)
    return grid, find_pictures(grid, network, None)


@pytest.fixture(scope="module")
def calibrated(small: tuple[Grid, Inputs], tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Plan]:
    """A store in which the calibration is done."""
    grid, inputs = small
    plan = make_plan(grid, inputs, stages=("full",))
    store = Store(tmp_path_factory.mktemp("calibrated"))
    store.open(inputs.network)
    first = [cell for cell in plan.stage("full") if cell.kind == "calibration"]
    assert do(store, first, inputs.network).done == 1
    return store, plan


@pytest.fixture
def store(calibrated: tuple[Store, Plan], tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(calibrated[0].folder, tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def cells(calibrated: tuple[Store, Plan]) -> list[Cell]:
    return [cell for cell in calibrated[1].stage("full") if cell.kind == "transfer"]


def do(store: Store, cells: list[Cell], network: Network, **choices):
    return run_locally(
        store, cells, network, Display(io.StringIO(), "small", len(cells)), **({"jobs": 1, "threads": 1} | choices)
    )


def script(tmp_path: Path, text: str) -> list[str]:
    """A command that stands for a cell's process."""
    path = tmp_path / "stand_in.py"
    path.write_text(text)
    return [sys.executable, "-X", "faulthandler", str(path)]


def pixels(store: Store, cell: Cell) -> str:
    return store.result(cell.id, "picture.png.json")["output"]["pixels_sha256"]


def test_a_grid_is_done_once_and_only_what_changed_again(
    small: tuple[Grid, Inputs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, inputs = small
    started: list[str] = []

    class Counted(CellProcess):
        def __init__(self, store: Store, cell: Cell, *args, **choices) -> None:
            started.append(cell.kind)
            super().__init__(store, cell, *args, **choices)

    monkeypatch.setattr(runner, "CellProcess", Counted)
    store = Store(tmp_path)
    store.open(inputs.network)
    plan = make_plan(grid, inputs, stages=("full",))
    tally = do(store, plan.stage("full"), inputs.network, jobs=2)
    assert (tally.done, tally.failed, started) == (3, [], ["calibration", "transfer", "transfer"])
    for cell in plan.stage("full"):
        folder = store.cell(cell.id)
        hashes = json.loads((folder / "DONE.json").read_text())["files"]
        names = {"calibration.json"} if cell.kind == "calibration" else {
            "picture.png", "picture.png.json", "metrics.json"
        }  # fmt: skip
        assert set(hashes) == names
        assert all(file_hash(folder / name) == digest for name, digest in hashes.items())

    assert do(Store(tmp_path), plan.stage("full"), inputs.network).done == 3
    assert len(started) == 3, "a second run starts nothing"

    shared = {path.name for path in store.targets.iterdir()}
    other = make_plan(grid.with_gammas("2,9"), inputs, stages=("full",))
    do(Store(tmp_path), other.stage("full"), inputs.network)
    assert started[3:] == ["transfer"], "gamma 9 is new; gamma 2 and the calibration are done"
    assert shared and {path.name for path in store.targets.iterdir()} == shared, "it measures no targets of its own"


def test_the_calibrated_beta_reaches_the_cell_and_its_record_is_rerunnable(
    store: Store, cells: list[Cell], small: tuple[Grid, Inputs]
) -> None:
    do(store, cells[:1], small[1].network)
    record = store.result(cells[0].id, "picture.png.json")
    calibration = store.result(next(iter(cells[0].needs.values())), "calibration.json")
    assert record["config"]["beta_prime"] == [calibration["beta_prime"]]
    assert record["balance"]["beta_prime"]["bn"] == calibration["beta_prime"]
    assert len(record["trace"]) == 3 and record["threads"] == 1
    picture = store.cell(cells[0].id) / "picture.png.json"
    again = subprocess.run(
        [sys.executable, "-m", "neural_style_mmd", "rerun", str(picture), "--quiet"], capture_output=True, text=True
    )
    assert (again.returncode, again.stdout) == (0, "the pixels match\n"), again.stderr


def test_a_cell_starts_from_the_picture_that_the_grid_names(
    small: tuple[Grid, Inputs], pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    grid, inputs = small
    start = tmp_path / "start.png"
    start.write_bytes(pictures[1].read_bytes())
    own = grid.with_gammas("2").with_setting(None, None, {"init": str(start)})
    plan = make_plan(own, find_pictures(own, inputs.network, None), stages=("full",))
    store = Store(tmp_path / "store")
    store.open(inputs.network)
    assert do(store, plan.stage("full"), inputs.network).failed == []
    cell = next(cell for cell in plan.stage("full") if cell.kind == "transfer")
    record = store.result(cell.id, "picture.png.json")
    assert (record["config"]["init"], record["inputs"]["init"]["path"]) == (str(start), str(start))
    start.write_bytes(pictures[0].read_bytes())
    other = Cell(**{**cell.__dict__, "content": {**cell.content, "numerics": 0}})
    assert "has changed since" in do(store, [other], inputs.network).failed[0].reason


def test_kill_9_resumes_from_the_checkpoint_to_the_same_bits(
    store: Store, small: tuple[Grid, Inputs], calibrated: tuple[Store, Plan], tmp_path: Path
) -> None:
    grid, inputs = small
    longer = make_plan(grid.with_setting(None, 40, {}), inputs, stages=("full",))
    cell = next(cell for cell in longer.stage("full") if cell.kind == "transfer")
    whole = Store(shutil.copytree(store.folder, tmp_path / "whole"))
    do(whole, [cell], inputs.network)

    write_spec(store, cell, inputs.network, EVERY_ITERATION)
    process = CellProcess(store, cell, 1)
    checkpoints = store.running(cell.id)
    deadline = time.monotonic() + 60
    while not list(checkpoints.glob("checkpoint-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    assert list(checkpoints.glob("checkpoint-*.npz")), "it was not killed in its middle"
    assert not store.is_done(cell.id)
    ended = process.ended()
    assert ended is not None and (ended.outcome, ended.reason) == ("failed", "killed by SIGKILL")

    do(store, [cell], inputs.network, threads=2)
    assert pixels(store, cell) == pixels(whole, cell)
    record = store.result(cell.id, "picture.png.json")
    assert record["threads"] == 1, "the threads of the first start are kept, whatever the second run offers"
    assert len(record["trace"]) == 40
    assert store.read_failure(cell.id) is None


def test_a_crash_a_hang_and_a_silent_end_are_recorded_and_stop_nobody(
    store: Store, cells: list[Cell], small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    crash = "import ctypes, sys\nprint('about to crash', file=sys.stderr, flush=True)\nctypes.string_at(0)\n"
    for text, words in (
        (crash, "SIGSEGV"),
        ("import time\ntime.sleep(60)\n", "hung: no sign of life for 0.5 s"),
        ("import sys\nprint('bad luck', file=sys.stderr)\nsys.exit(3)\n", "bad luck"),
        ("pass\n", "it ended without a result"),
    ):
        tally = do(store, cells, small[1].network, command=script(tmp_path, text), timeout=0.5)
        assert (tally.done, len(tally.failed)) == (0, 2)
        assert words in tally.failed[0].reason
        failure = store.read_failure(cells[0].id)
        assert failure is not None and words in failure["reason"]
        assert store.state(cells[0].id) == "failed"
    assert "about to crash" in "\n".join(store.read_failure(cells[0].id)["log"])  # type: ignore[index]
    tally = do(store, cells, small[1].network)
    assert (tally.done, tally.failed) == (2, []), "the next run tries them again"


def test_a_diverging_cell_fails_and_says_so(store: Store, small: tuple[Grid, Inputs]) -> None:
    grid, inputs = small
    wild = make_plan(grid.with_setting(None, 60, {"learning_rate": 1e30, "clip": 0.0}), inputs, stages=("full",))
    cell = next(cell for cell in wild.stage("full") if cell.kind == "transfer")
    tally = do(store, [cell], inputs.network)
    assert tally.done == 0
    assert "diverged" in tally.failed[0].reason
    assert not store.is_done(cell.id)


def test_a_vanished_or_changed_picture_is_one_line(
    store: Store, cells: list[Cell], small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    gone = Cell(**{**cells[0].__dict__, "files": {**cells[0].files, "style": str(tmp_path / "gone.png")}})
    other = Cell(**{**cells[1].__dict__, "files": {**cells[1].files, "style": cells[1].files["content"]}})
    tally = do(store, [gone, other], small[1].network)
    assert "is not there any more" in tally.failed[0].reason and "has changed" in tally.failed[1].reason


def test_another_network_than_the_stores_is_refused(
    store: Store, cells: list[Cell], small: tuple[Grid, Inputs]
) -> None:
    other = Network(**{**small[1].network.__dict__, "sha256": "0" * 64})
    tally = do(store, cells[:1], other)
    assert "this store is pinned to 000000000000" in tally.failed[0].reason


def test_two_runners_on_one_folder_share_the_work(store: Store, small: tuple[Grid, Inputs], tmp_path: Path) -> None:
    grid, inputs = small
    plan = make_plan(grid.with_gammas("0.5,1,2,4"), inputs, stages=("full",))
    outputs = [io.StringIO(), io.StringIO()]

    def work(stream: io.StringIO) -> None:
        shown = Display(stream, "small", 5)
        run_locally(Store(store.folder), plan.stage("full"), inputs.network, shown, jobs=1, threads=1)

    threads = [threading.Thread(target=work, args=(stream,)) for stream in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    did = [stream.getvalue().count("\ndone    ") for stream in outputs]
    assert sum(did) == 4 and min(did) >= 1, did
    assert all(store.is_done(cell.id) for cell in plan.stage("full"))


def test_an_interrupted_run_leaves_checkpoints_and_goes_on(
    store: Store, small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    grid, inputs = small
    longer = make_plan(grid.with_setting(None, 100_000, {}), inputs, stages=("full",))
    cell = next(cell for cell in longer.stage("full") if cell.kind == "transfer")
    write_spec(store, cell, inputs.network)
    process = CellProcess(store, cell, 1)
    deadline = time.monotonic() + 60
    while not process.progress and time.monotonic() < deadline:
        time.sleep(0.02)
    supervisor.stop_all([process])
    ended = process.ended()
    assert ended is not None and ended.outcome == "stopped"
    assert list(store.running(cell.id).glob("checkpoint-*.npz"))
    assert store.state(cell.id) == "pending"


def test_a_calibration_goes_on_after_the_pairs_that_it_has_measured(
    small: tuple[Grid, Inputs], pictures: tuple[Path, Path], tmp_path: Path
) -> None:
    def calibration(*pairs: tuple[Path, Path]) -> Cell:
        grid = parse_grid(
            {"methods": ["bn"], "pairs": [{"content": str(content), "style": str(style)} for content, style in pairs],
             "rows": ["pair"], "layer_sets": [["relu1_1"]], "sizes": [40], "config": {"content_layer": "relu2_1"}}
        )  # fmt: skip
        plan = make_plan(grid, find_pictures(grid, small[1].network, None), stages=("full",))
        return next(cell for cell in plan.stage("full") if cell.kind == "calibration")

    store = Store(tmp_path / "store")
    store.open(small[1].network)
    text = tmp_path / "text.png"
    text.write_text("no picture")
    begun = calibration(pictures, (text, pictures[1]))
    assert do(store, [begun], small[1].network, threads=2).done == 0, "its second pair cannot be read"
    (kept,) = store.running(begun.id).glob("pairs-*.json")
    first = json.loads(kept.read_text())
    assert [each["files"] for each in first["pairs"]] == [["content.png", "style.png"]]

    whole = calibration(pictures, pictures[::-1])
    first["pairs"][0]["beta_prime"]["bn"] = 2.0  # by which it is known again
    folder = store.running(whole.id)
    folder.mkdir()
    (folder / kept.name).write_text(json.dumps(first))
    (folder / "start.json").write_text((store.running(begun.id) / "start.json").read_text())
    assert do(store, [whole], small[1].network, threads=1).done == 1
    result = store.result(whole.id, "calibration.json")
    betas = [each["beta_prime"]["bn"] for each in result["pairs"]]
    assert (len(betas), betas[0], result["threads"]) == (2, 2.0, 2)
    assert result["beta_prime"] == pytest.approx((betas[0] * betas[1]) ** 0.5)


def test_a_calibration_which_tells_after_each_pair_alone_has_more_time_than_an_iteration(
    calibrated: tuple[Store, Plan], small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    cell = next(cell for cell in calibrated[1].stage("full") if cell.kind == "calibration")
    store = Store(tmp_path / "store")
    store.open(small[1].network)
    for seconds, words in ((1.0, "it ended without a result"), (60.0, "hung: no sign of life for 2.4 s; killed")):
        command = script(tmp_path, f"import time\ntime.sleep({seconds})\n")
        assert do(store, [cell], small[1].network, command=command, timeout=0.3).failed[0].reason == words


def test_a_cell_that_is_stopped_while_it_still_imports_has_not_failed(
    store: Store, cells: list[Cell], small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    write_spec(store, cells[0], small[1].network)
    process = CellProcess(store, cells[0], 1, command=script(tmp_path, "import time\ntime.sleep(60)\n"))
    supervisor.stop_all([process])
    ended = process.ended()
    assert ended is not None and (ended.outcome, ended.reason) == ("stopped", "")
    assert store.state(cells[0].id) == "pending"

    killed = CellProcess(store, cells[0], 1, command=script(tmp_path, "import os\nos.kill(os.getpid(), 15)\n"))
    ended = supervisor.run_to_end(killed)
    assert (ended.outcome, ended.reason) == ("failed", "killed by SIGTERM"), "nobody here told it to"


def test_a_cell_whose_parent_was_killed_stops_with_a_checkpoint(
    store: Store, small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    grid, inputs = small
    longer = make_plan(grid.with_setting(None, 100_000, {}), inputs, stages=("full",))
    cell = next(cell for cell in longer.stage("full") if cell.kind == "transfer")
    spec = write_spec(store, cell, inputs.network)
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'reproduce', "
         f"'_cell', {str(spec)!r}], stdout=subprocess.PIPE, text=True); print(p.pid, flush=True); "
         "[print(p.stdout.readline(), flush=True) for _ in range(9)]; p.wait()"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while "iteration" not in parent.stdout.readline():
        pass
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
    assert list(store.running(cell.id).glob("checkpoint-*.npz"))
    assert store.state(cell.id) == "pending"


def test_a_cell_goes_on_only_when_its_calibration_is_done(small: tuple[Grid, Inputs], tmp_path: Path) -> None:
    grid, inputs = small
    store = Store(tmp_path / "store")
    store.open(inputs.network)
    plan = make_plan(grid, inputs, stages=("full",))
    tally = do(store, plan.stage("full"), inputs.network, command=script(tmp_path, "import sys\nsys.exit(1)\n"))
    reasons = sorted(ended.reason for ended in tally.failed)
    assert len(reasons) == 3
    assert reasons[1:] == ["the calibration that it needs failed"] * 2


@pytest.mark.parametrize(
    ("jobs", "cells", "cores", "expected"),
    [(None, 20, 8, (8, 1)), (None, 3, 8, (3, 2)), (2, 20, 8, (2, 4)), (4, 20, 2, (4, 1))],
)
def test_the_cores_are_divided_among_the_cells(
    jobs: int | None, cells: int, cores: int, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reproduce.runner.free_memory", lambda: 1 << 62)
    work = [Cell("transfer", {"config": {"size": 64, "iterations": 1}}, {})] * cells
    assert divide_cores(jobs, work, cores) == expected


@pytest.mark.parametrize(
    ("own", "on_host", "usable", "cores", "expected"),
    [
        (1, 1, 8, 8, 8),
        (1, 4, 8, 8, 2),  # four workers that share a machine
        (1, 8, 4, 32, 4),  # eight jobs of four cores each on one node
        (2, 16, 4, 32, 2),
        (8, 8, 4, 4, 1),
    ],
)
def test_the_cores_of_a_dask_worker_are_divided_among_those_who_share_them(
    own: int, on_host: int, usable: int, cores: int, expected: int
) -> None:
    assert threads_of(own, on_host, usable, cores) == expected


def test_cells_are_as_many_as_the_memory_holds_that_is_free_or_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine of 16 GB of which files fill 15; the same in a job of at most 4 GB, of either version of cgroups."""

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/meminfo", "MemTotal: 16000000 kB\nMemFree: 300000 kB\nMemAvailable: 15000000 kB\n")
    assert free_memory(tmp_path) == 15_000_000 * 1024
    write("proc/self/cgroup", "0::/job/step\n")
    write("sys/fs/cgroup/job/step/memory.max", "max\n")
    write("sys/fs/cgroup/job/step/memory.current", "1000\n")
    assert free_memory(tmp_path) == 15_000_000 * 1024
    write("sys/fs/cgroup/job/memory.max", "4000000000\n")
    write("sys/fs/cgroup/job/memory.current", "3000000000\n")
    write("sys/fs/cgroup/job/memory.stat", "anon 700000000\ninactive_file 2000000000\nactive_file 200000000\n")
    assert free_memory(tmp_path) == 3_200_000_000
    write("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/slurm\n")
    write("sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "2000000000\n")
    write("sys/fs/cgroup/memory/slurm/memory.usage_in_bytes", "500000000\n")
    assert free_memory(tmp_path) == 1_500_000_000

    work = [Cell("transfer", {"config": {"size": 512, "iterations": 1}}, {})] * 20
    monkeypatch.setattr(runner, "free_memory", lambda: 15 << 30)
    assert divide_cores(None, work, 8) == (8, 1)
    monkeypatch.setattr(runner, "free_memory", lambda: 3 << 30)
    assert divide_cores(None, work, 8) == (2, 4)


def test_the_free_memory_of_this_machine_is_between_nothing_and_all() -> None:
    assert 0 < free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_calibrations_and_dear_cells_are_done_first() -> None:
    def cell(kind: str, size: int, *methods: str, layers: int = 5, label: str = "") -> Cell:
        content = {"config": {"size": size, "layers": ["relu1_1"] * layers, "method": methods}}
        if kind == "calibration":
            content = {"method": methods[0], "config": {"size": size, "layers": ["relu1_1"] * layers}}
        return Cell(kind, content, {}, label=label)

    wanted = [
        cell("calibration", 64, "gaussian"),
        cell("calibration", 64, "bn"),
        cell("transfer", 128, "bn", layers=1),
        cell("transfer", 64, "gaussian"),
        cell("transfer", 64, "bn", "linear"),
        cell("transfer", 64, "bn", label="first"),
        cell("transfer", 64, "linear", label="second"),
        cell("transfer", 64, "gaussian", layers=2),
    ]
    shuffled = [wanted[k] for k in (5, 6, 2, 7, 0, 3, 1, 4)]
    assert dearest_first(shuffled) == wanted


def test_the_time_is_estimated_from_the_first_cells_own_pace(small, store: Store, tmp_path: Path, cells) -> None:
    text = 'import time\nprint(\'{"pace": {"start": 60, "iteration": 20}}\', flush=True)\ntime.sleep(0.3)\n'
    shown = io.StringIO()
    display = Display(shown, "small", len(cells))
    run_locally(store, cells, small[1].network, display, jobs=1, threads=1, command=script(tmp_path, text))
    # Two cells of a start and three iterations. Said once; the silent ends of the stand-ins are failures.
    assert shown.getvalue().count("at most about 4:00, from a measured iteration of 20.00 s") == 1


def test_shards_share_the_pictures_and_each_has_the_calibrations_it_needs(small: tuple[Grid, Inputs]) -> None:
    grid, inputs = small
    plan = make_plan(grid.with_gammas("1,2,3,4,5"), inputs, stages=("full",))
    stage = plan.stage("full")
    shares = [shard_of(stage, (i, 3)) for i in (1, 2, 3)]
    pictures = [cell.id for share in shares for cell in share if cell.kind == "transfer"]
    assert sorted(pictures) == sorted(cell.id for cell in stage if cell.kind == "transfer")
    assert all(share[0].kind == "calibration" for share in shares)


def test_the_display_is_a_block_on_a_terminal_and_lines_elsewhere(cells: list[Cell]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class Shown:
        def __init__(self) -> None:
            self.cell, self.progress = cells[0], {"iteration": 34, "iterations": 100, "total": 1234.5}

    live, plain = Terminal(), io.StringIO()
    for stream in (live, plain):
        display = Display(stream, "figure2 preview", 20)
        display.started(cells[0])
        display.show(5, 1, [Shown()], 250.0)
        display.close()
    first, second = live.getvalue().split("\x1b")[0].splitlines()
    assert first == "figure2 preview: 5 of 20 cells done, 1 running, 1 failed, about 4:10 left"
    assert second.strip() == f"{cells[0].label}: iteration 34/100, loss 1234"[:79].strip()
    assert live.getvalue().endswith("\x1b[2A\x1b[J"), "the block is taken away"
    assert plain.getvalue() == f"start   {cells[0].label}\n"


def test_a_full_disk_is_one_line_and_damages_nothing(
    store: Store, cells: list[Cell], small: tuple[Grid, Inputs], tmp_path: Path
) -> None:
    full = "import resource, sys\nfrom pathlib import Path\nfrom reproduce.worker import run_cell\n"
    full += "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\nsys.exit(run_cell(Path(sys.argv[1])))\n"
    tally = do(store, cells[:1], small[1].network, command=script(tmp_path, full))
    assert tally.done == 0
    assert "cannot write" in tally.failed[0].reason and "\n" not in tally.failed[0].reason
    assert not store.cell(cells[0].id).exists()
    assert do(store, cells[:1], small[1].network).done == 1


def test_an_unwritable_folder_ends_the_run_with_one_line(store: Store, cells: list[Cell], small) -> None:
    shutil.rmtree(store.folder / "running")
    (store.folder / "running").write_text("a file in the way")
    with pytest.raises(InputError) as caught:
        do(store, cells, small[1].network)
    assert "\n" not in str(caught.value)
    assert not any(store.is_done(cell.id) for cell in cells)
