"""The one door for whole writes, locks, hashes and the cache folder.

A file written here is either there whole or not there: temporary file in the same folder, fsync, rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError

HOME_VARIABLE = "NEURAL_STYLE_MMD_HOME"


def cache_home() -> Path:
    """The folder for what is fetched or made once: NEURAL_STYLE_MMD_HOME, else the user's cache folder. Not created."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(os.path.expanduser(named))
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "neural-style-mmd"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neural-style-mmd"
    except RuntimeError as error:
        raise InputError(f"this user has no home folder for the cache; name one with {HOME_VARIABLE}") from error


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents; InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the folder {folder}: {error.strerror}; choose another") from error
    return folder


def require_writable(path: Path) -> None:
    """InputError unless a file can be written at `path`; leaves nothing behind. For use before long work."""
    folder = path.parent
    try:  # to look at a path may be forbidden, too, or its name be too long
        if not folder.is_dir():
            raise InputError(f"cannot write {path}: the folder {folder} does not exist; create it or choose another")
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; name a file")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another name or folder") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well it is synced and renamed to `path`.

    If the block raises, the temporary file is removed and `path` is as it was. The file gets the permissions that
    the user's umask asks for.
    """
    shortened = path.name.encode("utf-8", "ignore")[:80].decode("utf-8", "ignore")  # a name has 255 bytes at most
    handle, name = tempfile.mkstemp(prefix=f".{shortened}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def settle(temporary: Path, path: Path) -> None:
    """Sync the finished file `temporary` and rename it to `path` in the same folder; OSError where that fails."""
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.chmod(0o666 & ~_umask())
    os.replace(temporary, path)
    _sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` at `path`, whole or not at all; InputError where the disk or the folder refuses."""
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON (UTF-8, two-space indent, NaN refused), whole or not at all. Bytes of a path that are not
    UTF-8, which Python holds as lone surrogates, are escaped, and read back as they were."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "backslashreplace"))


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path` against other processes; `on_wait` is called once if somebody else holds it.

    The kernel drops the lock when its holder dies, so there is never a stale one. The file itself stays.
    """
    import fcntl

    try:
        lock = path.open("a")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    with lock as stream:
        try:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise InputError(f"cannot lock {path}: {error.strerror}; choose a folder on another file system") from error
        yield


def _umask() -> int:
    # The only portable way to read it is to set it; the window is harmless because every writer sets the same.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
