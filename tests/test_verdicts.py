"""Verdicts: from numbers alone, by a stated test; a claim that fails is shown as failing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from neural_style_mmd.scoring import SCORED_METHODS, Score
from reproduce.figures import FIGURES, figure
from reproduce.verdicts import CLAIMS, Comparison, Observation, judge

METHODS = ("linear", "poly", "gaussian", "bn")


def observation(method: str, replicate: int = 0, picture: Path = Path("none"), **numbers: Any) -> Observation:
    """A cell with the given coordinates and scores, other numbers being 1; content_left is the content's score."""
    content = numbers.pop("content_left", 1.0)
    at = {"method": method, "weights": [], "gamma": 1.0, "content": "c", "style": "s", "layers": "all", "size": 64}
    at |= {key: numbers.pop(key) for key in list(numbers) if key in at} | {"replicate": replicate}
    style = dict.fromkeys(SCORED_METHODS, 1.0) | numbers.pop("style_left", {})
    values = {"content": content, "content_loss": 1.0, "colour": 1.0, "granularity": 1.0} | numbers
    return Observation(at, Score(style=style, layers={}, style_loss={}, **values), picture)


def gamma_sweep(contents: list[float], replicate: int = 0) -> list[Observation]:
    return [observation("bn", replicate, gamma=float(g), content_left=c) for g, c in enumerate(contents)]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((1.0,), "observed once"),
        ((0.0,), "not observed"),
        ((-1.0,), "not observed"),
        ((1.0, 1.1, 0.9), "holds"),
        ((-1.0, -1.1, -0.9), "does not hold"),
        ((1.0, -1.2, 0.3), "within noise"),
        ((float("nan"),), "cannot be said: numbers are missing"),
    ],
)
def test_a_comparison_is_judged_over_its_replicates(differences: tuple[float, ...], verdict: str) -> None:
    assert Comparison("x", differences).verdict == verdict


def test_the_test_is_the_one_sided_t_test_at_95_percent() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = tuple(rng.normal(0.5, 1, 4))
        p = scipy.stats.ttest_1samp(values, 0, alternative="greater").pvalue
        assert (Comparison("x", values).verdict == "holds") == (p < 0.05)


def test_a_claim_holds_only_where_every_comparison_does() -> None:
    rising = [each for r in range(3) for each in gamma_sweep([1, 2 + r / 50, 4 + r / 30], r)]
    assert judge("content_loss_rises", rising, 9).verdict == "holds"
    bent = [each for r in range(3) for each in gamma_sweep([1, 3 + r / 50, 2 + r / 30], r)]
    verdict = judge("content_loss_rises", bent, 9)
    assert (verdict.verdict, verdict.agreeing, verdict.comparisons) == ("does not hold", 1, 2)
    noisy = [each for r in range(3) for each in gamma_sweep([1, 2 + r / 50, 2 + (r - 1) / 5], r)]
    assert judge("content_loss_rises", noisy, 9).verdict == "within noise"


def test_one_replicate_is_observed_once_or_not_and_says_with_which_network() -> None:
    prefix = "with the surrogate network: "
    assert judge("content_loss_rises", gamma_sweep([1, 2]), 2, prefix).verdict == prefix + "observed once"
    assert judge("content_loss_rises", gamma_sweep([2, 1]), 2, prefix).verdict == prefix + "not observed"


def test_nothing_is_said_while_cells_are_missing() -> None:
    assert "cannot be said" in judge("content_loss_rises", gamma_sweep([1, 2]), 3).verdict
    assert "cannot be said" in judge("interpolation_is_monotone", gamma_sweep([1, 2]), 2).verdict


def test_style_and_colour_along_gamma() -> None:
    def sweep(style: list[float], colour: list[float]) -> list[Observation]:
        return [observation("poly", gamma=float(g), style_left={"poly": s}, colour=c)
                for g, (s, c) in enumerate(zip(style, colour, strict=True))]  # fmt: skip

    falling = sweep([1, 0.5, 0.2], [1, 0.5, 0.6])
    assert judge("style_discrepancy_falls", falling, 3).verdict == "observed once"
    verdict = judge("colours_approach", falling, 3)
    assert (verdict.verdict, verdict.agreeing) == ("not observed", 1)


def test_granularity_rises_with_depth_and_linear_is_coarser_than_poly_in_the_last_two_sets() -> None:
    grains = {"linear": [1, 2, 3, 5, 6], "poly": [2, 3, 4, 4.5, 5]}
    cells = [observation(method, layers=f"Layer {k + 1}", granularity=grain)
             for method, row in grains.items() for k, grain in enumerate(row)]  # fmt: skip
    assert judge("coarser_with_depth", cells, 10).comparisons == 8
    assert judge("coarser_with_depth", cells, 10).verdict == "observed once"
    verdict = judge("linear_coarser_than_poly", cells, 10)
    assert verdict.verdict == "observed once"
    assert [each.label for each in verdict.details] == ["Layer 4", "Layer 5"]
    assert [each.mean for each in verdict.details] == [0.5, 1]


def test_every_method_must_reduce_every_discrepancy() -> None:
    good = [observation(m, style_left=dict.fromkeys(SCORED_METHODS, 0.4)) for m in METHODS]
    assert judge("all_discrepancies_fall", good, 4).verdict == "observed once"
    bad = [*good[:3], observation("bn", style_left=dict.fromkeys(SCORED_METHODS, 0.4) | {"linear": 1.1})]
    verdict = judge("all_discrepancies_fall", bad, 4)
    assert (verdict.verdict, verdict.agreeing, verdict.comparisons) == ("not observed", 15, 16)


