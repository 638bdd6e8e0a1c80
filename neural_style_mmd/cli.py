"""The command line: argv -> TransferConfig -> transfer -> picture and record. Options are the config's fields."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model_zoo.command_line import OneLineGroup
from model_zoo.errors import InputError
from model_zoo.files import write_json

from .beta_table_command import beta_table
from .config import METHODS, TransferConfig
from .interruption import Interruption
from .options import config_from, config_options, machine_options, require_one_volume
from .outputs import record_path, require_apart, require_output, snapshot_path
from .progress import ProgressLine, balance_lines, machine_lines, network_line, say, setting_lines
from .score_command import score
from .threads import choose_threads

if TYPE_CHECKING:
    from model_zoo.weights import Weights

    from .calibration import Balance
    from .setting import Setting
    from .stylization import Progress, Result


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
    verbose: bool,
    **choices: Any,
) -> int:
    """Give CONTENT the style of STYLE. With --alpha 0 there is no CONTENT: STYLE alone is reconstructed.

    Beside the picture lies its record, OUTPUT.json. Exit code 0: done (the change became small, or a limit was
    reached); 2: misuse or bad input; 3: diverged; 130: interrupted.
    """
    require_one_volume(quiet, verbose)
    config = config_from(choices)
    if len(pictures) > 2:
        raise InputError(f"got {len(pictures)} pictures; give CONTENT and STYLE, or with --alpha 0 STYLE alone")
    content, style = pictures[0] if len(pictures) == 2 else None, pictures[-1]
    require_output(output, config, snapshot_every)
    require_apart(output, {**_inputs(content, style, config), "--checkpoint": checkpoint}, snapshot_every)
    try:
        result = run(
            content, style, config, output, checkpoint=checkpoint, snapshot_every=snapshot_every, threads=threads,
            device=device, quiet=quiet, verbose=verbose,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"stopped before there was a picture: {output} is not written")
        raise
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
    verbose: bool,
    **choices: Any,
) -> None:
    """Measure the gradient norms of the content loss and of each method's style loss, and give beta'.

    All methods are measured unless --method names some.
    """
    from .stylization import calibrate as measure

    require_one_volume(quiet, verbose)
    given = context.get_parameter_source("method") is not click.core.ParameterSource.DEFAULT
    config = config_from(choices)
    methods = config.method if given else METHODS
    details, notify = (_nothing, _nothing) if quiet else (_Details(verbose), say)
    balances = measure(
        content, style, config, methods, threads=threads, device=device, on_balance=details, notify=notify
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
    from .setting import load_network
    from .stopping import Outcome

    past = recorded_run(record)
    if output is not None:
        require_output(output, past.config)
        require_apart(output, _inputs(past.content, past.style, past.config))
    weights = load_network(past.config, past.threads, _nothing if quiet else say)
    if (other := past.other_network(weights)) is not None:
        click.echo(other)
        return 1
    result = run(past.content, past.style, past.config, threads=past.threads, weights=weights, quiet=quiet)
    if result.outcome is Outcome.INTERRUPTED:
        raise KeyboardInterrupt  # what there is of a picture is neither compared nor kept
    if output is not None:
        _save(output, result)
    verdict, same = past.compare(result)
    click.echo(verdict)
    return 0 if same else 1


@cli.command()
@click.argument("pictures", nargs=-1, metavar="[CONTENT STYLE]")
@click.option("-o", "--output", default="out/demo", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--weights", default="auto", show_default=True, help="Network, as in transfer.")
@click.option("--threads", type=int, help="Threads of MXNet; every usable core by default.")
def demo(pictures: tuple[str, ...], output: Path, weights: str, threads: int | None) -> int:
    """Make one sheet, demo.png: content, style and the pictures of the paper's four methods.

    Without CONTENT and STYLE a procedural pair is taken, which needs no download.
    """
    from .demo import make_demo

    if len(pictures) not in (0, 2):
        raise InputError(f"got {len(pictures)} pictures; the demo takes a content and a style picture, or none")
    choose_threads(threads)
    sheet, network = make_demo(pictures, output, weights, run=run, say=say)
    click.echo(f"{sheet}\nnetwork: {network}")
    return 0


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the lines and the machine as JSON.")
@click.option("--weights", default="auto", show_default=True, help="Network; nothing is downloaded.")
@click.option("--threads", type=int, help="Threads of MXNet; every usable core by default.")
def verify(as_json: bool, weights: str, threads: int | None) -> int:
    """Check the paper's claims and this engine's numbers on this machine, in a minute or two.

    Each line: claim, where it stands, measured, tolerance, verdict. Exit code 1 if a line fails; times never do.
    """
    choose_threads(threads)
    from .record import describe_machine
    from .verify import verify as lines_of

    lines = []
    for line in lines_of(weights, notify=say):
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

    click.echo("\n".join(machine_lines(describe_machine())))


def _inputs(content: str | None, style: str, config: TransferConfig) -> dict[str, Any]:
    """The files that a run reads, {what: path}; names of a start or of a network are among them."""
    pictures = {"the content picture": content, "the style picture": style}
    return {**pictures, "--init": config.init, "--weights": config.weights}


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
    verbose: bool = False,
) -> Result:
    """One transfer with a progress line, saved at `output` if that is given; see Interruption for Ctrl-C."""
    from .images import save_picture
    from .record import picture_text
    from .stylization import transfer as make

    line = ProgressLine(sys.stderr, config.iterations, verbose)
    details = _Details(verbose=True) if verbose else _nothing
    network: dict[str, Any] = {}  # filled when the iterations begin

    def on_balance(setting: Setting, balance: Balance) -> None:
        details(setting, balance)
        network.update(setting.network)
        interruption.begin()

    def on_iterate(progress: Progress) -> None:
        if not quiet:
            line.show(progress)
        if snapshot_every and output is not None and progress.iteration % snapshot_every == 0:
            text = picture_text({"weights": network, "iterations": progress.iteration})
            save_picture(snapshot_path(output, progress.iteration), progress.image(), text)
        interruption.after_iteration()

    with Interruption() as interruption:
        try:
            result = make(
                content, style, config, on_balance=on_balance, on_iterate=on_iterate, on_end=interruption.end,
                checkpoint_path=checkpoint, device=device, threads=threads, weights=weights,
                notify=_nothing if quiet else say, command=sys.argv,
            )  # fmt: skip
        finally:
            line.close()
        if output is not None:
            _save(output, result)
    return result


def _save(output: Path, result: Result) -> None:
    from .images import save_picture
    from .record import picture_text

    save_picture(output, result.image, picture_text(result.record))
    write_json(record_path(output), result.record)


def _report(output: Path, result: Result) -> None:
    record = result.record
    weights = record["weights"]
    say(f"{result.outcome.value} after {record['iterations']} iterations: {result.outcome.remedy}")
    say(network_line(weights))
    for note in (*weights["notes"], *record["notes"]):
        say(f"note: {note}")
    say(f"wrote {output} and {record_path(output)}")


def _nothing(*what: Any) -> None:
    pass


class _Details:
    """Says which network is used, and where `verbose` the machine and all that a run starts from; for the balances of
    one setting after another, what they have in common once."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self._said: list[str] = []

    def __call__(self, setting: Setting, balance: Balance) -> None:
        from .record import describe_machine

        common, own = [network_line(setting.network)], []
        if self._verbose:
            common = [*machine_lines(describe_machine()), *setting_lines(setting)]
            own = balance_lines(balance)
        if lines := (common if common != self._said else []) + own:
            say("\n".join(lines))
        self._said = common
