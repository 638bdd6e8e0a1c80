"""What a grid starts from on this machine: which network, and which file stands for each named picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import model_zoo
from model_zoo.errors import InputError
from model_zoo.files import cache_home, file_hash, make_folder
from model_zoo.manifest import manifest

from .figures import PROCEDURAL, Grid, Pair

Notify = Callable[[str], None]

PROCEDURAL_PAIRS = 6  # model_zoo.samples has so many
ORIGINS = ("named", "own", "procedural")


@dataclass(frozen=True)
class Network:
    """The weights of a run. `request` is what a cell's process asks for; `sha256` is what it must get.

    recipe: for the surrogate, what it was made by; its tensors may differ in their last bits from machine to machine.
    """

    request: str
    kind: str
    name: str
    sha256: str
    recipe: str = ""

    @property
    def identity(self) -> dict[str, str]:
        """What a cell's id says of the network."""
        return {"surrogate": self.recipe} if self.kind == "surrogate" else {"sha256": self.sha256}

    @property
    def notice(self) -> str | None:
        """The line burned into every sheet, None for the true network."""
        if self.kind == "vgg19":
            return None
        return f"{_NETWORK_WORDS[self.kind]} network, not a reproduction"

    @property
    def prefix(self) -> str:
        """What every verdict begins with; empty for the true network."""
        return "" if self.kind == "vgg19" else f"with the {_NETWORK_WORDS[self.kind]} network: "


_NETWORK_WORDS = {"surrogate": "surrogate", "vgg19-retrained": "retrained", "unverified": "unverified"}


@dataclass(frozen=True)
class InputPicture:
    """The file that stands for a picture's name. origin: one of ORIGINS."""

    name: str
    path: str
    sha256: str
    origin: str


@dataclass(frozen=True)
class Inputs:
    """A network, and a file for every picture of a grid: of its pairs, which may have been replaced by procedural ones,
    and of its start."""

    network: Network
    pictures: Mapping[str, InputPicture]
    replaced: Mapping[Pair, Pair]

    def pair(self, pair: Pair) -> Pair:
        """The pair that stands for `pair`."""
        return self.replaced.get(pair, pair)

    @property
    def origin(self) -> str:
        """ "named" where every picture is the figure's own, else what the others are."""
        origins = {picture.origin for picture in self.pictures.values()}
        return next((origin for origin in reversed(ORIGINS) if origin in origins), "named")

    def folder_name(self, figure: str) -> str:
        """`figure` alone only for the true network with the named pictures."""
        network = {"vgg19": "", "vgg19-retrained": "-retrained"}.get(self.network.kind, f"-{self.network.kind}")
        pictures = {"named": "", "own": "-own-pictures", "procedural": "" if network else "-procedural"}[self.origin]
        return figure + network + pictures

    def as_dict(self) -> dict[str, Any]:
        """JSON's types."""
        pictures = {name: asdict(picture) for name, picture in self.pictures.items()}
        return {"network": asdict(self.network), "pictures": pictures, "origin": self.origin}


def find_network(request: str, *, offline: bool = False, notify: Notify = lambda text: None) -> Network:
    """Load the weights called `request` once and say what they are."""
    weights = model_zoo.load(request, offline=offline, notify=notify)
    if weights.kind == "surrogate":
        return Network("surrogate", weights.kind, weights.name, weights.sha256, _surrogate_recipe())
    if request == "auto" and weights.kind == "vgg19":
        request = "vgg19"
    path = Path(os.path.expanduser(request))
    request = str(path.absolute()) if path.is_file() else request
    return Network(request, weights.kind, weights.name, weights.sha256)


def _surrogate_recipe() -> str:
    from model_zoo import surrogate

    return f"recipe {surrogate.RECIPE_VERSION}, seed {surrogate.SEED}"


def find_pictures(
    grid: Grid, network: Network, own: Path | None, *, offline: bool = False, notify: Notify = lambda text: None
) -> Inputs:
    """A file for every picture of the grid.

    own: a folder in which every picture must lie under its name. Without it each is taken from the cache or
        downloaded; where no address can be reached (or the network is not to be used), all pairs are replaced by
        procedural ones, and `notify` is told.
    """
    names = list(dict.fromkeys(name for pair in grid.pairs for name in (pair.content, pair.style) if name))
    init = {name: _find(name, own, offline, notify) for name in (grid.init_file,) if name}
    try:
        found = {name: _find(name, own, offline, notify) for name in names}
        return Inputs(network, found | init, {})
    except model_zoo.UnreachableError as error:
        notify(f"warning: {error}; going on with procedural pictures")
    replaced, pictures = {}, {}
    for k, pair in enumerate(grid.pairs):
        stand_in = Pair(
            f"{PROCEDURAL}{k % PROCEDURAL_PAIRS}-content" if pair.content else None,
            f"{PROCEDURAL}{k % PROCEDURAL_PAIRS}-style",
        )
        replaced[pair] = stand_in
        for name in (stand_in.content, stand_in.style):
            if name:
                pictures[name] = _find(name, None, True, notify)
    return Inputs(network, pictures | init, replaced)


def _find(name: str, own: Path | None, offline: bool, notify: Notify) -> InputPicture:
    if name.startswith(PROCEDURAL):
        return _described(name, _procedural(name), "procedural")
    record = manifest().pictures.get(name)
    if own is not None and not Path(name).is_absolute():
        path = own / name
        if not path.is_file():
            raise InputError(f"there is no {name} in {own}; put it there, or leave --inputs out")
        mine = _described(name, path, "own")
        is_named = record is not None and record.checksum is not None and record.checksum.digest == mine.sha256
        return replace(mine, origin="named") if is_named else mine
    if record is None or Path(name).is_file():
        if not Path(name).is_file():
            raise InputError(
                f"unknown picture {name!r}: neither a file nor one of {', '.join(manifest().pictures)}, nor "
                f"{PROCEDURAL}K-content or {PROCEDURAL}K-style with K from 0 to {PROCEDURAL_PAIRS - 1}"
            )
        return _described(name, Path(name).absolute(), "own")
    return _described(name, model_zoo.picture(name, offline=offline, notify=notify), "named")


def _described(name: str, path: Path, origin: str) -> InputPicture:
    try:
        return InputPicture(name, str(path.absolute()), file_hash(path), origin)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _procedural(name: str) -> Path:
    """The file of a procedural picture, made once in the cache; other code for it makes another file."""
    from model_zoo import canvas, paintings, samples, scenes
    from neural_style_mmd.images import save_picture

    number, _, role = name.removeprefix(PROCEDURAL).partition("-")
    if not number.isdigit() or int(number) >= PROCEDURAL_PAIRS or role not in ("content", "style"):
        raise InputError(f"{name!r} is no procedural picture; write {PROCEDURAL}0-content or {PROCEDURAL}0-style")
    code = sha256(b"".join(Path(str(each.__file__)).read_bytes() for each in (canvas, paintings, samples, scenes)))
    folder = make_folder(cache_home() / "procedural" / code.hexdigest()[:12])
    path = folder / f"pair{number}-{role}.png"
    if not path.is_file():
        made = samples.pair(int(number))
        for each, pixels in (("content", made.content), ("style", made.style)):
            save_picture(folder / f"pair{number}-{each}.png", pixels)
    return path
