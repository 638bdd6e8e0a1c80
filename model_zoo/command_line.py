"""What the command lines of the three packages share: an error is one line, and misuse exits with code 2."""

from __future__ import annotations

import sys
from typing import Any

import click

from .errors import InputError

INTERRUPTED = 130


class OneLineGroup(click.Group):
    """A click group whose errors are one line on standard error, without a traceback or a usage text.

    A command's return value, if it is a number, is the exit code.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        name = kwargs.get("prog_name") or self.name
        kwargs["standalone_mode"] = False
        try:
            result = super().main(*args, **kwargs)
        except (InputError, click.ClickException, OSError) as error:
            message = error.format_message() if isinstance(error, click.ClickException) else str(error)
            if isinstance(error, OSError) and error.filename:
                message = f"cannot use {error.filename}: {error.strerror}"
            if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2 and later
                click.echo(message, err=True)
                sys.exit(2)
            click.echo(f"{name}: {' '.join(message.split())}", err=True)
            sys.exit(2)
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"{name}: interrupted", err=True)
            sys.exit(INTERRUPTED)
        sys.exit(result if isinstance(result, int) else 0)
