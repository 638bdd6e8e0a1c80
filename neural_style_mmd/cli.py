"""The command line: argv -> TransferConfig -> transfer -> picture and record. Options are the config's fields."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model_zoo.command_line import OneLineGroup
from model_zoo.errors import InputError

from .beta_table_command import beta_table
from .config import METHODS, TransferConfig
from .presets import PRESETS
from .score_command import score

if TYPE_CHECKING:
    from model_zoo.weights import Weights

    from .stylization import Progress, Result


class _Commas(click.ParamType):
    """A comma-separated text as a tuple; "auto" or nothing as the empty one."""

    def __init__(self, kind: type, name: str) -> None:
        self._kind, self.name = kind, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple:
        if isinstance(value, tuple):
            return value
        if value in ("", "auto"):
            return ()
        try:
            return tuple(self._kind(part.strip()) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers joined by commas", param, ctx)


_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "tuple[str, ...]": _Commas(str, "names"),
    "tuple[float, ...]": _Commas(float, "numbers"),
}


def config_options(command: Callable) -> Callable:
    """Adds an option for each field of TransferConfig, with its help, the paper preset's value and source, and the
    other presets' values where they differ. See `config_from`."""
    for item in reversed(fields(TransferConfig)):
        command = click.option(
            "--" + item.name.replace("_", "-"),
            item.name,
            type=_TYPES[str(item.type)],
            is_flag=True if item.type == "bool" else None,
            help=f"{item.metadata['help']}{_shown_defaults(item.name, item.default)}",
        )(command)
    return command


def config_from(choices: dict[str, Any]) -> TransferConfig:
    """The configuration of the options that the user gave, so that the preset's values hold for the others."""
    given = click.get_current_context().get_parameter_source
    default = click.core.ParameterSource.DEFAULT
    return TransferConfig(**{name: value for name, value in choices.items() if given(name) is not default})


def _shown_defaults(name: str, default: Any) -> str:
    values = {preset: settings[name] for preset, settings in PRESETS.items() if name in settings}
    if not values:  # the preset itself
        return f"  [default: {default}]"
    paper = values.pop("paper")
    others = {preset: choice.value for preset, choice in values.items() if choice.value != paper.value}
    shown = f"  [default: {_text(paper.value)}]" if paper.value not in ((), "") and paper.value is not False else ""
    return f"{shown}  [{paper.source}]" + "".join(f"  [{preset}: {_text(value)}]" for preset, value in others.items())


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def machine_options(command: Callable) -> Callable:
    """Adds the options that change where and how loudly a run happens, not what it makes."""
    for option in (
        click.option("--quiet", is_flag=True, help="Say nothing but errors."),
        click.option("--device", default="cpu", show_default=True, help="cpu, gpu or gpu:N (the GPU is untested)."),
        click.option("--threads", type=int, help="Threads of MXNet; every usable core by default."),
    ):
        command = option(command)
    return command


