"""docs/FIDELITY.md cannot go stale: its presets are those of presets.py, its tests and its options exist."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from neural_style_mmd.cli import cli
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.presets import PRESETS

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "FIDELITY.md").read_text(encoding="utf-8")


def rows(heading):
    """The cells of each row of the first table after a line that begins with `heading`."""
    lines = DOCUMENT.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(heading))
    first = next(i for i in range(start, len(lines)) if lines[i].startswith("|"))
    found = []
    for line in lines[first:]:
        if not line.startswith("|"):
            return found
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


HEAD, _, *SETTINGS = rows("## Presets")


def shown(value):
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_setting_of_a_preset_has_one_row():
    named = [cells[0].strip("`") for cells in SETTINGS]
    assert sorted(named) == sorted(PRESETS["paper"])


def test_every_preset_has_a_column():
    assert HEAD[4:-1] == [f"preset `{name}`" for name in PRESETS]


@pytest.mark.parametrize("cells", SETTINGS, ids=lambda cells: cells[0].strip("`"))
def test_the_values_are_the_presets(cells):
    assert len(cells) == len(HEAD) == 5 + len(PRESETS)
    name = cells[0].strip("`")
    assert cells[4:-1] == [shown(PRESETS[preset][name].value) for preset in PRESETS]
    assert all(cells)


def test_every_row_names_a_test_that_is_there():
    named = re.findall(r"\btest_\w+\.py(?:::\w+)?", DOCUMENT)
    assert len(named) > 50
    for each in set(named):
        module, _, function = each.partition("::")
        text = (ROOT / "tests" / module).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, each
    for cells in SETTINGS + rows("## What is fixed in the code")[2:]:
        assert re.fullmatch(r"test_\w+\.py::test_\w+", cells[-1]), cells


# What the two programs take, read from their sources at 3c69af53 and a79b913
MXNET_OPTIONS = (
    "model content-image style-image stop-eps content-weight style-weight tv-weight max-num-epochs max-long-edge lr "
    "gpu output_dir save-epochs remove-noise lr-sched-delay lr-sched-factor"
).split()
RELEASE_OPTIONS = (
    "model content-image style-image stop-eps content-weight style-weight tv-weight max-num-epochs max-long-edge lr "
    "gpu output output-folder save-epochs remove-noise lr-sched-delay lr-sched-factor mmd-kernel mmd-gaussian-multi "
    "mmd-poly-c bn-loss style-layer init multi-weight"
).split()


def test_every_option_of_both_programs_is_mapped():
    mapped = {cells[0].strip("`-"): cells[1:3] for cells in rows("## Options of the MXNet example")[2:]}
    assert sorted(mapped) == sorted(set(MXNET_OPTIONS) | set(RELEASE_OPTIONS))
    for option, (mxnet, release) in mapped.items():
        assert (mxnet != "-") == (option in MXNET_OPTIONS) and (release != "-") == (option in RELEASE_OPTIONS), option


def test_every_option_of_ours_that_is_named_exists():
    text = CliRunner().invoke(cli, ["transfer", "--help"]).stdout
    options = set(re.findall(r"--[a-z][a-z-]*", text))
    for cells in rows("## Options of the MXNet example")[2:]:
        for option in re.findall(r"--[a-z][a-z-]*", cells[-1]):
            assert option in options, option
    for option in re.findall(r"--[a-z][a-z-]*", " ".join(cells[-1] for cells in rows("## The release's bugs")[2:])):
        assert option in options, option


def test_the_example_commands_parse():
    found = [re.search("`(.*?)`", cells[-1]) for cells in rows("## The release's example commands")[2:]]
    commands = [match.group(1).split() for match in found if match]
    assert len(commands) == 6
    for words in commands:
        result = CliRunner().invoke(cli, ["transfer", "--preset", "release", *words])
        assert result.exit_code == 2 and "B: cannot be read" in result.stderr, result.stderr


def test_the_mxnet_examples_setting_is_one():
    words = re.search(r"`(--preset release --method gram[^`]*)`", DOCUMENT).group(1).split()
    values = {key.strip("-").replace("-", "_"): value for key, value in zip(words[::2], words[1::2], strict=True)}
    numbers = {key: float(value) for key, value in values.items() if re.fullmatch(r"[\d.e-]+", value)}
    numbers["decay_every"] = int(numbers["decay_every"])
    numbers["beta_prime"] = (numbers["beta_prime"],)
    config = TransferConfig(**(values | numbers))
    assert (config.optimizer, config.momentum, config.fixed_beta_prime) == ("nag", 0.95, {"gram": 4.0})


def test_the_releases_constants_in_the_papers_normalisation():
    """0.1 M, 500 M, 1000 M and 7.5e13 / N over the paper's gradients, halved for the content's factor 2."""
    positions = {"relu1_1": 256 * 192, "relu2_1": 128 * 96, "relu3_1": 64 * 48, "relu4_1": 32 * 24, "relu5_1": 16 * 12}
    channels = {"relu1_1": 64, "relu2_1": 128, "relu3_1": 256, "relu4_1": 512, "relu5_1": 512}
    factors = {
        "linear": lambda n, m: 1000 * m,
        "poly": lambda n, m: 0.1 * m,
        "gaussian": lambda n, m: 7.5e13 / n,
        "bn": lambda n, m: 500 * m,
    }
    (_, *layers), _, *found = rows("The paper has one beta'")
    assert layers == list(positions) and [cells[0] for cells in found] == list(factors)
    for method, *values in found:
        for layer, value in zip(layers, values, strict=True):
            assert float(value) == pytest.approx(factors[method](channels[layer], positions[layer]) / 2, rel=5e-3)
