"""Which network and which pictures a figure is made with, and what its folder is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from model_zoo.errors import InputError
from model_zoo.files import file_hash
from reproduce import inputs
from reproduce.figures import Pair, figure, parse_grid
from reproduce.inputs import InputPicture, Inputs, Network, find_network, find_pictures

VGG19 = Network("vgg19", "vgg19", "vgg19.params", "a" * 64)
PAIR = Pair("tubingen.jpg", "starry_night.jpg")


def made_of(kind: str, *origins: str) -> Inputs:
    pictures = {str(k): InputPicture(str(k), "", "", origin) for k, origin in enumerate(origins)}
    return Inputs(replace(VGG19, kind=kind), pictures, {})


@pytest.mark.parametrize(
    ("kind", "origins", "folder"),
    [
        ("vgg19", ("named", "named"), "figure2"),
        ("surrogate", ("named", "named"), "figure2-surrogate"),
        ("surrogate", ("procedural", "procedural"), "figure2-surrogate"),
        ("vgg19", ("procedural", "procedural"), "figure2-procedural"),
        ("vgg19", ("named", "own"), "figure2-own-pictures"),
        ("surrogate", ("own", "own"), "figure2-surrogate-own-pictures"),
        ("vgg19-retrained", ("named", "named"), "figure2-retrained"),
        ("unverified", ("named", "named"), "figure2-unverified"),
    ],
)
def test_only_the_true_network_with_the_named_pictures_fills_the_figures_own_folder(
    kind: str, origins: tuple[str, ...], folder: str
) -> None:
    assert made_of(kind, *origins).folder_name("figure2") == folder


@pytest.mark.parametrize("kind", ["surrogate", "vgg19-retrained", "unverified"])
def test_every_other_network_is_burned_in_and_begins_every_verdict(kind: str) -> None:
    word = {"vgg19-retrained": "retrained"}.get(kind, kind)
    network = replace(VGG19, kind=kind)
    assert network.notice == f"{word} network, not a reproduction"
    assert network.prefix == f"with the {word} network: "
    assert (VGG19.notice, VGG19.prefix) == (None, "")


def test_without_a_network_all_pairs_become_procedural_and_it_is_told() -> None:
    told: list[str] = []
    grid = figure("figure2")
    found = find_pictures(grid, VGG19, None, offline=True, notify=told.append)
    assert found.origin == "procedural"
    assert any("procedural pictures" in line for line in told)
    stand_in = found.pair(PAIR)
    assert (stand_in.content, stand_in.style) == ("procedural:0-content", "procedural:0-style")
    for name in (stand_in.content, stand_in.style):
        assert name is not None
        picture = found.pictures[name]
        assert picture.sha256 == file_hash(Path(picture.path))
        with Image.open(picture.path) as image:
            assert image.width == image.height * 4 // 3
    again = find_pictures(grid, VGG19, None, offline=True)
    assert again.pictures == found.pictures


def test_figure_1_without_a_network_has_a_style_alone() -> None:
    found = find_pictures(figure("figure1"), VGG19, None, offline=True)
    assert [(pair.content, pair.style) for pair in found.replaced.values()] == [(None, "procedural:0-style")]


def test_pictures_of_ones_own_are_taken_by_name_and_are_not_the_named_ones(
    tmp_path: Path, pictures: tuple[Path, Path]
) -> None:
    for name, source in zip((PAIR.content, PAIR.style), pictures, strict=True):
        (tmp_path / str(name)).write_bytes(source.read_bytes())
    found = find_pictures(figure("figure2"), VGG19, tmp_path)
    assert found.origin == "own"
    assert found.pictures["tubingen.jpg"].path == str(tmp_path / "tubingen.jpg")
    (tmp_path / "tubingen.jpg").unlink()
    with pytest.raises(InputError, match=r"no tubingen\.jpg in"):
        find_pictures(figure("figure2"), VGG19, tmp_path)


def test_a_picture_that_cannot_be_read_is_one_line(
    tmp_path: Path, pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, algorithm: str = "sha256") -> str:
        raise PermissionError(13, "Permission denied", str(path))

    for name in (PAIR.content, PAIR.style):
        (tmp_path / str(name)).write_bytes(pictures[0].read_bytes())
    monkeypatch.setattr(inputs, "file_hash", refused)  # root reads any file
    with pytest.raises(InputError, match=r"cannot read .*tubingen\.jpg: Permission denied"):
        find_pictures(figure("figure2"), VGG19, tmp_path)


def test_the_named_picture_in_a_folder_is_known_by_its_hash(
    tmp_path: Path, pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, source in zip((PAIR.content, PAIR.style), pictures, strict=True):
        (tmp_path / str(name)).write_bytes(source.read_bytes())
    known = inputs.manifest()
    checksums = {name: replace(known.pictures[name].checksum, digest=file_hash(tmp_path / name))  # type: ignore[type-var]
                 for name in ("tubingen.jpg", "starry_night.jpg")}  # fmt: skip
    records = {name: replace(record, checksum=checksums.get(name, record.checksum))
               for name, record in known.pictures.items()}  # fmt: skip
    monkeypatch.setattr(inputs, "manifest", lambda: replace(known, pictures=records))
    assert find_pictures(figure("figure2"), VGG19, tmp_path).origin == "named"


def test_an_unknown_picture_is_one_line_that_says_what_is_known() -> None:
    grid = parse_grid({"pairs": [{"content": "nowhere.png", "style": "procedural:0-style"}]})
    with pytest.raises(InputError, match=r"unknown picture 'nowhere\.png'.*tubingen\.jpg"):
        find_pictures(grid, VGG19, None, offline=True)
    grid = parse_grid({"pairs": [{"content": "procedural:6-content", "style": "procedural:0-style"}]})
    with pytest.raises(InputError, match="no procedural picture"):
        find_pictures(grid, VGG19, None, offline=True)


def test_a_network_from_a_file_is_asked_for_by_its_path(network_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(network_file.parent)
    found = find_network(network_file.name)
    assert (found.request, found.kind, found.recipe) == (str(network_file), "unverified", "")
    assert len(found.sha256) == 64 and found.identity == {"sha256": found.sha256}
