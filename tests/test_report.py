"""The report: what is in the page, the sheet, the PDF and the table, for a whole and for a half-done figure."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from figure_store import TRUE, make_store
from PIL import Image

from model_zoo.files import file_hash
from reproduce.cells import Place
from reproduce.curves import chart
from reproduce.figures import Grid
from reproduce.page import TEMPLATE
from reproduce.report import write_report
from reproduce.results import Results
from reproduce.store import Store
from reproduce.summary import summarise

VOID = {"meta", "img", "input", "br", "link", "path", "circle"}


class Page(HTMLParser):
    """Tags, texts and images of a page; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words += data

    def having(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            attrs for name, attrs in self.tags
            if name == tag and all(value in (attrs.get(key) or "").split() for key, value in attributes.items())
        ]  # fmt: skip


def page_of(store: Store) -> Page:
    write_report(store)
    return Page((store.folder / "index.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("report") / "figure2-surrogate")


def test_the_first_line_says_which_network_made_it(whole: Store, tmp_path: Path) -> None:
    words = page_of(whole).words.split("\n")
    first = next(line for line in words if line.strip() and not line.startswith("Figure"))
    assert first == "Surrogate network, not a reproduction. Made with the network surrogate (recipe 1, seed 0)"
    true = page_of(make_store(tmp_path / "figure2", network=TRUE))
    assert "not a reproduction" not in true.words
    assert "Made with the network vgg19.params" in true.words


def test_the_page_needs_no_other_file_and_no_address(whole: Store) -> None:
    page = page_of(whole)
    sources = [attrs["src"] for _, attrs in page.tags if attrs.get("src")]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not page.having("link")
    assert {attrs.get("href") for attrs in page.having("a")} == {"metrics.csv"}
    assert not re.search(r"https?://", (whole.folder / "index.html").read_text())


def test_the_figure_has_the_papers_rows_and_columns(whole: Store) -> None:
    page = page_of(whole)
    tiles = page.having("button", **{"class": "tile"})
    labels = [tile["data-label"] for tile in tiles]
    gammas = ["0.1", "0.2", "1", "5", "10"]
    expected = [f"{method}, γ = {gamma}," for method in ("linear", "poly", "gaussian", "bn") for gamma in gammas]
    assert [label[: len(start)] for label, start in zip(labels, expected, strict=True)] == expected  # type: ignore[index]
    assert not page.having("span", **{"class": "badge"}), "a full figure has no preview marks"
    for tile in tiles:
        assert page.having("details", id=f"cell-{tile['data-cell']}"), "the viewer shows these facts"


@pytest.mark.parametrize("name", ["figure1", "figure3", "figure4"])
def test_every_figure_has_a_page(name: str, tmp_path: Path) -> None:
    page = page_of(make_store(tmp_path / name, name))
    assert len(page.having("button", **{"class": "tile"})) == {"figure1": 20, "figure3": 24, "figure4": 20}[name]
    assert (tmp_path / name / f"{name}.pdf").read_bytes().startswith(b"%PDF-")
    originals = {attrs["data-original"] for attrs in page.having("img") if "data-original" in attrs}
    rows = {"figure1": 0, "figure3": 6, "figure4": 4}[name]
    pairs = {f"{role}-{row}" for row in range(rows) for role in ("content", "style")}
    assert originals == (pairs or {"style-all"})


def test_previews_in_a_full_figure_are_marked_and_missing_and_failed_cells_shown(tmp_path: Path) -> None:
    def done(place, stage: str) -> bool:
        return place.column == 0 if stage == "full" else place.column < 3

    store = make_store(tmp_path / "half", done=done)
    plan = store.read_plan()
    lost = next(place for place in plan["places"] if (place["row"], place["column"]) == (1, 4))
    log = tmp_path / "log.txt"
    log.write_text("line one\n<script>alert(1)</script>\n")
    failure = {"label": "poly, γ = 10", "reason": "killed by SIGKILL", "host": "here"}
    store.record_failure(lost["cells"]["preview"], failure, log)
    page = page_of(Store(store.folder))
    assert len(page.having("span", **{"class": "badge"})) == 8
    assert len(page.having("div", **{"class": "empty"})) == 8
    assert "12 of 20 pictures" in page.words and "8 of them still previews" in page.words
    assert "killed by SIGKILL" in page.words
    assert "<script>alert(1)</script>" in page.words, "a log is text, not a script"
    assert "cannot be said" in page.words


def test_verdicts_are_computed_and_begin_with_the_network(tmp_path: Path) -> None:
    def numbers(at) -> dict:
        g = at["gamma"]
        return {"content": g + at["replicate"] / 100, "style": {at["method"]: 1 / (1 + g) + at["replicate"] / 1000}}

    page = page_of(make_store(tmp_path / "three", replicates=3, numbers=numbers))
    assert page.words.count("with the surrogate network: holds") == 2
    assert "with the surrogate network: within noise" in page.words, "all colours are equal"
    once = page_of(make_store(tmp_path / "one", network=TRUE, numbers=numbers))
    assert "observed once" in once.words and "surrogate" not in once.words


def test_the_sheet_carries_the_burned_in_line(whole: Store, tmp_path: Path) -> None:
    write_report(whole)
    with Image.open(whole.folder / "figure2.png") as sheet:
        assert sheet.info["Comment"] == "surrogate network, not a reproduction"
        foot = np.array(sheet)[-5:]
    assert np.all(foot == (160, 0, 0)), "the band across the whole foot"
    true = make_store(tmp_path / "figure2", network=TRUE)
    write_report(true)
    with Image.open(true.folder / "figure2.png") as sheet:
        assert "Comment" not in sheet.info
        assert np.all(np.array(sheet)[-3:] == 255)


def test_seeds_of_the_grid_are_replicates_and_the_page_says_how_they_were_judged(tmp_path: Path) -> None:
    words = page_of(make_store(tmp_path / "figure2", seeds=(7, 8, 9), done=lambda place, stage: stage == "full")).words
    assert "Over 3 replicates, each comparison by a one-sided t test" in words
    assert "replicate 1 of 3 is shown" in words


def test_a_picture_that_is_gone_or_another_now_is_not_shown_as_the_runs(tmp_path: Path) -> None:
    store = make_store(tmp_path / "figure3", "figure3", done=lambda place, stage: place.row == 0)
    paths = {name: Path(each["path"]) for name, each in store.read_plan()["inputs"]["pictures"].items()}
    paths["the_scream.jpg"].unlink()
    paths["starry_night.jpg"].write_bytes(paths["frida_kahlo.jpg"].read_bytes())
    paths["shipwreck.jpg"].write_text("no picture")
    page = page_of(store)
    shown = {attrs["data-original"] for attrs in page.having("img") if "data-original" in attrs}
    assert shown == {f"content-{row}" for row in range(6)} | {"style-0", "style-3", "style-5"}
    assert page.words.count("changed since") == 2 and page.words.count("not there any more") == 1

    plan = store.read_plan()
    plan["inputs"]["pictures"]["shipwreck.jpg"]["sha256"] = file_hash(paths["shipwreck.jpg"])
    store.write_plan(plan)
    assert page_of(store).words.count("not a picture that can be read") == 1

    two = make_store(tmp_path / "figure2")
    Path(two.read_plan()["inputs"]["pictures"]["tubingen.jpg"]["path"]).unlink()
    assert "not there any more" in page_of(two).words


def test_every_version_that_made_a_cell_is_named(tmp_path: Path) -> None:
    def numbers(at) -> dict:
        return {"versions": {"mxnet": "1.9.0"}} if at["gamma"] == 10 else {}

    words = page_of(make_store(tmp_path / "figure2", numbers=numbers)).words
    assert "python 3.11, mxnet 1.9.0, numerics 1; python 3.11, mxnet 1.9.1, numerics 1" in words


def test_the_pdf_is_one_page_at_300_dpi(whole: Store) -> None:
    write_report(whole)
    data = (whole.folder / "figure2.pdf").read_bytes()
    with Image.open(whole.folder / "figure2.png") as sheet:
        width, height = sheet.size
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+)", data)
    assert box is not None and data.count(b"/MediaBox") == 1
    assert float(box[1]) == pytest.approx(width * 72 / 300, abs=0.1)
    assert float(box[2]) == pytest.approx(height * 72 / 300, abs=0.1)


def test_the_table_has_a_row_for_every_done_cell_with_every_number(whole: Store) -> None:
    write_report(whole)
    rows = list(csv.DictReader((whole.folder / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 40
    assert {row["stage"] for row in rows} == {"preview", "full"}
    assert {row["network"] for row in rows} == {"surrogate"}
    for row in rows:
        assert float(row["style.gaussian"]) == 0.5 and float(row["style.bn.relu5_1"]) == 0.5
        assert row["method"] in ("linear", "poly", "gaussian", "bn") and len(row["cell"]) == 64
        assert int(row["seed"]) == int(rows[0]["seed"])


def test_a_report_of_nothing_is_a_page_too(tmp_path: Path) -> None:
    store = make_store(tmp_path / "empty", done=lambda place, stage: False)
    page = page_of(store)
    assert "0 of 20 pictures" in page.words
    assert not (store.folder / "figure2.png").exists()


def test_the_full_picture_replaces_the_preview(whole: Store) -> None:
    assert {tile.stage for tile in Results(whole).tiles} == {"full"}
    assert Results(whole).judged_stage == "full"


def test_a_preview_of_mixed_sizes_is_judged_with_the_small_pictures_that_need_none(tmp_path: Path) -> None:
    def mixed(grid: Grid) -> Grid:
        blocks = tuple({**block, "sizes": (160, 512)} for block in grid.blocks)
        return replace(grid, blocks=blocks, iterations=50, rows=("method", "size"))

    def previewed(place: Place, stage: str) -> bool:
        return stage == next(iter(place.cells))

    store = make_store(tmp_path / "mixed", changed=mixed, done=previewed)
    results = Results(store)
    assert {tile.stage for tile in results.tiles} == {"preview", "full"}
    assert (results.shown_stage, results.judged_stage) == ("preview", "preview")
    assert len(results.observations) == len(results.tiles) == 40
    assert {each.at["size"] for each in results.observations} == {160, 512}
    assert "preview setting: long edge 160 to 192 px, at most 50 iterations" in results.setting("preview")


def test_status_counts_by_stage(tmp_path: Path) -> None:
    store = make_store(tmp_path / "half", done=lambda place, stage: stage == "preview" and place.row == 0)
    lines = list(summarise(store))
    assert "[surrogate]" in lines[0]
    assert lines[1:] == ["  preview: 24 cells, 5 done, 19 pending", "  full: 24 cells, 24 pending"]


def test_a_chart_draws_its_points_where_they_are() -> None:
    svg = chart({"a": [(0, 1), (10, 100)], "<b>": [(0, 10), (10, 10)]}, title="t", x_label="x", y_label="y", log_y=True)
    lines = re.findall(r'class="line s(\d)" d="M([^"]+)"', svg)
    points = {int(k): [tuple(map(float, p.split())) for p in d.split("L")] for k, d in lines}
    (x0, y0), (x1, y1) = points[0]
    assert x0 < x1 and y0 > y1
    assert points[1][0][1] == pytest.approx((y0 + y1) / 2, abs=0.2), "10 is halfway from 1 to 100 on a log axis"
    assert "&lt;b&gt;" in svg
    many = chart({f"series {k}": [(0, k), (1, k)] for k in range(15)}, title="t", x_label="x", y_label="y")
    looks = re.findall(r'class="line ([^"]+)"', many)
    style = (TEMPLATE / "page.css").read_text()
    assert len(set(looks)) == 15, "no two look alike"
    for name in {each for look in looks for each in look.split()}:
        assert re.search(rf"\.chart (\.line)?\.{name} {{ stroke", style) and f".legend .{name}::before" in style
    assert re.findall(r'<li class="([^"]+)"', many) == looks
    assert chart({"a": [(0, float("nan"))]}, title="t", x_label="x", y_label="y") == ""
    assert "M" in chart({"a": [(1, 1)]}, title="t", x_label="x", y_label="y")
