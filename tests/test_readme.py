"""What README.md tells a newcomer to type works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from neural_style_mmd.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST, SECOND = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^ {4}neural-style-mmd (.*)$", README, re.MULTILINE)


def run(program, folder):
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_first_example_makes_a_picture(pictures, tmp_path):
    for path, name in zip(pictures, ("content", "style"), strict=True):
        Image.open(path).save(tmp_path / f"{name}.jpg")
    assert "size=384" in FIRST
    run(FIRST.replace("size=384", "size=32, iterations=2") + "assert result.image.shape == (24, 32, 3)\n", tmp_path)


def test_the_second_example_gives_a_symbol(tmp_path):
    run(SECOND, tmp_path)
    assert '"style.bn.relu3_1"' in (tmp_path / "bn.json").read_text()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_has_the_options_that_it_is_shown_with(line):
    name, *arguments = shlex.split(line, comments=True)
    cli.commands[name].make_context(name, arguments)


def test_there_are_commands_and_each_make_target_is_there():
    assert len(COMMANDS) >= 5
    targets = set(re.findall(r"^([a-z0-9 -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    there = {each for line in targets for each in line.split()}
    named = set(re.findall(r"`make ([a-z0-9-]+)", README) + re.findall(r"^ {4}make ([a-z0-9-]+)", README, re.MULTILINE))
    assert {"demo", "test", "figure1", "verify"} <= named <= there
