"""The first thing a newcomer runs: one sheet with content, style and the pictures of the paper's four methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_zoo
from model_zoo.files import make_folder
from model_zoo.vgg19 import LAYERS, deepest_of

from .config import TransferConfig
from .images import crop_to_multiple, read_picture, resize, save_picture
from .outputs import require_apart
from .record import SURROGATE_NOTICE, picture_text
from .sheet import contact_sheet
from .stopping import Outcome

METHODS = ("linear", "poly", "gaussian", "bn")  # the order of the paper's figures
SETTINGS: dict[str, Any] = {"size": 256, "gamma": 5.0, "iterations": 100}
"""Our choice: four pictures within five minutes on two cores. gamma is that of the paper's Figure 4 and of half of its
Figure 3. By the paper's SGD: Adam, which gives each pixel a step of the same length, drew dots along the border."""

STRIDE = LAYERS[deepest_of(TransferConfig().layers)].stride
"""Poolings round down: what is left of an edge after its last multiple of this is not seen by the deepest layer, and
came out as a stripe of start colour. So the demo trims the content picture."""


def make_demo(
    pictures: tuple[str, ...],
    folder: Path,
    network: str,
    *,
    run: Callable[..., Any],
    say: Callable[[str], None],
) -> tuple[Path, str]:
    """Stylise the two `pictures` (content, style; none: the first procedural pair) by each method into `folder`.

    The content picture is scaled to the demo's size, trimmed to multiples of STRIDE and written there first.

    network: what model_zoo.load calls it. run: the command line's way to make one picture and to save it.
    Returns the path of the sheet, demo.png, and the network's name. Raises KeyboardInterrupt where a run was
    interrupted: its picture is kept, and there is no sheet.
    """
    make_folder(folder)
    if pictures:
        for name in (f"content-{SETTINGS['size']}", *METHODS, "demo"):
            named = zip(("the content picture", "the style picture"), pictures, strict=True)
            require_apart(folder / f"{name}.png", dict(named))
    content, style = pictures or _write_samples(folder)
    size = SETTINGS["size"]
    picture = read_picture(content)
    for note in picture.notes:  # the style's are said by the runs, which read its file
        say(f"content: {note}")
    trimmed = crop_to_multiple(resize(picture.pixels, size), STRIDE)
    content = str(folder / f"content-{size}.png")
    save_picture(content, trimmed)
    cells = [("content", trimmed), ("style", resize(read_picture(style).pixels, size))]
    weights = model_zoo.load(network, notify=say)
    for method in METHODS:
        say(f"{method}:")
        config = TransferConfig(method=(method,), weights=network, **SETTINGS)
        result = run(content, style, config, folder / f"{method}.png", weights=weights)
        if result.outcome is Outcome.DIVERGED:
            say(f"{result.outcome.value}: {result.outcome.remedy}")
        if result.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        cells.append((method, result.image))
    surrogate = weights.kind == "surrogate"
    sheet = contact_sheet(
        [cells[:3], cells[3:]],
        title=f"Demystifying Neural Style Transfer, gamma {SETTINGS['gamma']:g}",
        burned_in=SURROGATE_NOTICE if surrogate else None,
    )
    path = folder / "demo.png"
    save_picture(path, sheet, picture_text({"weights": result.record["weights"]}))
    return path, f"{weights.kind} ({SURROGATE_NOTICE})" if surrogate else weights.kind


def _write_samples(folder: Path) -> tuple[str, str]:
    from model_zoo.samples import pair

    sample = pair(0)
    paths = str(folder / "content.png"), str(folder / "style.png")
    for path, pixels in zip(paths, (sample.content, sample.style), strict=True):
        save_picture(path, pixels)
    return paths