@click.group(
    cls=OneLineGroup,
    name="neural-style-mmd",
    commands=[beta_table, score],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(package_name="neural-style-mmd")
def cli() -> None:
    """Neural style transfer as distribution alignment (Li, Wang, Liu, Hou; IJCAI 2017), on MXNet."""


@cli.command()
@click.argument("pictures", nargs=-1, required=True, metavar="[CONTENT] STYLE")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The picture to write.")
@config_options
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep the run's state here, and go on from it.")
@click.option("--snapshot-every", type=click.IntRange(min=1), help="Save the picture every so many iterations too.")
@machine_options
def transfer(
    pictures: tuple[str, ...],
    output: Path,
    checkpoint: Path | None,
    snapshot_every: int | None,
    threads: int | None,
    device: str,
    quiet: bool,
    **choices: Any,
) -> int:
    """Give CONTENT the style of STYLE. With --alpha 0 there is no CONTENT: STYLE alone is reconstructed.

    Beside the picture lies its record, OUTPUT.json. Exit code 0: done (the change became small, or a limit was
    reached); 2: misuse or bad input; 3: diverged; 130: interrupted.
    """
    config = config_from(choices)
    if len(pictures) > 2:
        raise InputError(f"got {len(pictures)} pictures; give CONTENT and STYLE, or with --alpha 0 STYLE alone")
    content, style = pictures[0] if len(pictures) == 2 else None, pictures[-1]
    require_output(output, config.size)
    result = run(
        content, style, config, output, checkpoint=checkpoint, snapshot_every=snapshot_every, threads=threads,
        device=device, quiet=quiet,
    )  # fmt: skip
    _save(output, result)
    if not quiet:
        _report(output, result)
    return result.outcome.exit_code


@cli.command()
@click.argument("content")
@click.argument("style")
@click.option("--json", "as_json", is_flag=True, help="Print the balances as JSON.")
@config_options
@machine_options
@click.pass_context
def calibrate(
    context: click.Context,
    content: str,
    style: str,
    as_json: bool,
    threads: int | None,
    device: str,
    quiet: bool,
    **choices: Any,
) -> None:
    """Measure the gradient norms of the content loss and of each method's style loss, and give beta'.

    All methods are measured unless --method names some.
    """
    from .stylization import calibrate as measure

    given = context.get_parameter_source("method") is not click.core.ParameterSource.DEFAULT
    config = config_from(choices)
    methods = config.method if given else METHODS
    balances = measure(
        content, style, config, methods, threads=threads, device=device, notify=_say if not quiet else _nothing
    )
    if as_json:
        click.echo(json.dumps({name: balance.as_dict() for name, balance in balances.items()}, indent=2))
        return
    first = next(iter(balances.values()))
    click.echo(f"gradient norms on the picture at {first.point}; content loss {first.content_norm:.6g}")
    click.echo(f"{'method':10}{'style loss':>14}{'beta_prime':>14}{'ratio':>8}{'at start':>12}  layers")
    for name, balance in balances.items():
        norms = balance.style_norms[name]
        layers = "  ".join(f"{layer} {norm:.3g}" for layer, norm in norms["layers"].items())
        click.echo(
            f"{name:10}{norms['total']:14.6g}{balance.beta_prime[name]:14.6g}"
            f"{balance.ratio_at_point or 0:8.3f}{balance.ratio_at_start or float('nan'):12.4g}  {layers}"
        )
    if fixed := replace(config, method=methods, fusion=(), beta_prime=()).fixed_beta_prime:
        click.echo("beta' that the setting fixes: " + ", ".join(f"{name} {value:g}" for name, value in fixed.items()))


@cli.command()
@click.argument("record", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the picture that the repetition made.")
@click.option("--quiet", is_flag=True, help="Say nothing but the verdict.")
def rerun(record: Path, output: Path | None, quiet: bool) -> int:
    """Repeat the run of RECORD (OUT.png.json) and say whether the pixels match. Exit code 1 if they do not."""
    from .rerun import recorded_run

    past = recorded_run(record)
    if output is not None:
        require_output(output, past.config.size)
    result = run(past.content, past.style, past.config, output, threads=past.threads, quiet=quiet)
    if output is not None:
        _save(output, result)
    verdict, same = past.compare(result)
    click.echo(verdict)
    return 0 if same else 1


@cli.command()
@click.argument("pictures", nargs=-1, metavar="[CONTENT STYLE]")
@click.option("-o", "--output", default="out/demo", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--threads", type=int, help="Threads of MXNet; every usable core by default.")
def demo(pictures: tuple[str, ...], output: Path, threads: int | None) -> int:
    """Make one sheet, demo.png: content, style and the pictures of the paper's four methods.

    Without CONTENT and STYLE a procedural pair is taken, which needs no download.
    """
    from .demo import make_demo

    if len(pictures) not in (0, 2):
        raise InputError(f"got {len(pictures)} pictures; the demo takes a content and a style picture, or none")
    sheet, network = make_demo(pictures, output, threads=threads, run=run, save=_save, say=_say)
    click.echo(f"{sheet}\nnetwork: {network}")
    return 0


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the lines and the machine as JSON.")
@click.option("--weights", default="auto", show_default=True, help="Network; nothing is downloaded.")
@click.option("--threads", type=int, help="Threads of MXNet; every usable core by default.")
def verify(as_json: bool, weights: str, threads: int | None) -> int:
    """Check the paper's claims and this engine's numbers on this machine, in about a minute.

    Each line: claim, where it stands, measured, tolerance, verdict. Exit code 1 if a line fails; times never do.
    """
    from .threads import choose_threads

    choose_threads(threads)
    from .record import describe_machine
    from .verify import verify as lines_of

    lines = []
    for line in lines_of(weights, notify=_say):
        lines.append(line)
        if not as_json:
            tolerance = "" if line.tolerance is None else f"{line.tolerance:.0e}"
            click.echo(f"{line.claim:66}{line.source:24}{line.measured:10.3g} {line.unit:3}{tolerance:7}{line.verdict}")
    failed = [line for line in lines if line.verdict == "FAILS"]
    if as_json:
        whole = {"lines": [line.as_dict() for line in lines], "failed": len(failed), "machine": describe_machine()}
        click.echo(json.dumps(whole, indent=2))
    else:
        click.echo(f"{len(failed)} of {sum(line.tolerance is not None for line in lines)} checks fail")
    return 1 if failed else 0


@cli.command()
def versions() -> None:
    """Print the versions of what a result depends on; fails in one line where MXNet cannot be loaded."""
    from . import _mxnet  # noqa: F401 - the import is the check
    from .record import describe_machine

    machine = describe_machine()
    click.echo(", ".join(f"{name} {number}" for name, number in machine["versions"].items()))
    click.echo(f"{machine['threads']} threads, {machine['cpu']}, {machine['platform']}")


def require_output(path: Path, long_edge: int) -> None:
    """InputError unless a picture and its record can be written at `path`; before the first iteration."""
    from model_zoo.files import require_writable

    from .images import require_format

    require_format(path, long_edge)
    for each in (path, record_path(path)):
        require_writable(each)


def record_path(picture: Path) -> Path:
    """OUT.png -> OUT.png.json."""
    return picture.with_name(picture.name + ".json")


def run(
    content: str | None,
    style: str,
    config: TransferConfig,
    output: Path | None = None,
    *,
    checkpoint: Path | None = None,
    snapshot_every: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    weights: Weights | None = None,
    quiet: bool = False,
) -> Result:
    """One transfer with a progress line; the first Ctrl-C or SIGTERM ends it after the iteration in hand."""
    from .images import save_picture
    from .progress import ProgressLine
    from .stylization import transfer as make

    line = ProgressLine(sys.stderr, config.iterations)
    stopped: list[int] = []
    iterating = False

    def on_signal(number: int, frame: Any) -> None:
        if stopped or not iterating:
            raise KeyboardInterrupt
        stopped.append(number)

    def on_iterate(progress: Progress) -> None:
        nonlocal iterating
        iterating = True
        if not quiet:
            line.show(progress)
        if snapshot_every and output is not None and progress.iteration % snapshot_every == 0:
            save_picture(output.with_suffix(f".{progress.iteration:05d}{output.suffix}"), progress.image())
        if stopped:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return make(
            content, style, config, on_iterate=on_iterate, checkpoint_path=checkpoint, device=device, threads=threads,
            weights=weights, notify=_nothing if quiet else _say, command=sys.argv,
        )  # fmt: skip
    finally:
        line.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _save(output: Path, result: Result) -> None:
    from model_zoo.files import write_json

    from .images import save_picture
    from .record import picture_text

    save_picture(output, result.image, picture_text(result.record))
    write_json(record_path(output), result.record)


def _report(output: Path, result: Result) -> None:
    record = result.record
    weights = record["weights"]
    _say(f"{result.outcome.value} after {record['iterations']} iterations: {result.outcome.remedy}")
    _say(f"network: {weights['kind']} ({weights['name']}, sha256 {weights['sha256'][:12]})")
    for note in (*weights["notes"], *record["notes"]):
        _say(f"note: {note}")
    _say(f"wrote {output} and {record_path(output)}")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _nothing(text: str) -> None:
    pass
