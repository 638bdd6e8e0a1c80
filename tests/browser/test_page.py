"""The report's page in a real browser: `make test-browser`. Chromium runs headless, a script acts as the reader does,
and what it saw is read back from the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # figure_store

from figure_store import make_store

from reproduce.report import write_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
REQUIRED = bool(os.environ.get("TEST_BROWSER"))  # set by `make test-browser`

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium: apt-get install chromium"),
]
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")  # fmt: skip
SCHEMES = {"light": (), "dark": ("--blink-settings=preferredColorScheme=0",)}
WIDTHS = {"wide": "1280,900", "narrow": "500,900"}

HELPERS = """
<script>
window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)));
const key = (name) => document.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
const byId = (id) => document.getElementById(id);
function luminance(colour) {
  const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function background(node) {
  for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$|^transparent$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
}
function contrast(node) {
  const [a, b] = [luminance(getComputedStyle(node).color), luminance(background(node))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
</script>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = make_store(
        tmp_path_factory.mktemp("browser") / "figure2-surrogate",
        done=lambda place, stage: stage == "preview" or place.column < 2,
    )
    write_report(store)
    return store.folder


def look(folder: Path, script: str, scheme: str = "light", width: str = "wide", *more: str) -> dict[str, Any]:
    """Open the page, run `script` (a function body that returns an object) and give back what it returned."""
    if not CHROMIUM:
        pytest.fail("no Chromium; install it with: apt-get install chromium", pytrace=False)
    page = (folder / "index.html").read_text(encoding="utf-8")
    acting = (
        f"<script>addEventListener('load', () => {{ const seen = (() => {{ {script} }})();"
        "const out = document.createElement('pre'); out.id = 'seen';"
        "out.textContent = JSON.stringify({...seen, problems}); document.body.append(out); });</script>"
    )
    acted = folder / "acted.html"
    acted.write_text(
        page.replace("<head>", "<head>" + HELPERS).replace("</body>", acting + "</body>"), encoding="utf-8"
    )
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = [CHROMIUM, "--headless", *QUIET, *SCHEMES[scheme], *more, f"--window-size={WIDTHS[width]}",
               f"--user-data-dir={profile}", "--dump-dom", acted.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen = json.loads(unescape(found[1]))
    assert seen["problems"] == []
    return seen


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_readable_light_and_dark_wide_and_narrow(folder: Path, scheme: str, width: str) -> None:
    seen = look(
        folder,
        """
        document.querySelectorAll("details").forEach((each) => each.open = true);
        const readable = "p, h1, h2, td, th, dt, dd, summary, .head, .badge, li, pre, figcaption";
        const words = [...document.querySelectorAll(readable)];
        const width = (each) => Math.round(each.getBoundingClientRect().width);
        return {dark: matchMedia("(prefers-color-scheme: dark)").matches, width: innerWidth,
          page: document.documentElement.scrollWidth, paper: luminance(background(document.body)),
          worst: Math.min(...words.filter((each) => each.textContent.trim() && !each.closest("dialog")).map(contrast)),
          broken: [...document.images].filter((each) => each.closest("main") && !each.naturalWidth).length,
          tiles: [...document.querySelectorAll(".tile img")].map(width)};
        """,
        scheme,
        width,
    )
    assert seen["dark"] == (scheme == "dark")
    assert (seen["paper"] < 0.05) == (scheme == "dark")
    assert seen["worst"] >= 4.5, "WCAG AA"
    assert seen["page"] <= seen["width"], "the page itself never scrolls sideways"
    assert seen["broken"] == 0
    assert len(seen["tiles"]) == 20
    assert min(seen["tiles"]) >= 90 and max(seen["tiles"]) - min(seen["tiles"]) <= 1


def test_a_click_shows_a_cell_in_full_size_with_its_curve_and_numbers(folder: Path) -> None:
    seen = look(
        folder,
        """
        const tiles = [...document.querySelectorAll(".tile[data-cell]")];
        tiles[6].click();
        return {open: byId("viewer").open, title: byId("viewer-title").textContent, label: tiles[6].dataset.label,
          same: byId("after").src === tiles[6].querySelector("img").src,
          larger: byId("after").getBoundingClientRect().width > tiles[6].getBoundingClientRect().width,
          curve: byId("about").querySelectorAll("svg .line").length, about: byId("about").textContent};
        """,
    )
    assert seen["open"] and seen["same"] and seen["larger"]
    assert seen["title"] == seen["label"]
    assert seen["curve"] == 3, "total, content, style"
    assert "beta'" in seen["about"] and "gradient norms" in seen["about"]


def test_keys_go_from_cell_to_cell_and_back_to_the_figure(folder: Path) -> None:
    seen = look(
        folder,
        """
        const tiles = [...document.querySelectorAll(".tile[data-cell]")];
        const titles = [];
        tiles[0].click();
        for (const name of ["ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft"]) {
          key(name);
          titles.push(tiles.findIndex((each) => each.dataset.label === byId("viewer-title").textContent));
        }
        byId("close").click();
        const focused = tiles.every((each) => each.tabIndex === 0 && each.tagName === "BUTTON");
        return {titles, open: byId("viewer").open, focused};
        """,
    )
    assert seen["titles"] == [1, 2, 1, 0, 19]
    assert not seen["open"] and seen["focused"]


def test_the_slider_draws_content_or_style_over_the_picture(folder: Path) -> None:
    seen = look(
        folder,
        """
        document.querySelectorAll(".tile[data-cell]")[3].click();
        const covered = () => getComputedStyle(byId("before")).clipPath;
        const original = (role) => document.querySelector(`img[data-original="${role}-all"]`).src;
        const before = covered();
        key("c");
        const content = byId("before").src === original("content");
        byId("slider").value = 25; byId("slider").dispatchEvent(new Event("input"));
        const quarter = covered();
        key("s");
        const pressed = [...document.querySelectorAll("button[data-original][aria-pressed=true]")];
        return {before, quarter, content, style: byId("before").src === original("style"),
          pressed: pressed.map((each) => each.dataset.original)};
        """,
    )
    assert seen["content"] and seen["style"] and seen["pressed"] == ["style"]
    assert "100%" in seen["before"] and "75%" in seen["quarter"]


def test_previews_are_marked(folder: Path) -> None:
    seen = look(folder, 'return {marks: [...document.querySelectorAll(".badge")].map((each) => each.textContent)};')
    assert seen["marks"] == ["preview"] * 12


def test_it_prints_as_a_pdf_without_the_controls(folder: Path) -> None:
    if not CHROMIUM:
        pytest.fail("no Chromium; install it with: apt-get install chromium", pytrace=False)
    target = folder / "printed.pdf"
    command = [CHROMIUM, "--headless", *QUIET, f"--user-data-dir={folder / 'printer'}", "--no-pdf-header-footer",
               f"--print-to-pdf={target}", (folder / "index.html").as_uri()]  # fmt: skip
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    data = target.read_bytes()
    assert data.startswith(b"%PDF-")
    pages = max(map(int, re.findall(rb"/Count (\d+)", data)))
    assert 2 <= pages <= 8
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    assert box is not None and float(box[1]) > float(box[2]), "landscape, as the page asks"
