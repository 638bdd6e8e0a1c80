"""Fetching a record's file: nothing lands under its final name before its whole content has been verified.

A download goes to `.NAME.part` beside the target, with a `.NAME.part.json` that says which address and which version it
comes from, so that it can be resumed; it is hashed as a whole, synced and renamed. An address that fails for good makes
room for the next. NEURAL_STYLE_MMD_MIRROR, a base URL, takes the place of all addresses: the file is MIRROR/NAME.
Proxies and certificate authorities are taken from the environment as requests does.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import LocationValueError
from urllib3.util import Retry

from .checksums import digests
from .errors import InputError
from .files import HOME_VARIABLE, locked, make_folder, settle
from .formats import impostor_of
from .identity import record_of
from .manifest import Record
from .reachability import UnreachableError, host_and_port, require_reachable

MIRROR_VARIABLE = "NEURAL_STYLE_MMD_MIRROR"
OFFLINE_VARIABLE = "NEURAL_STYLE_MMD_OFFLINE"
BLOCK = 1 << 14  # bytes written at once, and at most lost where a transfer breaks
Notify = Callable[[str], None]


class _RefusedError(Exception):
    """This address will not give the right file; the next one may."""


class _BusyError(_RefusedError):
    """Not now; another way of asking would not help."""


class _BrokenError(Exception):
    """The transfer broke; the same address may go on with it."""


@dataclass(frozen=True)
class Patience:
    """How long is waited for what, in seconds; `tries` is the number of attempts in a row that bring nothing new."""

    reach: float = 10.0  # for any address to accept a connection, in total
    connect: float = 10.0
    read: float = 30.0
    tries: int = 4
    backoff: float = 1.0  # doubled from one try to the next
    report: float = 2.0  # between two lines of progress


def is_offline(offline: bool = False) -> bool:
    """Whether the network is not to be touched: asked for, or NEURAL_STYLE_MMD_OFFLINE is set and not 0."""
    return offline or os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def addresses(record: Record) -> tuple[str, ...]:
    """Where the record's file is looked for, in order."""
    mirror = os.environ.get(MIRROR_VARIABLE, "")
    if not mirror:
        return record.urls
    try:
        host_and_port(mirror)
        is_http = urlsplit(mirror).scheme in ("http", "https")
    except ValueError:
        is_http = False
    if not is_http:
        raise InputError(f"{MIRROR_VARIABLE} is {mirror!r}; it must be a base URL such as https://example.org/weights")
    return (f"{mirror.rstrip('/')}/{quote(record.name)}",)


def is_verified(record: Record, path: Path) -> bool:
    """Whether the file at `path` has the record's size and checksum; InputError where it cannot be looked at."""
    try:
        if not path.is_file() or record.checksum is None:
            return False
        if not record.size[0] <= path.stat().st_size <= record.size[1]:
            return False
        return digests(path, [record.checksum.algorithm])[record.checksum.algorithm] == record.checksum.digest
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; make it readable, or name another cache folder with {HOME_VARIABLE}"
        ) from error


def fetch(
    record: Record, *, offline: bool = False, notify: Notify = lambda text: None, patience: Patience = Patience()
) -> Path:
    """The verified file of `record` in the cache, downloaded where it is not there yet.

    notify: called with a line on progress, about every `patience.report` seconds.
    Raises UnreachableError where no address accepted a connection or the network is not to be used; InputError, naming
    each address and what went wrong there, where none gave the right file. A broken or interrupted transfer is gone on
    with by the next call.
    """
    target = record.path
    if is_verified(record, target):
        return target
    if target.exists() and (other := record_of(target)) is not None:
        raise InputError(f"{target} is {other.name}, another file that is known: call it so, or remove it")
    if record.not_fetched_because:
        raise InputError(
            f"{record.name} is not downloaded: {record.not_fetched_because}; get it by hand, use it by path"
        )
    if is_offline(offline):
        if target.exists():
            raise InputError(f"{target} is damaged and the network is not to be used; remove it, or fetch it again")
        raise UnreachableError(f"{record.name} is not in the cache and the network is not to be used")
    make_folder(target.parent)
    wait = f"another process is fetching {record.name}; waiting for it"
    with locked(target.with_name(f".{record.name}.lock"), lambda: notify(wait)):
        if is_verified(record, target):
            return target
        if target.exists():
            notify(f"{target} is damaged; it is fetched again")
        _fetch_locked(record, target, notify, patience)
    return target


