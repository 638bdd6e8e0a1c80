"""One cell in one fresh interpreter: `python -X faulthandler -m reproduce _cell STORE/running/ID/spec.json`.

Tells its parent how far it is by lines of JSON on standard output; everything else goes to standard error, which is the
cell's log. It stops at the next iteration, with a checkpoint, on SIGTERM, SIGINT, when nobody reads its lines any more
(its parent is dead) and when its claim was taken away.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

from model_zoo.errors import InputError
from model_zoo.files import file_hash, make_folder, write_json
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.processor import cpu_model
from neural_style_mmd.record import picture_text
from neural_style_mmd.threads import choose_threads, chosen_threads

from . import locks
from .cells import Cell, digest
from .store import Store

DONE, CRASHED, BAD_INPUT, DIVERGED, BUSY, STOPPED = 0, 1, 2, 3, 75, 130
"""Exit codes of a cell's process; BUSY: another process works on it or has just done it."""

CHECKPOINT_EVERY = 20.0  # seconds; with an iteration and the writing on top a kill costs at most 30 s
REPORT_EVERY = 0.25  # seconds between two lines of progress

PICTURE, RECORD, METRICS, CALIBRATION = "picture.png", "picture.png.json", "metrics.json", "calibration.json"


def run_cell(spec_path: Path) -> int:
    """Do the cell of the spec; returns one of the exit codes, BUSY where it is done already."""
    spec = json.loads(spec_path.read_text(encoding="utf-8"))
    cell = Cell.from_dict(spec["cell"])
    store = Store(spec_path.parent.parent.parent)
    conversation = _Conversation()
    claim = locks.claim(store.claim_path(cell.id), on_loss=conversation.stop)
    if claim is None:
        return BUSY
    try:
        if store.is_done(cell.id):  # looked at under the claim: its last holder may just have published it
            return BUSY
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: conversation.stop())
        task = {"transfer": _transfer, "calibration": _calibrate}[cell.kind]
        return task(cell, spec, store, conversation)
    except InputError as error:
        conversation.give_reason(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        return STOPPED
    finally:
        claim.release()


def log(text: str) -> None:
    """A line of the cell's log."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class _Conversation:
    """What the process tells its parent, and whether it was told to stop."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._stopped = False
        self._told_at = float("-inf")

    def stop(self) -> None:
        """Called by a signal, or by the claim's thread."""
        self._stopped = True

    def check(self) -> None:
        """KeyboardInterrupt if the process is to stop."""
        if self._stopped:
            raise KeyboardInterrupt

    def tell(self, *, always: bool = False, **message: Any) -> None:
        """One line of JSON, at most every REPORT_EVERY seconds unless `always`."""
        self.check()
        if not always and monotonic() - self._told_at < REPORT_EVERY:
            return
        self._told_at = monotonic()
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, OSError):
            # Nobody reads: the parent is dead. Standard output is closed for good, so that Python does not try again.
            sys.stdout = open(os.devnull, "w")
            self.stop()
            self.check()

    def tell_pace(self, first: float, iteration: float) -> None:
        """For an estimate of the time: the first iteration began at `first`, and one takes `iteration` seconds."""
        self.tell(always=True, pace={"start": first - self._began, "iteration": iteration})

    def give_reason(self, text: str) -> None:
        """Why the cell cannot be done; into the log too."""
        log(text)
        try:
            self.tell(always=True, reason=text)
        except KeyboardInterrupt:
            pass  # it ends anyway

    def note(self, text: str) -> None:
        """A line for the log, told as a sign of life too."""
        log(text)
        self.tell(note=text)


def _transfer(cell: Cell, spec: dict[str, Any], store: Store, conversation: _Conversation) -> int:
    from neural_style_mmd.stopping import Outcome
    from neural_style_mmd.stylization import transfer

    beta_prime = [store.result(cell.needs[method], CALIBRATION)["beta_prime"] for method in cell.needs]
    given = {"weights": spec["network"]["request"], "beta_prime": beta_prime}
    given |= {role: path for role, path in cell.files.items() if role == "init"}
    config = TransferConfig.from_dict({**cell.content["config"], **given})
    _require_inputs(cell)
    folder = store.running(cell.id)
    # A checkpoint belongs to one beta' and one network: with others the cell begins anew.
    checkpoint = folder / f"checkpoint-{digest([beta_prime, spec['network']['sha256']])[:12]}.npz"
    _fix_threads(folder, checkpoint.exists())
    weights = _load_network(spec, conversation)

    ends: list[float] = []  # of the first three iterations that this process makes

    def on_iterate(progress: Any) -> None:
        if len(ends) < 3:
            ends.append(monotonic())
            if len(ends) == 3:
                iteration = (ends[2] - ends[0]) / 2
                conversation.tell_pace(ends[0] - iteration, iteration)
        if not math.isfinite(progress.total):
            conversation.note(f"iteration {progress.iteration}: the objective is {progress.total}")
        conversation.tell(
            iteration=progress.iteration,
            iterations=config.iterations,
            total=float(progress.total),
            seconds=progress.seconds,
        )

    result = transfer(
        cell.files.get("content"),
        cell.files["style"],
        config,
        on_iterate=on_iterate,
        checkpoint_path=checkpoint,
        checkpoint_every=spec.get("checkpoint_every", CHECKPOINT_EVERY),
        targets_folder=store.targets,
        weights=weights,
        notify=conversation.note,
        command=["neural-style-mmd", "rerun", RECORD],
    )
    if result.outcome is Outcome.INTERRUPTED:
        return STOPPED
    if result.outcome is Outcome.DIVERGED:
        conversation.give_reason(f"diverged after {result.record['iterations']} iterations: {result.outcome.remedy}")
        checkpoint.unlink(missing_ok=True)
        return DIVERGED
    conversation.tell(always=True, note="scoring")
    scores = _score(cell, config, weights, result.image, store.targets)
    from neural_style_mmd.images import save_picture

    target = _empty_folder(folder / "result")
    save_picture(target / PICTURE, result.image, picture_text(result.record) | {"Cell": cell.id})
    write_json(target / RECORD, result.record)
    write_json(target / METRICS, scores)
    store.publish(cell, target)
    return DONE


