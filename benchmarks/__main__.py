"""python -m benchmarks: what an iteration costs here, section by section; JSON, and tables in Markdown."""

from __future__ import annotations

import signal
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import click

import model_zoo
from model_zoo import samples
from model_zoo.errors import InputError
from model_zoo.files import make_folder, write_bytes, write_json
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.progress import duration, say
from neural_style_mmd.record import describe_machine
from neural_style_mmd.threads import choose_threads, usable_cores

from . import tables
from .against_torch import is_installed
from .processes import ChildFailed
from .revisions import commit_of
from .sections import SECTIONS, Section
from .setting import BASELINES, EDGE, ITERATIONS, PAIRS, SIZES, Setting

SMALLEST_SIZE = 32  # pixels
EDGES = click.IntRange(samples.SMALLEST_WIDTH, samples.LARGEST_WIDTH)


class _Numbers(click.ParamType):
    """Whole numbers joined by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(each) for each in value.split(","))
        except ValueError:
            self.fail(f"{value!r}: give whole numbers joined by commas, such as 512,1024")


@click.command(name="python -m benchmarks", context_settings={"max_content_width": 120})
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)), metavar="[SECTION]...")
@click.option("--width", default=512, show_default=True, type=click.IntRange(min=SMALLEST_SIZE))
@click.option("--height", default=384, show_default=True, type=click.IntRange(min=SMALLEST_SIZE))
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(min=1), help="Measurements that count.")
@click.option("--method", "methods", multiple=True, help="Only this one (repeatable; a+b for a fusion).")
@click.option("--sizes", default=SIZES, type=_Numbers(), help="Long edges of the section sizes.")
@click.option("--pairs", default=PAIRS, type=_Numbers(), help="Sample pairs of the section quality.")
@click.option("--edge", default=EDGE, show_default=True, type=EDGES, help="Their long edge.")
@click.option("--iterations", default=ITERATIONS, show_default=True, type=click.IntRange(min=1), help="Its baselines'.")
@click.option(
    "--against", multiple=True, default=BASELINES, type=click.Choice(BASELINES), help="Its baselines (repeatable)."
)
@click.option("--revision", "revisions", multiple=True, help="What the section revisions compares with (repeatable).")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the numbers here.")
@click.option("--markdown", "markdown_path", type=click.Path(path_type=Path), help="Write the tables here.")
def main(sections: tuple[str, ...], json_path: Path | None, markdown_path: Path | None, **choices: Any) -> None:
    """Measure this package on this machine. SECTION: iterations, torch, bf16, roofline, stages, memory, sizes, threads,
    grid; all these by default. quality, the preset fast against 500 iterations of three optimizers, is measured only
    where it is named: a row takes minutes, the 24 of them an hour or more, and at full size (--edge 512) far longer,
    against one alone (--against adam) about half an hour each. And revisions, this tree against each --revision of the
    same repository, such as HEAD for what is not committed yet."""
    try:
        _check(sections, choices, [path for path in (json_path, markdown_path) if path is not None])
        choose_threads(None)
        model_zoo.load("surrogate", notify=say)  # made once, in no measured process
    except InputError as error:
        raise click.UsageError(str(error)) from error
    report: dict[str, Any] = {"machine": _machine(), "size": [choices["width"], choices["height"]]}
    report |= {"rounds": choices["rounds"], "sections": {}}
    click.echo(tables.machine(report["machine"]))
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(folder=Path(folder), say=say, **choices)
        for name in sections or [name for name, each in SECTIONS.items() if not each.on_request]:
            report["sections"][name] = result = _measure(SECTIONS[name], setting)
            click.echo("\n" + tables.plain(SECTIONS[name].title, SECTIONS[name].columns, result))
            if json_path:
                write_json(json_path, report)
            if markdown_path:
                write_bytes(markdown_path, _markdown(report).encode())
    if any("failed" in result for result in report["sections"].values()):
        raise SystemExit(1)


def _check(sections: tuple[str, ...], choices: dict[str, Any], outputs: list[Path]) -> None:
    """Refuse what no section could use, and make the folders, before anything is measured."""
    if ("revisions" in sections) != bool(choices["revisions"]):
        raise InputError("the section revisions and --revision are of use only together: name both, or none")
    for revision in choices["revisions"]:
        commit_of(revision)
    for method in choices["methods"]:
        TransferConfig(method=tuple(method.split("+")))
    for edge in choices["sizes"]:
        if edge < SMALLEST_SIZE:
            raise InputError(f"--sizes: got {edge}; a long edge has at least {SMALLEST_SIZE} pixels")
    for pair in choices["pairs"]:
        samples.require_pair(pair)
    for path in outputs:
        make_folder(path.parent)


def _measure(section: Section, setting: Setting) -> dict[str, Any]:
    """The section's result; one that fails says why, and the others go on."""
    began = monotonic()
    try:
        result = section.measure(setting)
    except (InputError, ChildFailed) as error:
        result = {"rows": [], "failed": str(error)}
    return result | {"seconds": round(monotonic() - began, 1)}


def _machine() -> dict[str, Any]:
    """The record of the machine, with its cores and, where it is there, PyTorch's version."""
    about = describe_machine() | {"cores": usable_cores()}
    if is_installed():
        about["versions"]["torch"] = version("torch")
    return about


def _markdown(report: dict[str, Any]) -> str:
    width, height = report["size"]
    head = (
        f"{width} x {height} unless said, {report['rounds']} rounds; medians, quartiles in brackets.\n\n"
        f"{tables.machine(report['machine'])}\n"
    )
    parts = [
        tables.markdown(SECTIONS[name].title, SECTIONS[name].columns, result)
        + f"\nMeasured in {duration(result['seconds'])}.\n"
        for name, result in report["sections"].items()
    ]
    return "\n".join([head, *parts])


if __name__ == "__main__":
    # Python ends at once by default, and leaves a child that works on beside whatever is measured next.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
