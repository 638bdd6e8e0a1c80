"""What the cells of a grid share beside beta': targets, and what scores are divided by; with the bits of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_transfer import small_config

from model_zoo.errors import InputError
from model_zoo.weights import Weights
from neural_style_mmd import kept_arrays, transfer
from neural_style_mmd.images import read_picture
from neural_style_mmd.kept_arrays import KeptArrays
from neural_style_mmd.objective import Objective
from neural_style_mmd.scoring import Scorer
from neural_style_mmd.setting import prepare

Made = Callable[..., tuple[bytes, dict[str, float]]]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each forward pass that measured targets the number of values that it was asked for."""
    counted: list[int] = []
    forward = Objective._forward

    def count(self: Objective, symbols: dict, picture: np.ndarray) -> dict:
        counted.append(len(symbols))
        return forward(self, symbols, picture)

    monkeypatch.setattr(Objective, "_forward", count)
    return counted


@pytest.fixture
def made(pictures: tuple[Path, Path], network: Weights) -> Made:
    """What a run's first evaluation gives: the gradient, and the terms."""

    def make(folder: Path | None, weights: Weights = network, **changes: Any) -> tuple[bytes, dict[str, float]]:
        setting = prepare(*pictures, small_config(**changes), weights=weights, targets_folder=folder)
        found = setting.objective.evaluate(setting.start, dict.fromkeys(setting.objective.terms, 1.0))
        return found.gradient.tobytes(), found.terms

    return make


@pytest.mark.parametrize("method", ["linear", "poly", "gaussian", "bn", "bn+gaussian"])
def test_an_evaluation_by_the_targets_of_another_run_has_the_bits_of_one_by_its_own(
    made: Made, passes: list[int], tmp_path: Path, method: str
) -> None:
    chosen = {"method": tuple(method.split("+"))}
    alone, own = made(None, **chosen), list(passes)
    made(tmp_path / "targets", **chosen, gamma=5.0)
    assert passes == [*own, *own]
    assert made(tmp_path / "targets", **chosen) == alone
    # The gaussian method's samples would be larger than all else together, so they alone are measured again.
    assert passes[2 * len(own) :] == ([1] if "gaussian" in method else [])


def test_a_picture_by_the_targets_of_another_run_is_the_picture_by_its_own(
    pictures: tuple[Path, Path], network: Weights, passes: list[int], tmp_path: Path
) -> None:
    def picture(folder: Path | None, gamma: float) -> np.ndarray:
        config = small_config(iterations=2, gamma=gamma)
        return transfer(*pictures, config, targets_folder=folder, weights=network).image

    picture(tmp_path / "targets", 5.0)
    before = len(passes)
    shared = picture(tmp_path / "targets", 1.0)
    assert len(passes) == before
    np.testing.assert_array_equal(shared, picture(None, 1.0))


@pytest.mark.parametrize(
    "change",
    [{"pooling": "max"}, {"size": 40}, {"style_size": 24}, {"content_layer": "relu1_1"}, {"method": ("bn",)}],
    ids=lambda change: next(iter(change)),
)
def test_a_run_that_needs_other_targets_measures_its_own(made: Made, tmp_path: Path, change: dict) -> None:
    made(tmp_path / "targets", method=("poly",))
    chosen = {"method": ("poly",), **change}
    assert made(tmp_path / "targets", **chosen) == made(None, **chosen)


def test_features_of_relu1_1_are_those_of_the_runs_own_graph(made: Made, passes: list[int], tmp_path: Path) -> None:
    chosen = {"content_layer": "relu1_1", "layers": ("relu1_1",)}
    measured = []
    for method in ("linear", "poly", "bn"):
        alone = made(None, method=(method,), **chosen)
        passes.clear()
        assert made(tmp_path / "targets", method=(method,), **chosen) == alone
        measured.append(len(passes))
    # Style and content; linear alone reads the network's own, and bn the content's features that poly measured.
    assert measured == [2, 2, 1]


def test_another_network_or_machine_has_its_own(
    made: Made, network: Weights, passes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "targets")
    own = len(passes)
    doubled = {name: 2 * array for name, array in network.parameters.items()}
    other = Weights(doubled, network.preprocessing, "unverified", "doubled", "the small one, doubled")
    assert made(tmp_path / "targets", weights=other) == made(None, weights=other)
    machine = kept_arrays.describe_machine()
    monkeypatch.setattr(kept_arrays, "describe_machine", lambda: machine | {"threads": 64})
    before = len(passes)
    made(tmp_path / "targets")
    assert len(passes) == before + own


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: b"", lambda data: data.replace(b"\0", b"\1")])
def test_a_damaged_file_counts_as_none_and_is_replaced(
    made: Made, passes: list[int], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    alone = made(tmp_path / "targets")
    whole = {path: path.read_bytes() for path in (tmp_path / "targets").iterdir()}
    assert whole
    own = len(passes)
    for path, data in whole.items():
        path.write_bytes(damage(data))
    assert made(tmp_path / "targets") == alone and len(passes) == 2 * own
    assert {path: path.read_bytes() for path in (tmp_path / "targets").iterdir()} == whole


def test_nothing_is_kept_by_default_and_a_folder_that_is_none_is_one_line(made: Made, tmp_path: Path) -> None:
    KeptArrays(None).keep({"a": np.ones(3)}, {})
    assert KeptArrays(None).find({}) == {}
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot create the folder .*file/targets"):
        made(tmp_path / "file" / "targets")


def test_a_picture_is_scored_by_one_evaluation_where_another_of_its_pair_was(
    pictures: tuple[Path, Path], network: Weights, passes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[np.ndarray] = []
    terms_at = Objective.terms_at
    monkeypatch.setattr(Objective, "terms_at", lambda self, x: evaluated.append(x) or terms_at(self, x))
    content, style = (read_picture(path).pixels for path in pictures)
    judged = np.ascontiguousarray(content[::-1])

    def score(folder: Path | None, pictures: tuple = (content, style), **given: Any) -> dict[str, Any]:
        passes.clear(), evaluated.clear()
        return Scorer(*pictures, network, small_config(), targets_folder=folder, **given).score(judged).as_dict()

    alone = score(None)
    assert (len(evaluated), len(passes)) == (3, 3)
    score(tmp_path / "targets", (None, style), unstyled=content)
    score(tmp_path / "targets")
    assert score(tmp_path / "targets") == alone
    assert len(evaluated) == 1 and passes == [1], "the picture itself, and the samples of relu2_1"
    # Those of another pair, and of one without a content picture, are divided by their own.
    for other, given in (((content[:, ::-1].copy(), style), {}), ((None, style), {"unstyled": content})):
        assert score(tmp_path / "targets", other, **given) == score(None, other, **given) != alone


def test_a_checkpoint_is_none_of_these_files(made: Made, tmp_path: Path, pictures, network: Weights) -> None:
    made(tmp_path / "targets")
    for path in (tmp_path / "targets").iterdir():
        with pytest.raises(InputError, match="not a checkpoint of this program"):
            transfer(*pictures, small_config(), checkpoint_path=path, weights=network)
