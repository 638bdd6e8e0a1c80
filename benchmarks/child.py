"""The child's side of a conversation: `python -m benchmarks.child MODULE:FUNCTION ARGUMENTS`, ARGUMENTS as JSON.

Calls benchmarks.MODULE.FUNCTION(turn, **ARGUMENTS). `turn(answer)` sends a line of JSON and returns the next request,
so that processes can take turns; what the function returns is its last answer. `processes.Child` is the other side.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

from model_zoo.errors import InputError

Turn = Callable[[Any], Any]


class EndOfTurns(Exception):
    """Nobody asks any more."""


def main(target: str, arguments: str) -> None:
    """Run the task until there are no more requests."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def send(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    def turn(answer: Any) -> Any:
        send({"answer": answer})
        request = sys.stdin.readline()
        if not request:
            raise EndOfTurns
        return json.loads(request)

    module, _, function = target.partition(":")
    try:
        turn(getattr(import_module(f"benchmarks.{module}"), function)(turn, **json.loads(arguments)))
    except EndOfTurns:
        pass
    except InputError as error:
        send({"error": str(error)})
    except Exception as error:
        traceback.print_exc()
        send({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
