"""Two pictures in, one out: the paper's algorithm from end to end. The only orchestrator."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from model_zoo.errors import InputError
from model_zoo.files import require_writable
from model_zoo.weights import Weights

from . import calibration, checkpoint, precision, record
from .config import FLOAT32, METHODS, TransferConfig
from .evaluation import FIXED_DRAW, is_finite
from .setting import Setting, Source, bind, load_network, prepare, read_inputs, with_absolute_paths
from .stopping import Outcome

OnBalance = Callable[[Setting, calibration.Balance], None]


@dataclass(frozen=True)
class Progress:
    """What `on_iterate` is told after each update.

    total: the weighted objective, and summands: the weighted terms that it is the sum of; terms: the unweighted terms,
        by the same names. All are those before the update (after it for preconditioned NAG and L-BFGS).
    change: |x_t - x_(t-1)| / |x_t|. seconds: of optimisation so far. image(): the picture now, uint8 (H, W, 3).
    x: the same before it is rounded and clipped, float32 (1, 3, H, W), RGB of range 0 to 255 minus the mean colour.
    """

    iteration: int
    total: float
    summands: Mapping[str, float]
    terms: Mapping[str, float]
    change: float
    seconds: float
    image: Callable[[], np.ndarray]
    x: np.ndarray

    @property
    def parts(self) -> dict[str, float]:
        """The summands, those of a method's layers added up: "content", each method, "tv"."""
        parts: dict[str, float] = {}
        for name, value in self.summands.items():
            part = name.split(".")[1] if name.startswith("style.") else name
            parts[part] = parts.get(part, 0.0) + value
        return parts


@dataclass(frozen=True)
class Result:
    """image: uint8 (H, W, 3), RGB, sRGB. record: what made it, JSON's types (docs/RECORD.md). outcome: how it ended."""

    image: np.ndarray
    record: dict[str, Any]
    outcome: Outcome


def transfer(
    content: Source | None,
    style: Source,
    config: TransferConfig | None = None,
    *,
    on_balance: OnBalance | None = None,
    on_iterate: Callable[[Progress], None] | None = None,
    on_end: Callable[[], None] = lambda: None,
    checkpoint_path: str | os.PathLike | None = None,
    checkpoint_every: float = checkpoint.INTERVAL,
    targets_folder: str | os.PathLike | None = None,
    weights: Weights | None = None,
    device: str = "cpu",
    threads: int | None = None,
    notify: Callable[[str], None] = lambda text: None,
    command: Sequence[str] | None = None,
) -> Result:
    """Make the picture x* that minimises alpha L_content + gamma sum_m f_m beta'_m L_style,m (Eq. 3).

    content, style: paths, uint8 arrays (H, W, 3) in RGB, or pictures; content is None exactly where alpha is 0, and
        the result then has the style's size (paper, Figure 1).
    on_balance: called with the setting and its balance, once and before the first iteration.
    on_iterate: called after each update. If it raises KeyboardInterrupt, or the user presses Ctrl-C, the run ends with
        outcome "interrupted" and the last whole picture.
    on_end: called once, after the last iteration and before the picture is finished and its objective measured.
    checkpoint_path: where the run's state is kept; if the file is there, the run goes on from it.
    checkpoint_every: it is written after the first iteration that ends so many seconds after the last writing. Where
        it cannot be written `notify` and the record say so, and the run goes on.
    targets_folder: where the targets are kept for other runs on the same pictures, with the bits that this one would
        measure; nobody removes what lies there.
    weights: the network, where it is loaded already; otherwise config.weights says which.
    notify: called with lines for a person who waits.
    Raises InputError for anything that cannot be used, before the first iteration.
    """
    config = with_absolute_paths(config or TransferConfig())
    if checkpoint_path is not None:
        require_writable(Path(checkpoint_path))
    setting = prepare(
        content, style, config, weights=weights, device=device, threads=threads, notify=notify,
        targets_folder=None if targets_folder is None else Path(targets_folder),
    )  # fmt: skip
    path = Path(checkpoint_path) if checkpoint_path is not None else None
    run = _Run(setting, checkpoint.Checkpointer(path, checkpoint_every), path, on_iterate, notify)
    if on_balance is not None:
        on_balance(setting, run.balance)
    outcome = run.until_it_ends()
    on_end()
    image = run.image()
    return Result(image, run.record(outcome, command, image), outcome)


