"""Seconds of a fresh process by stage, and of the network that is made once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any

from model_zoo.files import HOME_VARIABLE

from .processes import ROOT, Child, once, summary
from .setting import Setting

MOST_RUNS = 5  # fresh processes; each takes some seconds


def measure(setting: Setting) -> dict[str, Any]:
    """Rows of {"stage", "seconds"}, in the order of a run; the start-up is that of a grid's cell."""
    method = (setting.methods or ("linear",))[0]
    seconds: dict[str, list[float]] = {}
    for run in range(min(setting.rounds, MOST_RUNS)):
        setting.say(f"stages: {method}, process {run + 1}")
        began = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "neural_style_mmd", "--help"], check=True, stdout=subprocess.DEVNULL, cwd=ROOT
        )
        stages = {"--help, whole": perf_counter() - began}
        began = perf_counter()
        out = str(setting.folder / "saved.png")
        with Child("startup:stages", {"methods": method, "out": out, **setting.pictures()}) as child:
            started = perf_counter() - began
            stages["interpreter"] = started - sum(child.first.values())
            stages |= child.first
            stages["start-up: all from the interpreter to here"] = started
            stages |= child.ask()
        for name, value in stages.items():
            seconds.setdefault(name, []).append(value)
    rows = [{"stage": name, "seconds": summary(values)} for name, values in seconds.items()]
    setting.say("stages: making the surrogate network")
    with tempfile.TemporaryDirectory() as home:
        made = once("startup:make_surrogate", environment={HOME_VARIABLE: home})
    rows.append({"stage": "surrogate network, made (once on a machine)", "seconds": summary([made])})
    return {"rows": rows, "notes": [f"method {method}"]}