def _fetch_locked(record: Record, target: Path, notify: Notify, patience: Patience) -> None:
    urls = addresses(record)
    require_reachable(urls, patience.reach)
    failures = []
    with _session(patience) as session:
        for url in urls:
            transfer = _Transfer(record, url, target, session, notify, patience)
            try:
                transfer.run()
                notify(f"{record.name} is there and verified ({record.checksum})")
                return
            except _RefusedError as error:
                failures.append(f"{url}: {error}")
                notify(failures[-1])
    raise InputError(f"cannot fetch {record.name}: {'; '.join(failures)}")


def _session(patience: Patience) -> requests.Session:
    """Retries of connections and of busy servers are urllib3's; a transfer that breaks is gone on with here."""
    retry = Retry(
        connect=2,
        read=0,
        other=0,
        status=patience.tries,
        backoff_factor=patience.backoff,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET",),
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


class _Transfer:
    """One record from one address."""

    def __init__(
        self, record: Record, url: str, target: Path, session: requests.Session, notify: Notify, patience: Patience
    ) -> None:
        self.record, self.url, self.target = record, url, target
        self.session, self.notify, self.patience = session, notify, patience
        self.part = target.with_name(f".{record.name}.part")
        self.about = target.with_name(f".{record.name}.part.json")
        self._in_parts = True  # whether to ask for what is missing alone

    def run(self) -> None:
        """Bring the file under its final name, or raise _RefusedError with nothing left that is known to be wrong."""
        resumed = self._complete()
        if not self._is_right() and resumed:
            # The parts may stem from two versions of the file: once more, from the start.
            self.notify(f"{self.record.name}: the resumed file is wrong; fetching it again from the start")
            self._discard()
            self._complete()
        if not self._is_right():
            got = digests(self.part, [self.record.checksum.algorithm]) if self.record.checksum else {}
            size = self.part.stat().st_size
            self._discard()
            raise _RefusedError(
                f"wrong content: {size} bytes, {' '.join(got.values())}; published is {self.record.checksum}"
            )
        try:
            settle(self.part, self.target)
        except OSError as error:
            raise InputError(f"cannot write {self.target}: {error.strerror}") from error
        self.about.unlink(missing_ok=True)

    def _complete(self) -> bool:
        """Fill the part file; whether it was begun by an earlier request."""
        resumed = False
        idle, best = 0, self._have()
        while True:
            try:
                return self._request() or resumed
            except _BrokenError as error:
                resumed = True
                idle, best = (0, self._have()) if self._have() > best else (idle + 1, best)
                if idle >= self.patience.tries:
                    raise _RefusedError(f"{error}, {idle} times in a row") from error
                self.notify(f"{self.record.name}: {error}; going on")
                time.sleep(self.patience.backoff * 2**idle)
            except _BusyError:
                raise
            except _RefusedError as error:
                if not self._in_parts or not self._resumable()[0]:
                    raise
                # Perhaps it is parts that it refuses. What is there stays until an answer is written over it.
                self._in_parts = False
                self.notify(f"{self.record.name}: {error}; asking for the whole file")

    def _request(self) -> bool:
        """One request, to the file's end; whether it went on with an earlier part."""
        offset, validator = self._resumable() if self._in_parts else (0, "")
        headers = {"Accept-Encoding": "identity"}  # the bytes themselves, so that ranges and lengths are theirs
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        timeout = (self.patience.connect, self.patience.read)
        try:
            with self.session.get(self.url, headers=headers, stream=True, timeout=timeout) as response:
                if response.status_code == 416 and _whole_size(response) == offset > 0:
                    return True
                offset = self._check_status(response, offset)
                total = self._check_length(response, offset)
                self._remember(response)
                self._receive(response, offset, total)
        except requests.exceptions.SSLError as error:
            raise _RefusedError(f"no secure connection: {_reason(error)}") from error
        except requests.exceptions.TooManyRedirects as error:
            raise _RefusedError("too many redirects") from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _BrokenError(f"the transfer broke at {self._have()} bytes ({_reason(error)})") from error
        except (requests.RequestException, LocationValueError) as error:
            raise _RefusedError(_reason(error)) from error
        return offset > 0

    def _check_status(self, response: requests.Response, offset: int) -> int:
        """The offset at which the body begins. What is there already is kept where the answer says nothing of it."""
        if response.status_code == 200:
            return 0
        if response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            return offset
        if response.status_code in (206, 416):
            self._discard()
            raise _BrokenError("the server gave another range than was asked for")
        busy = response.status_code == 429 or response.status_code >= 500
        answer = f"answered {response.status_code} {response.reason}".strip()
        raise _BusyError(answer) if busy else _RefusedError(answer)

    def _check_length(self, response: requests.Response, offset: int) -> int | None:
        """The whole file's size, as the server says; refused where that cannot be the record's file."""
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise _RefusedError("sent an HTML page, not the file")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _RefusedError(f"sent the file encoded as {response.headers['Content-Encoding']}")
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            return None
        total = offset + int(length)
        low, high = self.record.size
        if total > high:
            raise _RefusedError(f"offers {total} bytes, the file has {'' if low == high else 'at most '}{high}")
        free = shutil.disk_usage(self.target.parent).free
        if total - offset > free:
            raise InputError(
                f"{self.target.parent} has {free} bytes free, {self.record.name} needs {total - offset} more"
            )
        return total

    def _receive(self, response: requests.Response, offset: int, total: int | None) -> None:
        high = self.record.size[1]
        progress = _Progress(self.record.name, offset, total, self.notify, self.patience.report)
        blocks = response.iter_content(BLOCK)
        have = offset
        with _open(self.part, "r+b" if offset else "wb") as stream:
            stream.seek(offset)
            for block in blocks:
                if not have and (impostor := impostor_of(block[:64])):
                    self._refuse(f"sent {impostor}")
                have += len(block)
                if have > high:
                    self._refuse(f"sent more than {high} bytes, which is the most the file can have")
                _put(stream, block, self.part)
                progress.at(have)
        if total is not None and have != total:
            raise _BrokenError(f"the transfer ended at {have} of {total} bytes")

    def _refuse(self, cause: str) -> None:
        self._discard()
        raise _RefusedError(cause)

    def _resumable(self) -> tuple[int, str]:
        """(bytes that are there, validator of their version); 0 where the part cannot be gone on with."""
        try:
            about = json.loads(self.about.read_text(encoding="utf-8"))
            if about["url"] == self.url and isinstance(about["validator"], str) and about["validator"]:
                return self._have(), about["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, ""

    def _remember(self, response: requests.Response) -> None:
        """Note which version of the file the part is of. A weak ETag does not promise equal bytes."""
        etag = response.headers.get("ETag", "")
        validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
        with _open(self.about, "wb") as stream:
            _put(stream, json.dumps({"url": self.url, "validator": validator}).encode(), self.about)

    def _is_right(self) -> bool:
        return is_verified(self.record, self.part)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


class _Progress:
    """Lines on how far a download is, its speed and the time left."""

    def __init__(self, name: str, offset: int, total: int | None, notify: Notify, every: float) -> None:
        self.name, self.offset, self.total, self.notify, self.every = name, offset, total, notify, every
        self.started = self.reported = time.monotonic()

    def at(self, have: int) -> None:
        """Report where it is time to."""
        now = time.monotonic()
        if now - self.reported < self.every and have != self.total:
            return
        self.reported = now
        speed = (have - self.offset) / max(now - self.started, 1e-9)
        text = f"{self.name}: {have / 1e6:.1f}"
        if self.total:
            left = (self.total - have) / max(speed, 1.0)
            text += f" of {self.total / 1e6:.1f} MB, {speed / 1e6:.1f} MB/s, {left:.0f} s left"
        else:
            text += f" MB, {speed / 1e6:.1f} MB/s"
        self.notify(text)


def _open(path: Path, mode: str) -> IO[bytes]:
    """An unbuffered file, so that a full disk shows where it is written and not where it is closed."""
    try:
        return path.open(mode, buffering=0)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _put(stream: IO[bytes], data: bytes, path: Path) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[stream.write(rest) :]
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _whole_size(response: requests.Response) -> int:
    """The N of `Content-Range: bytes */N`, or -1."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() else -1


def _reason(error: requests.RequestException | LocationValueError) -> str:
    """One short line on what went wrong, from the innermost error that says something."""
    inner = error.args[0] if error.args else error
    inner = getattr(inner, "reason", None) or inner
    return " ".join(str(inner).split())[:160] or type(error).__name__