def test_fusion_moves_from_the_first_method_to_the_second() -> None:
    def fused(bn: list[float], poly: list[float]) -> list[Observation]:
        return [observation("bn+poly", weights=[w, 1 - w], style_left={"bn": b, "poly": p})
                for w, b, p in zip((0.9, 0.5, 0.1), bn, poly, strict=True)]  # fmt: skip

    assert judge("interpolation_is_monotone", fused([0.1, 0.2, 0.3], [0.9, 0.5, 0.2]), 3).verdict == "observed once"
    assert judge("interpolation_is_monotone", fused([0.3, 0.2, 0.1], [0.9, 0.5, 0.2]), 3).verdict == "not observed"


def test_the_distance_between_the_methods_pictures_grows_with_gamma(tmp_path: Path) -> None:
    def cells(spreads: list[int]) -> list[Observation]:
        made = []
        for gamma, spread in enumerate(spreads):
            for k, method in enumerate(METHODS):
                path = tmp_path / f"{gamma}{method}{spread}.png"
                Image.fromarray(np.full((20, 20, 3), 50 + k * spread, np.uint8)).save(path)
                made.append(observation(method, picture=path, gamma=float(gamma)))
        return made

    verdict = judge("methods_diverge", cells([1, 2, 5]), 12)
    assert verdict.verdict == "observed once"
    # |a - b| over the six pairs of four pictures `spread` apart: (3 * 1 + 2 * 2 + 1 * 3) / 6 = 5/3 of it.
    assert [each.mean for each in verdict.details] == pytest.approx([5 / 3, 5])
    assert judge("methods_diverge", cells([5, 2, 1]), 12).verdict == "not observed"


def test_a_verdict_goes_along_an_axis_by_its_values_whatever_the_order_in_the_grid(tmp_path: Path) -> None:
    """Of every claim about a step: what holds in the paper's order holds in any."""

    def cell(gamma: float, method: str = "bn", shade: int = 0) -> Observation:
        path = tmp_path / f"{gamma}{method}.png"
        Image.fromarray(np.full((20, 20, 3), 100 + shade, np.uint8)).save(path)
        return observation(method, picture=path, gamma=gamma, content_left=gamma, colour=1 / gamma,
                           style_left={method: 1 / gamma})  # fmt: skip

    falling = [cell(gamma, method, k * int(10 * gamma)) for gamma in (10.0, 1.0, 0.1)
               for k, method in enumerate(("bn", "poly"))]  # fmt: skip
    for claim in ("content_loss_rises", "style_discrepancy_falls", "colours_approach", "methods_diverge"):
        for cells in (falling, falling[::-1], falling[2:] + falling[:2]):
            assert judge(claim, cells, 6).verdict == "observed once", claim

    def fused(first: float, second: float) -> Observation:
        share = first / (first + second)
        return observation("bn+poly", weights=[first, second], style_left={"bn": 1 - share, "poly": share})

    shares = [fused(1, 3), fused(5, 5), fused(0.9, 0.1), fused(0.3, 0.2)]
    verdict = judge("interpolation_is_monotone", shares, 4)
    assert (verdict.verdict, verdict.comparisons) == ("observed once", 6)


def test_every_cell_is_compared_whatever_varies(tmp_path: Path) -> None:
    def cells(method: str, left: float, **at: Any) -> Observation:
        path = tmp_path / f"{method}{at}.png".replace("/", "")
        shade = int(at.get("gamma", 1) * left * (method == "bn"))
        Image.fromarray(np.full((20, 20, 3), shade, np.uint8)).save(path)
        return observation(method, picture=path, style_left=dict.fromkeys(SCORED_METHODS, left), **at)

    bad_first = [cells("bn", 1.5 if gamma == 0.1 else 0.5, gamma=gamma) for gamma in (0.1, 1.0, 10.0)]
    verdict = judge("all_discrepancies_fall", bad_first, 3)
    assert (verdict.verdict, verdict.comparisons, verdict.agreeing) == ("not observed", 12, 8)
    sizes = [cells("bn", 0.5, size=size, layers=layers) for size in (64, 96) for layers in ("one", "two")]
    assert judge("all_discrepancies_fall", sizes, 4).comparisons == 16

    grains = [observation(method, layers=layer, style=style, granularity=grain)
              for style, linear in (("s", 1.0), ("t", 3.0)) for layer in ("Layer 1", "Layer 2")
              for method, grain in (("linear", linear), ("poly", 2.0))]  # fmt: skip
    verdict = judge("linear_coarser_than_poly", grains, 8)
    assert (verdict.verdict, verdict.comparisons, verdict.agreeing) == ("not observed", 4, 2)

    # Two pairs of pictures: methods are compared within a pair, not across.
    both = [cells(method, left, gamma=gamma, style=style) for style, left in (("s", 1.0), ("t", 20.0))
            for gamma in (1.0, 5.0) for method in ("bn", "poly")]  # fmt: skip
    assert [each.mean for each in judge("methods_diverge", both, 8).details] == pytest.approx([4, 80])


def test_every_claim_is_made_by_a_figure() -> None:
    assert {name for each in FIGURES for name in figure(each).claims} == set(CLAIMS)