def _score(cell: Cell, config: TransferConfig, weights: Any, image: Any, targets_folder: Path) -> dict[str, Any]:
    """The numbers of the picture; where there is no content picture, against the noise that the run began with."""
    from dataclasses import replace

    from neural_style_mmd.calibration import START_DRAW
    from neural_style_mmd.evaluation import noise
    from neural_style_mmd.images import deprocess, read_picture, resize
    from neural_style_mmd.scoring import Scorer

    style = resize(read_picture(cell.files["style"]).pixels, config.style_size or config.size)
    content = unstyled = None
    if "content" in cell.files:
        content = resize(read_picture(cell.files["content"]).pixels, config.size)
    else:
        start = noise((1, 3, *image.shape[:2]), config.init_amplitude, config.seed, START_DRAW)
        unstyled = deprocess(start, weights.preprocessing.mean_rgb)
    judged = replace(config, layers=tuple(cell.content["scored_layers"]), layer_weights=())
    return Scorer(content, style, weights, judged, unstyled, targets_folder=targets_folder).score(image).as_dict()


def _calibrate(cell: Cell, spec: dict[str, Any], store: Store, conversation: _Conversation) -> int:
    from neural_style_mmd.stylization import prepare

    _require_inputs(cell)
    folder = store.running(cell.id)
    so_far = folder / f"pairs-{spec['network']['sha256'][:12]}.json"
    measured = _read_pairs(so_far)
    _fix_threads(folder, bool(measured))
    method, pairs = cell.content["method"], cell.content["pairs"]
    weights = _load_network(spec, conversation)
    first = len(measured)
    for k, pair in enumerate(pairs[first:], first):
        conversation.tell(always=True, iteration=k, iterations=len(pairs), total=None)
        config = TransferConfig.from_dict(
            {
                **cell.content["config"],
                "method": [method],
                "seed": pair["seed"],
                "weights": spec["network"]["request"],
            }
        )
        content, style = (cell.files[f"{role}{k}"] for role in ("content", "style"))
        setting = prepare(content, style, config, weights=weights, targets_folder=store.targets)
        conversation.check()
        began = monotonic()
        balance = setting.measure_balance()
        if k == first:  # its evaluations: the content, each layer, and two at the start
            conversation.tell_pace(began, (monotonic() - began) / (3 + len(config.layers)))
        names = [setting.inputs[role]["name"] for role in ("content", "style")]
        measured.append({"files": names, "cpu": cpu_model(), **balance.as_dict()})
        write_json(so_far, {"pairs": measured})
    betas = [each["beta_prime"][method] for each in measured]
    target = _empty_folder(folder / "result")
    write_json(
        target / CALIBRATION,
        {
            "method": method,
            "beta_prime": math.exp(fmean(math.log(beta) for beta in betas)),
            "mean": "geometric",
            "spread": max(betas) / min(betas),
            "pairs": measured,
            "threads": chosen_threads(),
            "cpu": cpu_model(),
        },
    )
    store.publish(cell, target)
    return DONE


def _read_pairs(path: Path) -> list[dict[str, Any]]:
    """What an earlier start of a calibration measured, from the first pair on."""
    return json.loads(path.read_text(encoding="utf-8"))["pairs"] if path.is_file() else []


def _fix_threads(folder: Path, resumed: bool) -> None:
    """The number of threads is that of the cell's first start as long as there is something to go on from."""
    path = folder / "start.json"
    if resumed and path.is_file():
        choose_threads(json.loads(path.read_text(encoding="utf-8"))["threads"])
        return
    choose_threads(None)
    write_json(path, {"threads": chosen_threads(), "cpu": cpu_model()})


def _require_inputs(cell: Cell) -> None:
    """InputError where a picture is gone or is another than when the cell was planned."""
    roles = {"content": "content", "style": "style"}
    hashes = cell.content.get("inputs") or {
        f"{role}{k}": pair[role] for k, pair in enumerate(cell.content["pairs"]) for role in roles if role in pair
    }
    for role, digest_then in hashes.items():
        path = Path(cell.files[role])
        if not path.is_file():
            raise InputError(f"the picture {path} is not there any more; put it back, then run the same command")
        if file_hash(path) != digest_then:
            raise InputError(f"the picture {path} has changed since the run began; run the same command again")


def _load_network(spec: dict[str, Any], conversation: _Conversation) -> Any:
    """The network that the store is pinned to, or InputError."""
    import model_zoo

    request, pinned = spec["network"]["request"], spec["network"]["sha256"]
    weights = model_zoo.load(request, offline=True, notify=conversation.note)
    if weights.sha256 != pinned:
        raise InputError(
            f"the network {request} has sha256 {weights.sha256[:12]} here, but this store is pinned to {pinned[:12]}; "
            "use the cache folder of the first run (NEURAL_STYLE_MMD_HOME), or another --out"
        )
    return weights


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return make_folder(folder)
