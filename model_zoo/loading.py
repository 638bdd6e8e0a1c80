"""Which weights are meant: `auto`, `vgg19`, `surrogate`, a name of the manifest, or a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import formats
from .conventions import Convention, preprocessing, rewritten
from .errors import InputError
from .fetch import fetch, is_verified
from .formats import Contents
from .identity import find_convention, find_network, learn, record_of, tensor_hashes
from .manifest import DEFAULT_WEIGHTS, WeightsRecord, find_picture, manifest
from .reachability import UnreachableError
from .weights import Preprocessing, Weights, check_parameters

WEIGHTS_VARIABLE = "NEURAL_STYLE_MMD_WEIGHTS"
GO_ON = "to go on without the true network, use --weights surrogate"
Notify = Callable[[str], None]


def load(name: str = "auto", *, offline: bool = False, notify: Notify = lambda text: None) -> Weights:
    """The weights called `name`, with their preprocessing and what they are (`kind`).

    "auto": the file that NEURAL_STYLE_MMD_WEIGHTS names, else a verified file of the true network in the cache, else
        the download of vgg19.params, else, only where no address accepted a connection within 10 s in all (or the
        network is not to be used), the surrogate, which its notes say.
    "vgg19": found as by "auto", but the true network or an error.
    "surrogate": the seeded network that needs no download.
    a name of the manifest: that file, from the cache or downloaded.
    anything else: the path of a file of any readable format; see `formats.READERS`.

    offline: never touch the network; NEURAL_STYLE_MMD_OFFLINE=1 says the same.
    notify: called with a line for the person who waits.
    Raises InputError, in one line, for everything that goes wrong.
    """
    if name == "surrogate":
        return _surrogate(notify)
    if name == "auto":
        return _auto(offline, notify)
    if name == "vgg19":
        return _true_network(offline, notify)
    path = Path(os.path.expanduser(name))
    if _is_there(path):
        return load_file(path)
    if name in manifest().weights:
        return load_file(fetch(manifest().weights[name], offline=offline, notify=notify))
    names = ", ".join(manifest().weights)
    raise InputError(f"no such weights: {name!r} is neither auto, vgg19, surrogate, a file, nor one of {names}")


def load_file(path: Path, convention: Convention | None = None) -> Weights:
    """The network in the file at `path`, of any readable format, identified by its content.

    convention: the input that the network expects, where the caller knows better than the file.
    Raises InputError, in one line that names the file and the cause.
    """
    return examine(path, convention)[0]


def examine(path: Path, convention: Convention | None = None) -> tuple[Weights, Convention]:
    """The same, with the input that the network in the file expects; `Weights` are already rewritten from it."""
    if not _is_there(path) or not path.is_file():
        raise InputError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'there is no such file'}")
    try:
        record = record_of(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    known = convention
    if record is not None:
        known = record.convention
        if convention not in (None, known):
            raise InputError(f"{path} is the known {record.name}, which expects {known}; leave --convention out")
    contents = formats.read(path)
    if known is not None:
        contents = replace(contents, convention=known, stated=True, notes=())
    return _identified(path, record, contents)


def picture(name: str, *, offline: bool = False, notify: Notify = lambda text: None) -> Path:
    """The verified file of the manifest's picture called `name`, from the cache or downloaded.

    The rules are those of the weights: UnreachableError where no address accepted a connection within 10 s in all,
    so that the caller may fall back and say so; InputError for every other failure.
    """
    return fetch(find_picture(name), offline=offline, notify=notify)


def find_true_network(offline: bool, notify: Notify) -> Path:
    """A file that should hold the true network: named by the environment, verified in the cache, or downloaded."""
    named = os.environ.get(WEIGHTS_VARIABLE)
    if named:
        return Path(os.path.expanduser(named))
    for record in manifest().weights.values():
        if _is_true_network(record):
            return record.path
    return fetch(manifest().weights[DEFAULT_WEIGHTS], offline=offline, notify=notify)


def _is_true_network(record: WeightsRecord) -> bool:
    """Whether the cache has a readable file of the true network by the name of `record`, this one's or another's."""
    held = record if is_verified(record, record.path) else record_of(record.path) if record.path.is_file() else None
    return held is not None and held.kind == "vgg19" and f".{held.format}" in formats.READERS


def _auto(offline: bool, notify: Notify) -> Weights:
    try:
        weights = load_file(find_true_network(offline, notify))
    except UnreachableError as error:
        note = f"{error}; going on with the surrogate network, which does not reproduce the paper"
        notify(f"warning: {note}")
        weights = _surrogate(notify)
        return replace(weights, notes=(*weights.notes, note))
    except InputError as error:
        raise InputError(f"{_named()}{error}; {GO_ON}") from error
    if weights.kind != "vgg19":
        notify(f"warning: {_named()}{weights.origin} is {weights.kind}: it does not reproduce the paper")
    return weights


def _true_network(offline: bool, notify: Notify) -> Weights:
    try:
        weights = load_file(find_true_network(offline, notify))
    except InputError as error:
        raise InputError(f"--weights vgg19: {_named()}{error}; {GO_ON}") from error
    if weights.kind != "vgg19":
        raise InputError(
            f"--weights vgg19: {_named()}{weights.origin} is {weights.kind}, not the true network; {GO_ON}"
        )
    return weights


def _is_there(path: Path) -> bool:
    """Whether there is anything at `path`; InputError where that cannot be seen."""
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _named() -> str:
    return f"{WEIGHTS_VARIABLE}: " if os.environ.get(WEIGHTS_VARIABLE) else ""


def _surrogate(notify: Notify) -> Weights:
    from .surrogate import load_surrogate

    return load_surrogate(notify=notify)


def _identified(path: Path, record: WeightsRecord | None, contents: Contents) -> tuple[Weights, Convention]:
    """The network with its kind, from its record or else from its tensors; and the input it expected."""
    convention, notes, network = contents.convention, contents.notes, None
    if record is None and not contents.stated:
        match = find_convention(contents.parameters)
        if match:
            convention, network, notes = *match, ()
    parameters, mean = rewritten(contents.parameters, convention), preprocessing(convention)
    check_parameters(parameters, str(path))
    if record is not None:
        notes = (*_record_notes(record), *_learn(record, parameters, mean))
        weights = Weights(parameters, mean, record.kind, record.name, f"{path}: {record.origin}", notes=notes)
        return weights, convention
    network = network or find_network(tensor_hashes(parameters), mean)
    if network is None:
        notes = (*notes, f"{path.name} holds no network that is known; it is used unverified")
        return Weights(parameters, mean, "unverified", path.name, str(path), notes=notes), convention
    notes = (*notes, f"its tensors are those of {network.name} ({network.origin})")
    return Weights(parameters, mean, network.kind, network.name, str(path), notes=notes), convention


def _learn(record: WeightsRecord, parameters: Mapping[str, np.ndarray], mean: Preprocessing) -> tuple[str, ...]:
    """Remember the network; a cache that cannot be written costs a note, not the weights."""
    try:
        learn(record, parameters, mean)
    except InputError as error:
        return (f"the network could not be remembered: {error}",)
    return ()


def _record_notes(record: WeightsRecord) -> tuple[str, ...]:
    notes = []
    if record.checksum and record.checksum.weakness:
        notes.append(f"recognised by its published {record.checksum.algorithm} ({record.checksum.weakness})")
    if record.training != "original":
        notes.append(f"{record.name} is {record.training}: it does not reproduce the paper")
    return tuple(notes)
