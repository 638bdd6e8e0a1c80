"""Our iteration against that of other revisions of this repository, in processes that take turns.

What is measured is a revision's model_zoo and neural_style_mmd, by this tree's benchmarks: so a revision that these no
longer fit is refused by an error, and not measured otherwise.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from model_zoo.errors import InputError

from .ours import WHOLE
from .processes import ROOT, Child, both_ways, collected, ratios, summary
from .setting import DISTINCT_METHODS, Setting

_PACKAGES = ("model_zoo", "neural_style_mmd")


def measure(setting: Setting) -> dict[str, Any]:
    """A row for each method and revision; ratio: our seconds over the revision's, below 1 ours is faster."""
    trees = {commit: unpacked(commit, setting.folder) for commit in map(commit_of, setting.revisions)}

    def rows(subject: tuple[str, str]) -> Iterator[dict[str, Any]]:
        method, commit = subject
        setting.say(f"revisions: {method}, {commit[:7]}")
        task = partial(Child, "ours:iterate", {"methods": method, **setting.pictures()})
        starts = {"ours": partial(task, root=ROOT), "theirs": partial(task, root=trees[commit])}
        seconds = both_ways(starts, WHOLE, setting.rounds)
        yield {
            "method": method,
            "revision": commit[:7],
            "ratio": ratios(seconds["ours"], seconds["theirs"]),
            "our_seconds": summary(seconds["ours"]),
            "seconds": summary(seconds["theirs"]),
        }

    return collected(product(setting.methods or DISTINCT_METHODS, trees), rows, ", ".join)


def commit_of(revision: str) -> str:
    """Its full name; InputError where this repository does not have it."""
    said = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", of=revision)
    return said.decode().strip()


def unpacked(commit: str, folder: Path) -> Path:
    """A folder in `folder` with the packages of `commit` and this tree's benchmarks."""
    tree = folder / commit
    with ZipFile(BytesIO(_git("archive", "--format=zip", commit, *_PACKAGES, of=commit))) as files:
        files.extractall(tree)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "benchmarks", tree / "benchmarks", ignore=ignored, dirs_exist_ok=True)
    return tree


def _git(*arguments: str, of: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
    except OSError as error:
        raise InputError(f"{of}: git does not run ({error.strerror}); install it") from None
    except subprocess.CalledProcessError:
        known = "a commit, tag or branch that `git log` knows there"
        raise InputError(f"{of!r}: no revision of {ROOT} with {' and '.join(_PACKAGES)}; give {known}") from None
