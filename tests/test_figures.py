"""The grids of the four figures against the paper's captions, and what a grid of one's own may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.errors import InputError
from model_zoo.manifest import manifest
from reproduce.figures import FIGURES, Grid, figure, parse_grid, read_grid

PAPER_METHODS = [("linear",), ("poly",), ("gaussian",), ("bn",)]
PAPER_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
PAIR = {"content": "tubingen.jpg", "style": "starry_night.jpg"}


def methods_of(grid: Grid) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(at.method for at in grid.coordinates()))


def test_figure_1_is_four_methods_by_the_first_one_to_five_layers_with_alpha_0() -> None:
    grid = figure("figure1")
    assert methods_of(grid) == PAPER_METHODS
    sets = list(dict.fromkeys(at.layers.layers for at in grid.coordinates()))
    assert sets == [PAPER_LAYERS[:k] for k in range(1, 6)]
    assert grid.alpha == 0
    assert [(pair.content, pair.style) for pair in grid.pairs] == [(None, "starry_night.jpg")]
    assert len(grid.coordinates()) == 20


def test_figure_2_is_four_methods_by_five_gammas_from_0_1_to_10() -> None:
    grid = figure("figure2")
    assert methods_of(grid) == PAPER_METHODS
    assert list(dict.fromkeys(at.gamma for at in grid.coordinates())) == [0.1, 0.2, 1, 5, 10]
    assert len(grid.pairs) == 1
    assert len(grid.coordinates()) == 20


def test_figure_2_has_the_first_sweep_of_the_release_as_an_option() -> None:
    swept = figure("figure2").with_gammas("release")
    assert list(dict.fromkeys(at.gamma for at in swept.coordinates())) == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    assert {at.gamma for at in figure("figure2").with_gammas("3,7").coordinates()} == {3, 7}


def test_what_was_asked_for_is_not_said_to_be_the_papers() -> None:
    whole = figure("figure3")
    for own in (whole.with_setting(None, None, {}), figure("figure3")):
        assert (own.caption, own.sources) == (whole.caption, whole.sources)
    asked = whole.with_gammas("1,3").with_setting(256, 50, {"preset": "release"})
    assert "gammas 1,3" in asked.caption and "sizes 256; iterations 50; config.preset release" in asked.caption
    for key in ("gammas", "sizes", "iterations", "config.preset"):
        assert asked.sources[key] == "asked for in place of the grid's own"
    assert asked.sources["methods"] == whole.sources["methods"]


def test_a_preset_brings_its_own_iterations_unless_they_are_given() -> None:
    assert figure("figure2").with_setting(None, None, {"preset": "fast"}).iterations == 94
    assert figure("figure2").with_setting(None, 40, {"preset": "fast"}).iterations == 40
    assert figure("figure2").with_setting(None, None, {}).iterations == 500


def test_figure_3_is_six_pairs_with_gamma_2_2_2_5_5_5() -> None:
    grid = figure("figure3")
    gammas = {at.pair: at.gamma for at in grid.coordinates()}
    assert list(gammas.values()) == [2, 2, 2, 5, 5, 5]
    assert methods_of(grid) == PAPER_METHODS
    assert len(grid.coordinates()) == 24


def test_figure_4_fuses_bn_with_poly_and_linear_with_gaussian_on_two_pairs_each() -> None:
    grid = figure("figure4")
    assert methods_of(grid) == [("bn", "poly"), ("linear", "gaussian")]
    for method in methods_of(grid):
        mine = [at for at in grid.coordinates() if at.method == method]
        assert len({at.pair for at in mine}) == 2
        weights = list(dict.fromkeys(at.weights for at in mine))
        assert weights == [(0.9, 0.1), (0.7, 0.3), (0.5, 0.5), (0.3, 0.7), (0.1, 0.9)]
        assert {at.gamma for at in mine} == {5}
    assert len(grid.coordinates()) == 20


@pytest.mark.parametrize("name", FIGURES)
def test_every_number_of_a_figure_has_a_source_and_every_picture_is_known(name: str) -> None:
    grid = figure(name)
    stated = {"methods", "pairs", "iterations", "sizes"} | {f"config.{key}" for key in grid.config}
    assert stated <= set(grid.sources)
    assert all("section" in text or "Figure" in text or "our choice" in text for text in grid.sources.values())
    names = {name for pair in grid.pairs for name in (pair.content, pair.style) if name}
    assert names <= set(manifest().pictures)
    assert {at.size for at in grid.coordinates()} == {512}
    assert grid.iterations == 500
    assert (grid.preview_size, grid.preview_iterations) == (192, 100)
    assert grid.claims


def test_blocks_replace_what_stands_above_them() -> None:
    grid = parse_grid(
        {"gammas": [1, 2], "rows": ["pair"], "columns": ["gamma"],
         "block": [{"pairs": [PAIR]}, {"pairs": [PAIR | {"style": "mosaic.jpg"}], "gammas": [3]}]}
    )  # fmt: skip
    assert [(at.pair.style, at.gamma) for at in grid.coordinates()] == [
        ("starry_night.jpg", 1), ("starry_night.jpg", 2), ("mosaic.jpg", 3)
    ]  # fmt: skip


def test_a_grid_of_ones_own_is_read_from_toml_with_paths_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    path = tmp_path / "mine.toml"
    path.write_text('methods = ["BN"]\nsizes = [64, 96]\nrows = ["size"]\ncolumns = ["gamma"]\nseeds = [3, 4]\n'
                    'pairs = [{ content = "photo.png", style = "starry_night.jpg" }]\n')  # fmt: skip
    grid = read_grid(path)
    assert grid.name == "mine"
    assert grid.seeds == (3, 4)
    assert [at.size for at in grid.coordinates()] == [64, 96]
    assert grid.pairs[0].content == str(tmp_path / "photo.png")
    assert grid.pairs[0].style == "starry_night.jpg"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gamma": [1]}, "unknown key 'gamma'"),
        ({"gammas": 1}, "it must be a list"),
        ({"gammas": []}, "is empty"),
        ({"gammas": ["x"]}, "wrong type"),
        ({"gammas": [-1]}, "gamma is -1"),
        ({"methods": ["cubic"]}, "unknown method 'cubic'"),
        ({"layer_sets": [["conv1_1"]]}, "unknown layer"),
        ({"rows": ["colour"]}, "unknown axis 'colour'"),
        ({"gammas": [1, 2], "columns": ["method"]}, "gamma varies"),
        ({"gammas": [1, 1]}, "given twice"),
        ({"claims": ["it is art"]}, "unknown claim"),
        ({"config": {"gamma": 2}}, "config.gamma"),
        ({"config": {"colour": 2}}, "unknown setting 'colour'"),
        ({"config": {"alpha": 0}}, "alpha must be 0"),
        ({"pairs": [{"content": "a"}]}, "is no pair"),
        ({"pairs": [{"style": "a"}]}, "without a content picture"),
        ({"name": "../x"}, "names a folder"),
        ({"methods": ["bn+poly"], "weights": [[1, 2, 3]]}, "fusion has 3 numbers"),
        ({"config": {"time_limit": 60}}, "config.time_limit: the pictures would depend on how fast the machine is"),
        ({"config": {"offline": True}}, "config.offline: it is an option of the command"),
        ({"config": {"init": 3}}, "init is 3"),
        ({"methods": [1]}, "methods is [1]; it must be a list of names"),
        ({"claims": [["x"]]}, "claims is [['x']]; it must be a list of names"),
        ({"seeds": ["a"]}, "seed is 'a'"),
        ({"seeds": [1.5]}, "seed is 1.5"),
        ({"seeds": [-1]}, "seed is -1; allowed is 0 or more"),
        ({"seeds": [7, 8, 7]}, "a replicate needs a seed of its own"),
        ({"sizes": [64.5]}, "size is 64.5"),
        ({"iterations": 0}, "iterations is 0; allowed is 1 or more"),
        ({"preview_size": 0}, "must be 1 or more"),
        ({"config": {"alpha": "x"}}, "alpha is 'x'"),
        ({"layer_sets": [{"label": "L"}]}, "is no layer set"),
        ({"layer_sets": [5]}, "wrong type"),
        ({"block": [1]}, "block is 1; write [[block]]"),
        ({"sweeps": {"x": 1}}, "sweeps.x is 1; it must be a list of gammas"),
        ({"sweeps": {"x": ["y"]}}, "wrong type"),
        ({"sweeps": {"x": []}}, "sweeps.x is empty"),
        ({"gammas": [10**400]}, "wrong type"),
        ({"config": {"alpha": 10**400}}, "wrong type"),
        ({"sources": {"gammas": 5}}, "sources.gammas is 5; it must be text"),
        ({"pairs": [{"content": 5, "style": "a"}]}, "is no pair"),
    ],
)
def test_what_a_grid_cannot_say_is_one_line(change: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_grid({"pairs": [PAIR]} | change)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_grid_is_named(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    with pytest.raises(InputError, match=r"grid\.toml"):
        read_grid(path)
    path.write_text("gammas = [1,")
    with pytest.raises(InputError, match=r"grid\.toml: not TOML"):
        read_grid(path)


def test_a_grids_wrong_value_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text('pairs = [{ content = "a", style = "b" }]\nlayer_sets = [5]\n')
    with pytest.raises(InputError, match=r"grid\.toml: a value of a wrong type"):
        read_grid(path)
