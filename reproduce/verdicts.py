"""Whether the paper's claims about a figure hold, from the data: never written by hand.

A claim is a set of comparisons, each a number that the claim says is above 0, measured once in each replicate (another
seed of the start and of the sampled pairs, everything else equal).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from neural_style_mmd.images import read_picture
from neural_style_mmd.scoring import SCORED_METHODS, Score

CONFIDENCE = 0.95  # our choice: of the one-sided t test of each comparison

HOLDS, FAILS, NOISE = "holds", "does not hold", "within noise"
ONCE, NOT_ONCE, UNKNOWN = "observed once", "not observed", "cannot be said: numbers are missing"


@dataclass(frozen=True)
class Observation:
    """A done cell: where it lies (Coordinates.as_dict and "replicate"), its numbers, its picture."""

    at: Mapping[str, Any]
    score: Score
    picture: Path


@dataclass(frozen=True)
class Comparison:
    """differences: one for each replicate; the claim says that they are above 0."""

    label: str
    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the differences."""
        return float(np.mean(self.differences))

    @property
    def verdict(self) -> str:
        """By a one-sided t test over the replicates, or by the sign of the only one."""
        if not np.isfinite(self.mean):
            return UNKNOWN
        if len(self.differences) == 1:
            return ONCE if self.differences[0] > 0 else NOT_ONCE
        n = len(self.differences)
        margin = float(stdtrit(n - 1, CONFIDENCE)) * float(np.std(self.differences, ddof=1)) / n**0.5
        if self.mean > margin:
            return HOLDS
        return FAILS if self.mean < -margin else NOISE