def calibrate(
    content: Source,
    style: Source,
    config: TransferConfig | None = None,
    methods: Sequence[str] = METHODS,
    *,
    on_balance: OnBalance = lambda setting, balance: None,
    device: str = "cpu",
    threads: int | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> dict[str, calibration.Balance]:
    """beta' and the gradient norms of each method alone, by the function that `transfer` calibrates with.

    beta' is measured also where the preset fixes it, in that preset's own normalisation of the losses. on_balance is
    called for each method.
    """
    config = config or TransferConfig()
    if config.alpha == 0:
        raise InputError("alpha is 0: without a content loss there is nothing to balance; give alpha 1")
    alone = {name: replace(config, method=(name,), fusion=(), beta_prime=(), balance="measured") for name in methods}
    inputs = read_inputs(content, style, config, notify)
    weights = load_network(config, threads, notify)

    def measure(config: TransferConfig) -> calibration.Balance:
        setting = bind(inputs, config, weights, device)
        balance = setting.measure_balance()
        on_balance(setting, balance)
        return balance

    return {name: measure(each) for name, each in alone.items()}


class _Diverged(Exception):
    """NaN or infinity in the picture or its gradient."""


class _Run:
    """One optimisation: its trace, its checkpoint, its end."""

    def __init__(
        self, setting: Setting, checkpointer: checkpoint.Checkpointer, path: Path | None, on_iterate, notify
    ) -> None:
        from .optimizers import State

        self._setting, self._on_iterate, self._notify = setting, on_iterate, notify
        self._checkpointer = checkpointer
        self._outcome: Outcome | None = None
        self._trace: list[dict[str, Any]] = []
        self._notes: list[str] = []
        self._seconds_before = 0.0
        self._state = State(setting.start)
        if path is not None and path.exists():
            self._resume(path)
            notify(f"going on from iteration {self._state.iteration} of {path}")
        else:
            notify("measuring the gradients for the balance")
            self.balance = setting.measure_balance()
        self._x = self._state.x.astype(np.float32)
        self._began = monotonic()

    def until_it_ends(self) -> Outcome:
        try:
            for each in precision.precisions_left(self._setting.config, self._trace):
                self._iterate_in(each)
                if not precision.continues(each, self._outcome):
                    break
        except _Diverged:
            self._outcome = Outcome.DIVERGED
        except KeyboardInterrupt:
            self._outcome = Outcome.INTERRUPTED
        self._keep_checkpoint(self._checkpointer.write)
        return self._outcome or Outcome.SMALL_CHANGE  # the optimizer ended by itself

    def _iterate_in(self, each: str) -> None:
        """The iterations in one precision, from self._state; none where the run has ended already."""
        from .optimizers import State, minimise

        config = self._setting.config
        self._rule = precision.rule(each, config, self._trace)
        self._outcome = self._judge(self._trace[-1]) if self._trace else None
        if self._outcome is not None:
            return
        self._setting.objective.use(each, config.estimator)
        minimise(self._evaluate, self._state, config, self._after)
        # What a checkpoint holds, or where there can be none, in the midst of L-BFGS, the picture alone.
        self._state = self._resume_from() or State(self._x, len(self._trace))

    def _judge(self, entry: Mapping[str, Any]) -> Outcome | None:
        """How the run, or its iterations in one precision, end with this entry of the trace."""
        return self._rule.outcome(entry["iteration"], entry["change"], entry["seconds"])

    def image(self) -> np.ndarray:
        return self._setting.picture(self._x)

    def record(self, outcome: Outcome, command: Sequence[str] | None, image: np.ndarray) -> dict[str, Any]:
        setting = self._setting
        setting.objective.use(FLOAT32)
        final = setting.objective.terms_at(self._x)
        return record.assemble(
            setting.config,
            command,
            inputs=setting.inputs,
            weights=setting.network,
            balance=self.balance.as_dict(),
            trace=self._trace,
            final={
                "total": sum(self.balance.summands(final).values()),
                "terms": final,
                "draw": FIXED_DRAW,
            },
            outcome=outcome.value,
            iterations=len(self._trace),
            seconds=self._seconds(),
            seed=setting.config.seed,
            notes=self._notes,
            output={"size": [self._x.shape[3], self._x.shape[2]], "pixels_sha256": record.pixels_sha256(image)},
        )

    def _evaluate(self, x: np.ndarray, draw: int):
        scale = self.balance.step_scale
        weights = {name: scale * weight for name, weight in self.balance.term_weights.items()}
        evaluation = self._setting.objective.evaluate(x, weights, draw)
        # MXNet's ReLU turns NaN into 0, so the losses stay finite: the picture and its gradient must be looked at.
        if not (is_finite(evaluation.gradient) and is_finite(x)):
            raise _Diverged
        return evaluation

    def _after(self, iterate) -> bool:
        if np.isnan(iterate.change):  # as it is where the picture has NaN or infinity
            raise _Diverged
        self._x, self._resume_from, config = iterate.x, iterate.state, self._setting.config
        terms = iterate.evaluation.terms
        summands = self.balance.summands(terms)
        self._trace.append(
            {
                "iteration": iterate.iteration,
                "total": sum(summands.values()),
                "terms": dict(terms),
                "draw": iterate.draw,
                "change": iterate.change,
                "gradient_norm": iterate.gradient_norm,
                "clipped": iterate.clipped,
                "seconds": self._seconds(),
                **({} if config.precision == FLOAT32 else {"precision": self._setting.objective.precision}),
            }
        )
        self._keep_checkpoint(lambda: self._checkpointer.offer(iterate.state, self._about))
        last = self._trace[-1]
        self._outcome = self._judge(last)
        if self._on_iterate is not None:
            self._on_iterate(Progress(image=self.image, x=self._x, summands=summands, **_shown(last)))
        return self._outcome is not None

    def _keep_checkpoint(self, write: Callable[[], None]) -> None:
        """A disk that refuses the checkpoint costs the checkpoint, not the picture."""
        try:
            write()
        except InputError as error:
            note = f"{error}; the run went on without"
            if note not in self._notes:
                self._notes.append(note)
                self._notify(f"warning: {note}")

    def _seconds(self) -> float:
        return self._seconds_before + monotonic() - self._began

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on; the limits may change."""
        limits = ("iterations", "time_limit", "stop_change", "stop_after", "weights", "offline")
        inputs = {name: entry["sha256"] for name, entry in self._setting.inputs.items()}
        elsewhere = (*limits, "init") if "init" in inputs else limits  # wherever the file lies now
        whole = self._setting.config.as_dict() | {"horizon": self._setting.config.rate_horizon}
        return {
            "config": {key: value for key, value in whole.items() if key not in elsewhere},
            "inputs": inputs,
            "weights": self._setting.network["sha256"],
            "numerics_version": record.NUMERICS_VERSION,
        }

    def _about(self, state) -> dict[str, Any]:
        return {
            "identity": self._identity(),
            "balance": self.balance.as_dict(),
            "trace": self._trace[: state.iteration],
            "machine": record.describe_machine(),
        }

    def _resume(self, path: Path) -> None:
        state, run = checkpoint.load(path)
        mine, theirs = self._identity(), run["identity"]
        for key in mine:
            if mine[key] != theirs.get(key):
                raise InputError(f"{path} is the checkpoint of another run: {_difference(key, mine, theirs)}")
        if state.x.shape != self._state.x.shape:
            raise InputError(
                f"{path}: its picture has shape {state.x.shape}, expected {self._state.x.shape}; remove it"
            )
        self._state, self._trace = state, run["trace"]
        self.balance = calibration.Balance(**run["balance"])
        self._seconds_before = self._trace[-1]["seconds"] if self._trace else 0.0
        here = record.describe_machine()
        for key in ("cpu", "threads", "versions"):
            if run["machine"].get(key) != here[key]:
                self._notes.append(
                    f"resumed at iteration {state.iteration} with another {key} "
                    f"({run['machine'].get(key)}, now {here[key]}): not the bits of an uninterrupted run"
                )


def _difference(key: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """How two identities differ in `key`, and what to do."""
    remedy = "remove it, name another, or repeat the same command"
    if key != "config":
        return f"its {key} differs; {remedy}"
    here, there = mine[key], theirs[key]
    name = next(name for name in here | there if here.get(name) != there.get(name))
    if name == "horizon":
        remedy = f"give --horizon {there.get(name)} to go on with it"
    without = "a file" if name == "init" else "not set"  # a file counts by its hash, wherever it lies
    return f"its {name} differs ({there.get(name, without)}, now {here.get(name, without)}); {remedy}"


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("iteration", "total", "terms", "change", "seconds")}
