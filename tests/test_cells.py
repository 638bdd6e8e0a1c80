"""A cell's identity: what changes it, what does not; seeds; the plan of each figure, counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.errors import InputError
from model_zoo.files import file_hash
from reproduce import cells
from reproduce.cells import Plan, make_plan, seed_of
from reproduce.figures import FIGURES, Grid, Pair, figure, parse_grid, read_grid
from reproduce.inputs import InputPicture, Inputs, Network, find_pictures

TRUE = Network("vgg19", "vgg19", "vgg19.params", "a" * 64)
SURROGATE = Network("surrogate", "surrogate", "surrogate", "b" * 64, "recipe 1, seed 0")


def inputs_of(grid: Grid, network: Network = TRUE, folder: str = "/pictures") -> Inputs:
    names = {name for pair in grid.pairs for name in (pair.content, pair.style) if name}
    pictures = {name: InputPicture(name, f"{folder}/{name}", cells.digest(name), "named") for name in names}
    return Inputs(network, pictures, {})


def plan_of(name: str = "figure2", **choices) -> Plan:
    grid = figure(name)
    return make_plan(grid, inputs_of(grid), **choices)


def ids(plan: Plan, kind: str = "transfer") -> set[str]:
    return {cell_id for cell_id, cell in plan.cells.items() if cell.kind == kind}


@pytest.mark.parametrize(
    ("name", "transfers", "calibrations"),
    [("figure1", 20, 0), ("figure2", 20, 4), ("figure3", 24, 4), ("figure4", 20, 4)],
)
def test_the_number_of_cells_of_each_stage(name: str, transfers: int, calibrations: int) -> None:
    plan = plan_of(name)
    for stage in ("preview", "full"):
        kinds = [cell.kind for cell in plan.stage(stage)]
        assert (kinds.count("transfer"), kinds.count("calibration")) == (transfers, calibrations)
    assert len(plan.cells) == 2 * (transfers + calibrations)


def test_calibrations_come_before_what_needs_them() -> None:
    for cell in (stage := plan_of().stage("full")):
        for need in cell.needs.values():
            assert [each.id for each in stage].index(need) < [each.id for each in stage].index(cell.id)


def test_an_id_does_not_depend_on_paths_order_or_names() -> None:
    grid = figure("figure2")
    here, there = (make_plan(grid, inputs_of(grid, folder=folder)) for folder in ("/pictures", "/elsewhere"))
    assert set(here.cells) == set(there.cells)
    turned = replace(grid, blocks=tuple({**b, "methods": b["methods"][::-1]} for b in grid.blocks), title="x")
    assert set(make_plan(turned, inputs_of(turned)).cells) == set(here.cells)


def test_an_id_depends_on_config_inputs_network_calibration_and_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = figure("figure2")
    before = ids(make_plan(grid, inputs_of(grid)))
    other_picture = inputs_of(grid)
    name = grid.pairs[0].style
    changed = {**other_picture.pictures, name: replace(other_picture.pictures[name], sha256="c" * 64)}
    changes = [
        make_plan(grid.with_setting(None, None, {"pooling": "max"}), inputs_of(grid)),
        make_plan(grid.with_setting(500, 499, {}), inputs_of(grid)),
        make_plan(grid, replace(other_picture, pictures=changed)),
        make_plan(grid, inputs_of(grid, replace(TRUE, sha256="d" * 64))),
        make_plan(grid, inputs_of(grid, SURROGATE)),
        make_plan(replace(grid, seeds=(5,)), inputs_of(grid)),
    ]
    monkeypatch.setattr(cells, "NUMERICS_VERSION", cells.NUMERICS_VERSION + 1)
    changes.append(make_plan(grid, inputs_of(grid)))
    for plan in changes:
        full = {place.cells["full"] for place in plan.places}
        assert not full & before


def test_the_surrogate_counts_by_its_recipe_because_its_bits_may_differ_between_machines() -> None:
    grid = figure("figure2")
    one, other = (make_plan(grid, inputs_of(grid, replace(SURROGATE, sha256=digit * 64))) for digit in "ef")
    assert set(one.cells) == set(other.cells)
    third = make_plan(grid, inputs_of(grid, replace(SURROGATE, recipe="recipe 2, seed 0")))
    assert not set(one.cells) & set(third.cells)


def test_the_calibrations_recipe_is_in_the_id_and_no_number_of_it() -> None:
    by_figure, by_pair = plan_of("figure3"), plan_of("figure3", calibration="pair")
    assert not ids(by_figure) & ids(by_pair)
    assert len(ids(by_figure, "calibration")) == 2 * 4
    assert len(ids(by_pair, "calibration")) == 2 * 4 * 6
    for cell in by_figure.cells.values():
        assert "beta_prime" not in cell.content.get("config", {})
        if cell.kind == "calibration":
            assert len(cell.content["pairs"]) == 6
        else:
            assert dict(cell.content["calibration"]) == dict(cell.needs) != {}


def test_how_the_picture_is_optimised_changes_the_cells_and_not_the_calibration() -> None:
    grid = figure("figure2")
    before = make_plan(grid, inputs_of(grid))
    after = make_plan(grid.with_setting(None, 400, {"optimizer": "adam", "learning_rate": 2.0}), inputs_of(grid))
    assert ids(before, "calibration") == ids(after, "calibration")
    full = {place.cells["full"] for place in after.places}
    assert not full & ids(before)
    deeper = make_plan(grid.with_setting(None, None, {"poly_c": 1.0}), inputs_of(grid))
    assert not ids(before, "calibration") & ids(deeper, "calibration")


def test_the_release_preset_has_its_own_constants_and_no_calibration() -> None:
    grid = figure("figure2").with_setting(None, None, {"preset": "release"})
    assert ids(make_plan(grid, inputs_of(grid)), "calibration") == set()


def test_the_seed_is_shared_by_methods_gammas_weights_and_layer_sets() -> None:
    for name in FIGURES:
        seeds: dict[tuple, set[int]] = {}
        plan = plan_of(name, replicates=2)
        for place in plan.places:
            at = place.coordinates
            for cell_id in place.cells.values():
                key = (at["content"], at["style"], at["replicate"])
                seeds.setdefault(key, set()).add(plan.cells[cell_id].content["config"]["seed"])
        assert all(len(each) == 1 for each in seeds.values())
        assert len({seed for each in seeds.values() for seed in each}) == len(seeds)


def test_a_seed_is_the_hash_of_figure_pair_and_replicate() -> None:
    pair = Pair("a", "b")
    seeds = {seed_of("figure2", pair, 0), seed_of("figure3", pair, 0), seed_of("figure2", Pair("b", "a"), 0),
             seed_of("figure2", pair, 1), seed_of("figure2", Pair("ab", ""), 0)}  # fmt: skip
    assert len(seeds) == 5
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seed_of("figure2", pair, 0) == seed_of("figure2", pair, 0)


def test_replicates_repeat_every_cell_and_share_the_calibration() -> None:
    plan = plan_of(replicates=3, stages=("full",))
    assert len(ids(plan)) == 60
    assert len(ids(plan, "calibration")) == 4


def test_the_preview_is_192_px_and_100_iterations_and_left_out_where_it_is_the_full_setting() -> None:
    settings = {(cell.content["config"]["size"], cell.content["config"]["iterations"])
                for cell in plan_of().stage("preview") if cell.kind == "transfer"}  # fmt: skip
    assert settings == {(192, 100)}
    small = figure("figure2").with_setting(160, 50, {})
    assert make_plan(small, inputs_of(small)).stages == ["full"]


def test_a_preview_is_the_whole_figure_with_the_full_cells_that_are_no_larger() -> None:
    grid = parse_grid({"pairs": [{"content": "a", "style": "b"}], "sizes": [160, 512], "iterations": 50,
                       "rows": ["size"]})  # fmt: skip
    plan = make_plan(grid, inputs_of(grid))
    look = [cell.content["config"]["size"] for cell in plan.first_look() if cell.kind == "transfer"]
    assert (plan.stages, sorted(look)) == (["preview", "full"], [160, 192])
    small = figure("figure2").with_setting(160, 50, {})
    whole = make_plan(small, inputs_of(small))
    assert {cell.id for cell in whole.first_look()} == set(whole.cells)


def test_rows_and_columns_are_laid_out_as_in_the_paper() -> None:
    two, three, four = plan_of("figure2"), plan_of("figure3"), plan_of("figure4")
    assert list(two.rows) == ["linear", "poly", "gaussian", "bn"]
    assert list(two.columns) == ["γ = 0.1", "γ = 0.2", "γ = 1", "γ = 5", "γ = 10"]
    assert len(three.rows) == 6 and list(three.columns) == ["linear", "poly", "gaussian", "bn"]
    assert len(four.rows) == 4 and next(iter(four.columns)) == "0.9, 0.1"


def test_figures_share_no_seed_and_a_grid_may_give_its_own() -> None:
    grid = parse_grid({"pairs": [{"content": "a", "style": "b"}], "seeds": [7, 8]})
    plan = make_plan(grid, inputs_of(grid), stages=("full",))
    assert sorted(plan.cells[i].content["config"]["seed"] for i in ids(plan)) == [7, 8]


def test_a_grid_of_ones_own_has_the_same_cells_wherever_it_lies_and_others_with_another_start(
    tmp_path: Path, pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cells_in(folder: Path, start: Path = pictures[1]) -> list[Plan]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in (("photo.png", pictures[0]), ("painting.png", pictures[1]), ("start.png", start)):
            (folder / name).write_bytes(source.read_bytes())
        (folder / "mine.toml").write_text(
            'methods = ["bn"]\npairs = [{ content = "photo.png", style = "painting.png" }]\n'
            '[config]\ninit = "start.png"\n'
        )
        monkeypatch.chdir(folder.parent)
        grids = [read_grid(path) for path in (folder / "mine.toml", Path(folder.name) / "mine.toml")]
        return [make_plan(grid, find_pictures(grid, TRUE, None, offline=True)) for grid in grids]

    here, there = cells_in(tmp_path / "a" / "grids"), cells_in(tmp_path / "b" / "elsewhere")
    assert len({frozenset(plan.cells) for plan in here + there}) == 1
    for plan, folder in ((here[0], tmp_path / "a" / "grids"), (there[1], tmp_path / "b" / "elsewhere")):
        for cell_id in ids(plan):
            assert plan.cells[cell_id].files["init"] == str(folder / "start.png")
            assert plan.cells[cell_id].content["inputs"]["init"] == file_hash(pictures[1])
    other = cells_in(tmp_path / "a" / "grids", start=pictures[0])
    assert not ids(other[0]) & ids(here[0]), "another start is another cell"
    assert ids(other[0], "calibration") == ids(here[0], "calibration")


def test_a_start_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'pairs = [{ content = "procedural:0-content", style = "procedural:0-style" }]\n[config]\ninit = "start.png"\n'
    )
    with pytest.raises(InputError, match=r"unknown picture 'start\.png'"):
        find_pictures(read_grid(path), TRUE, None, offline=True)