@dataclass(frozen=True)
class Verdict:
    """What became of a claim. agreeing: comparisons above 0 on average, of `comparisons`."""

    claim: str
    text: str
    where: str
    verdict: str
    agreeing: int
    comparisons: int
    replicates: int
    details: tuple[Comparison, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON's types."""
        return asdict(self)


@dataclass(frozen=True)
class Claim:
    """text: what the paper says, in our words. where: the place in the paper. compare: observations of one replicate
    -> {comparison: number that should be above 0}."""

    text: str
    where: str
    compare: Callable[[Sequence[Observation]], dict[str, float]]


def judge(name: str, observations: Sequence[Observation], expected: int, prefix: str = "") -> Verdict:
    """The verdict on the claim called `name`.

    expected: the number of cells that the claim is about; with fewer observations nothing is said.
    prefix: what the verdict begins with, such as "with the surrogate network: ".
    """
    claim = CLAIMS[name]
    by_replicate: dict[int, list[Observation]] = defaultdict(list)
    for observation in observations:
        by_replicate[observation.at["replicate"]].append(observation)
    comparisons: tuple[Comparison, ...] = ()
    verdict = UNKNOWN
    if observations and len(observations) == expected:
        try:
            measured = [claim.compare(group) for _, group in sorted(by_replicate.items())]
        except (KeyError, ValueError):  # a grid of one's own that has not got what the claim compares
            measured = [{}]
        comparisons = tuple(Comparison(label, tuple(each[label] for each in measured)) for label in measured[0])
        verdict = _combined([each.verdict for each in comparisons])
    return Verdict(
        name,
        claim.text,
        claim.where,
        prefix + verdict,
        sum(each.mean > 0 for each in comparisons),
        len(comparisons),
        len(by_replicate),
        comparisons,
    )


def _combined(verdicts: Sequence[str]) -> str:
    """A claim holds where every comparison does, and fails where one does."""
    for worst in (UNKNOWN, FAILS, NOISE, NOT_ONCE):
        if worst in verdicts:
            return worst
    return verdicts[0] if verdicts else UNKNOWN


def _label(at: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(str(at[key]) if key in ("method", "layers") else f"{key} {at[key]}" for key in keys)


def _varying(observations: Sequence[Observation], *apart: str) -> list[str]:
    """The coordinates, but for those named, in which the observations differ; the method in any case."""
    return [
        key for key in ("method", "gamma", "weights", "layers", "size", "content", "style")
        if key not in apart and (key == "method" or len({str(each.at[key]) for each in observations}) > 1)
    ]  # fmt: skip


def _first_share(at: Mapping[str, Any]) -> float:
    """What the first of two fused methods has of their weights."""
    weights = at["weights"] or (1.0, 1.0)
    return weights[0] / (sum(weights) or 1.0)


_ORDERS: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "gamma": lambda at: at["gamma"],
    "weights": lambda at: -_first_share(at),
    "layers": lambda at: 0,  # a label: as the grid has them
}
"""How a row runs along an axis, whatever the order in the grid."""


def _rows(observations: Sequence[Observation], along: str) -> dict[str, list[Observation]]:
    """Observations that differ in `along` only, in its order, by a label of what they share."""
    keys = _varying(observations, along)
    rows: dict[str, list[Observation]] = defaultdict(list)
    for each in sorted(observations, key=lambda each: _ORDERS[along](each.at)):
        rows[_label(each.at, keys)].append(each)
    return rows


def _steps(
    observations: Sequence[Observation], along: str, value: Callable[[Observation], float | None], sign: int = 1
) -> dict[str, float]:
    """sign * (value(next) - value(this)) for each step along an axis."""
    steps = {}
    for label, row in _rows(observations, along).items():
        for before, after in pairwise(row):
            first, second = (_number(value(each)) for each in (before, after))
            steps[f"{label}: {before.at[along]} → {after.at[along]}"] = sign * (second - first)
    return steps


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _own(observation: Observation) -> float | None:
    return observation.score.style[observation.at["method"]]


def _coarser_with_depth(observations: Sequence[Observation]) -> dict[str, float]:
    return _steps(observations, "layers", lambda each: each.score.granularity)


def _linear_coarser(observations: Sequence[Observation]) -> dict[str, float]:
    layers = list(dict.fromkeys(each.at["layers"] for each in observations))[-2:]  # the sets 4 and 5
    keys = list(dict.fromkeys(("layers", *_varying(observations, "method"))))
    grain = {(each.at["method"], _label(each.at, keys)): _number(each.score.granularity)
             for each in observations if each.at["layers"] in layers}  # fmt: skip
    return {label: grain["linear", label] - grain["poly", label] for _, label in grain}


def _content_rises(observations: Sequence[Observation]) -> dict[str, float]:
    return _steps(observations, "gamma", lambda each: each.score.content)


def _style_falls(observations: Sequence[Observation]) -> dict[str, float]:
    return _steps(observations, "gamma", _own, sign=-1)


def _colours_approach(observations: Sequence[Observation]) -> dict[str, float]:
    return _steps(observations, "gamma", lambda each: each.score.colour, sign=-1)


def _methods_diverge(observations: Sequence[Observation]) -> dict[str, float]:
    """Root mean square difference of the pixels, the mean over all pairs of methods, from one gamma to the next."""
    keys = _varying(observations, "method", "gamma")
    groups: dict[str, dict[float, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for each in observations:
        groups[_label(each.at, keys)][each.at["gamma"]].append(each.picture)
    steps = {}
    for label, by_gamma in groups.items():
        distances = {gamma: _spread(paths) for gamma, paths in sorted(by_gamma.items())}
        for before, after in pairwise(distances):
            step = f"{label and label + ': '}γ = {before:g} → {after:g}"
            steps[step] = distances[after] - distances[before]
    return steps


def _spread(paths: Sequence[Path]) -> float:
    pictures = [read_picture(path).pixels.astype(np.float64) for path in paths]
    return float(np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in combinations(pictures, 2)]))


def _all_fall(observations: Sequence[Observation]) -> dict[str, float]:
    """1 - the discrepancy that is left, for every measure in every cell."""
    keys = _varying(observations)
    return {
        f"{_label(each.at, keys)}: {measure}": 1.0 - _number(each.score.style[measure])
        for each in observations
        for measure in SCORED_METHODS
    }


def _monotone(observations: Sequence[Observation]) -> dict[str, float]:
    """As the first method's weight falls, its own discrepancy rises and the second's falls."""
    comparisons = {}
    for label, row in _rows(observations, "weights").items():
        first, second = row[0].at["method"].split("+")
        for before, after in pairwise(row):
            step = f"{label}: {before.at['weights']} → {after.at['weights']}"
            for method, sign in ((first, 1), (second, -1)):
                change = _number(after.score.style[method]) - _number(before.score.style[method])
                comparisons[f"{step}, {method}"] = sign * change
    return comparisons


CLAIMS: Mapping[str, Claim] = {
    "coarser_with_depth": Claim(
        "Textures grow coarser with depth: granularity rises from each layer set to the next, for each method.",
        "section 4.1 and Figure 1",
        _coarser_with_depth,
    ),
    "linear_coarser_than_poly": Claim(
        "In the two deepest layer sets the textures of linear are coarser than those of poly.",
        "section 4.1 and Figure 1",
        _linear_coarser,
    ),
    "content_loss_rises": Claim(
        "A larger gamma keeps less of the content: the content loss rises along gamma, for each method.",
        "section 4.2 and Figure 2",
        _content_rises,
    ),
    "style_discrepancy_falls": Claim(
        "A larger gamma brings more of the style: the method's own discrepancy falls along gamma.",
        "section 4.2 and Figure 2",
        _style_falls,
    ),
    "colours_approach": Claim(
        "The colour statistics approach the style's along gamma, for each method.",
        "section 4.2 and Figure 2",
        _colours_approach,
    ),
    "methods_diverge": Claim(
        "The differences among the methods grow with gamma: the mean distance between their pictures rises.",
        "section 4.2, comparisons of different transfer methods",
        _methods_diverge,
    ),
    "all_discrepancies_fall": Claim(
        "Every method aligns the distributions: it reduces all four discrepancies, not only its own.",
        "section 4.2 and Figure 3",
        _all_fall,
    ),
    "interpolation_is_monotone": Claim(
        "Fusion interpolates between two methods: as weight moves from the first to the second, the discrepancy of the "
        "first rises and that of the second falls.",
        "section 4.2 and Figure 4",
        _monotone,
    ),
}
