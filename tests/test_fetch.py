"""Fetching: whatever the server does, the right file lands under its name or nothing does, and the reason is given."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from local_server import Site, serving

from model_zoo.checksums import Checksum
from model_zoo.errors import InputError
from model_zoo.fetch import Patience, addresses, fetch, is_offline
from model_zoo.manifest import Record
from model_zoo.reachability import UnreachableError, require_reachable

DATA = bytes(range(256)) * 1200  # 307,200 bytes: several blocks
QUICK = Patience(reach=5, connect=5, read=0.5, tries=2, backoff=0.01, report=0)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_STYLE_MMD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEURAL_STYLE_MMD_OFFLINE", raising=False)
    monkeypatch.delenv("NEURAL_STYLE_MMD_MIRROR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def site():
    with serving(Site(DATA)) as site:
        yield site


def record(*urls: str, data: bytes = DATA, size: tuple[int, int] | None = None) -> Record:
    checksum = Checksum("sha256", hashlib.sha256(data).hexdigest(), "the test")
    nobody = dict.fromkeys(("title", "author", "licence", "attribution"))
    return Record("file.bin", urls, size or (len(data), len(data)), checksum, origin="the test", **nobody)


def wanted(site: Site, **keywords) -> Record:
    return record(f"{site.url}/file.bin", **keywords)


def left(item: Record) -> set[str]:
    """What lies in the folder, without the lock."""
    return {path.name for path in item.path.parent.iterdir()} - {".file.bin.lock"}


def assert_fetched(item: Record, **keywords) -> list[str]:
    lines: list[str] = []
    path = fetch(item, notify=lines.append, patience=keywords.pop("patience", QUICK), **keywords)
    assert path == item.path and path.read_bytes() == DATA
    assert left(item) == {"file.bin"}
    return lines


def refusal(item: Record, patience: Patience = QUICK) -> str:
    """The message with which fetching fails, checked to leave nothing under the final name."""
    with pytest.raises(InputError) as caught:
        fetch(item, patience=patience)
    assert not item.path.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_downloaded_once_verified_and_kept(site):
    item = wanted(site)
    assert_fetched(item)
    assert_fetched(item)
    assert len(site.requests) == 1
    assert item.path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_progress_tells_amount_speed_and_time_left(site):
    lines = assert_fetched(wanted(site))
    assert any("of 0.3 MB" in line and "MB/s" in line and "s left" in line for line in lines)


def test_a_damaged_file_in_the_cache_is_fetched_again(site):
    item = wanted(site)
    item.path.parent.mkdir(parents=True)
    item.path.write_bytes(DATA[:-1] + b"x")
    assert any("damaged" in line for line in assert_fetched(item))


def test_a_cut_transfer_is_resumed_by_range_and_if_range(site):
    site.cut, site.cuts = 98_304, 2  # a multiple of the block
    assert_fetched(wanted(site))
    headers = [headers for _, headers in site.requests]
    assert len(headers) == 3 and "Range" not in headers[0]
    assert [h["Range"] for h in headers[1:]] == ["bytes=98304-", "bytes=196608-"]
    assert all(h["If-Range"] == '"one"' for h in headers[1:])


def test_a_stalled_transfer_is_given_up_and_resumed(site):
    site.cut, site.cuts, site.stall = 49_152, 1, 3
    started = time.monotonic()
    assert_fetched(wanted(site))
    assert time.monotonic() - started < 3 and site.requests[1][1]["Range"] == "bytes=49152-"


def test_a_server_that_ignores_range_is_asked_from_the_start(site):
    site.cut, site.cuts, site.ranges = 100_000, 1, False
    assert_fetched(wanted(site))
    assert "Range" in site.requests[1][1]


def test_a_file_that_changes_between_the_parts_is_fetched_anew(site):
    def change(site: Site) -> None:
        site.data, site.etag = DATA, '"two"'

    site.data, site.cut, site.cuts, site.after = bytes(len(DATA)), 100_000, 1, change
    assert_fetched(wanted(site))
    assert [h.get("If-Range") for _, h in site.requests] == [None, '"one"']


def test_a_file_that_changes_under_the_same_etag_is_caught_by_its_hash(site):
    def change(site: Site) -> None:
        site.data = DATA

    site.data, site.cut, site.cuts, site.after = bytes(len(DATA)), 100_000, 1, change
    lines = assert_fetched(wanted(site))
    assert any("resumed file is wrong" in line for line in lines)
    assert "Range" not in site.requests[-1][1]


def test_without_a_strong_validator_nothing_is_resumed(site):
    site.cut, site.cuts, site.etag = 100_000, 1, 'W/"one"'
    assert_fetched(wanted(site))
    assert all("Range" not in headers for _, headers in site.requests)


def test_a_range_that_was_not_asked_for_is_not_used(site):
    site.cut, site.cuts, site.wrong_range = 100_000, 1, True
    lines = assert_fetched(wanted(site))
    assert any("another range than was asked for" in line for line in lines)


def test_a_part_left_by_an_interrupted_run_is_gone_on_with(site):
    item = wanted(site)
    leave_part(item, DATA[:123_456])
    assert_fetched(item)
    assert [h.get("Range") for _, h in site.requests] == ["bytes=123456-"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429},
        {"status": 403},
        {"content_type": "text/html", "ranges": False},  # a page to log in, in the file's place
        {"encoding": "gzip"},
        {"claim": 10**12},
    ],
    ids=str,
)
def test_a_part_outlives_an_answer_of_which_nothing_was_written(site, fault):
    item = wanted(site)
    leave_part(item, DATA[:123_456])
    well = {name: getattr(site, name) for name in fault}
    for values in (fault, well):
        for name, value in values.items():
            setattr(site, name, value)
        if values is fault:
            refusal(item)
    assert_fetched(item)
    assert site.requests[-1][1]["Range"] == "bytes=123456-"


@pytest.mark.parametrize("status", [400, 403, 405, 412])
def test_a_server_that_refuses_parts_is_asked_for_the_whole_file(site, status):
    item = wanted(site)
    leave_part(item, DATA[:123_456])
    site.range_status = status
    lines = assert_fetched(item)
    assert [h.get("Range") for _, h in site.requests] == ["bytes=123456-", None]
    assert any("asking for the whole file" in line for line in lines)


def leave_part(item: Record, data: bytes, validator: str = '"one"') -> None:
    item.path.parent.mkdir(parents=True)
    item.path.with_name(".file.bin.part").write_bytes(data)
    about = {"url": item.urls[0], "validator": validator}
    item.path.with_name(".file.bin.part.json").write_text(json.dumps(about))


def test_a_part_from_another_address_is_not_gone_on_with(site):
    leave_part(record("https://example.invalid/file.bin"), DATA[:1000])
    assert_fetched(wanted(site))
    assert all("Range" not in headers for _, headers in site.requests)


def test_a_part_that_is_whole_already_needs_no_byte(site):
    item = wanted(site)
    leave_part(item, DATA)
    assert_fetched(item)


@pytest.mark.parametrize("data", [DATA + b"more", bytes(len(DATA)), bytes(1000)])
def test_a_wrong_part_is_thrown_away(site, data):
    item = wanted(site)
    leave_part(item, data)
    assert_fetched(item)


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"url": 5}', "\udcff"])
def test_a_part_whose_note_is_damaged_is_thrown_away(site, about):
    item = wanted(site)
    leave_part(item, bytes(1000))
    item.path.with_name(".file.bin.part.json").write_bytes(about.encode("utf-8", "surrogateescape"))
    assert_fetched(item)
    assert all("Range" not in headers for _, headers in site.requests)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"status": 404}, "answered 404"),
        ({"status": 403}, "answered 403"),
        ({"status": 500}, "answered 500"),
        ({"data": b"<!DOCTYPE html><p>Log in"}, "HTML page"),
        ({"content_type": "text/html; charset=utf-8"}, "HTML page"),
        ({"data": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 307200\n"}, "Git LFS pointer"),
        ({"data": bytes(len(DATA))}, "wrong content: 307200 bytes"),
        ({"data": DATA[:-1]}, "wrong content: 307199 bytes"),
        ({"data": b""}, "wrong content: 0 bytes"),
        ({"data": DATA + b"x"}, "offers 307201 bytes"),
        ({"data": DATA + b"x", "no_length": True}, "more than 307200 bytes"),
        ({"data": DATA[:-1], "no_length": True}, "wrong content: 307199 bytes"),
        ({"data": DATA[:-1000], "claim": 1000}, "the transfer broke at 294912 bytes"),
        ({"claim": -7}, "wrong content: 307193 bytes"),
        ({"claim": 10**12}, "offers 1000000307200 bytes"),
        ({"encoding": "gzip"}, "encoded as gzip"),
        ({"cut": 0}, "broke at 0 bytes"),
        ({"cut": 5000, "ranges": False}, "2 times in a row"),
        ({"cut": 5000, "stall": 5, "etag": None}, "2 times in a row"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_server_that_fails_is_reported_and_leaves_nothing(site, fault, cause):
    for name, value in fault.items():
        setattr(site, name, value)
    item = wanted(site)
    message = refusal(item)
    assert cause in message
    assert f"{site.url}/file.bin" in message
    assert left(item) <= {".file.bin.part", ".file.bin.part.json"}


def test_after_any_failure_the_right_file_can_still_be_fetched(site):
    item = wanted(site)
    for data in (b"<html>", bytes(len(DATA)), DATA[:5]):
        site.data = data
        refusal(item)
    site.data = DATA
    assert_fetched(item)


def test_busy_servers_are_asked_again(site):
    def recover(site: Site) -> None:
        site.status = 200

    site.status, site.after = 503, recover
    assert_fetched(wanted(site))
    assert len(site.requests) == 2


def test_redirects_are_followed_and_loops_are_not(site):
    site.redirect = {"/file.bin": f"{site.url}/elsewhere", "/loop": f"{site.url}/loop"}
    assert_fetched(wanted(site))
    item = record(f"{site.url}/loop")
    item.path.unlink()
    assert "too many redirects" in refusal(item)


def test_the_next_address_is_tried_where_one_fails(site):
    with serving(Site(b"<html>")) as wrong, serving(Site(DATA, status=404)) as missing:
        lines = assert_fetched(record(f"{wrong.url}/a", f"{missing.url}/b", f"{site.url}/file.bin"))
    assert any("HTML page" in line for line in lines) and any("404" in line for line in lines)


def test_every_failed_address_is_named_with_its_cause():
    with serving(Site(b"<html>")) as wrong, serving(Site(DATA, status=404)) as missing:
        message = refusal(record(f"{wrong.url}/a", f"{missing.url}/b"))
    assert f"{wrong.url}/a: sent an HTML page" in message and f"{missing.url}/b: answered 404" in message


def test_a_mirror_takes_the_place_of_all_addresses(site, monkeypatch):
    item = record("https://example.invalid/file.bin")
    monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", f"{site.url}/mirror/")
    assert_fetched(item)
    assert site.requests[0][0] == "/mirror/file.bin"
    monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", "/mnt/weights")
    with pytest.raises(InputError, match="NEURAL_STYLE_MMD_MIRROR is '/mnt/weights'; it must be a base URL"):
        addresses(item)


MALFORMED = (
    "http://example.org:80a",
    "http://example.org:99999",
    "http://[::1",
    "https://mirror..example.org",
    f"http://{'a' * 64}.example.org",
    "http://:8080",
)


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_mirror_is_an_error_that_names_its_variable(url, monkeypatch):
    monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", url)
    message = refusal(record("https://example.invalid/file.bin"))
    assert message.startswith(f"NEURAL_STYLE_MMD_MIRROR is '{url}'; it must be a base URL")


@pytest.mark.parametrize("url", [*MALFORMED, "example.org:80a"])
def test_a_malformed_proxy_is_an_error_that_names_its_variables_and_no_password(url, monkeypatch):
    monkeypatch.setenv("http_proxy", url.replace("http://", "http://me:secret@"))
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(InputError, match=r"HTTP_PROXY or ALL_PROXY is '.*'; it must be an address") as caught:
        fetch(record("http://example.invalid/file.bin"), patience=QUICK)
    assert not isinstance(caught.value, UnreachableError) and "secret" not in str(caught.value)


def test_a_redirect_to_a_malformed_address_is_reported(site):
    site.redirect = {"/file.bin": "http://mirror..example.org/file.bin"}
    assert f"{site.url}/file.bin: Failed to parse" in refusal(wanted(site))


def test_a_proxy_from_the_environment_is_used(site, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.setenv("no_proxy", "")
    assert_fetched(record("http://example.invalid/file.bin"))
    assert site.requests[0][0] == "http://example.invalid/file.bin"


def test_a_closed_port_means_no_network_at_once():
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"no address accepted a connection within 5 s \(127\.0\.0\.1\)"):
        fetch(record(f"http://127.0.0.1:{closed_port()}/file.bin"), patience=QUICK)
    assert time.monotonic() - started < 2


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_silence_from_all_addresses_is_borne_for_the_given_time_in_total(monkeypatch):
    over = threading.Event()

    def silent(*args: object, **keywords: object) -> None:
        over.wait(30)
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", silent)
    started = time.monotonic()
    try:
        with pytest.raises(UnreachableError):
            require_reachable([f"http://host{i}.invalid/" for i in range(5)], seconds=0.3)
        assert time.monotonic() - started < 5
    finally:
        over.set()


def test_one_address_that_answers_is_enough(site):
    assert_fetched(record(f"http://127.0.0.1:{closed_port()}/file.bin", f"{site.url}/file.bin"))


def test_offline_the_network_is_never_touched(site, monkeypatch):
    item = wanted(site)
    with pytest.raises(UnreachableError, match="the network is not to be used"):
        fetch(item, offline=True)
    monkeypatch.setenv("NEURAL_STYLE_MMD_OFFLINE", "1")
    with pytest.raises(UnreachableError):
        fetch(item)
    item.path.parent.mkdir(parents=True)
    item.path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged") as caught:
        fetch(item)
    assert not isinstance(caught.value, UnreachableError)
    item.path.write_bytes(DATA)
    assert fetch(item) == item.path
    assert site.requests == []


@pytest.mark.parametrize(("value", "offline"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_the_offline_variable(value, offline, monkeypatch):
    monkeypatch.setenv("NEURAL_STYLE_MMD_OFFLINE", value)
    assert is_offline() is offline and is_offline(True)


def test_two_at_once_download_once(site):
    site.pace = 0.001
    item, lines = wanted(site), []
    threads = [
        threading.Thread(target=fetch, args=(item,), kwargs={"notify": lines.append, "patience": QUICK})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert item.path.read_bytes() == DATA and len(site.requests) == 1
    assert any("another process is fetching" in line for line in lines)


def test_a_file_that_is_not_downloaded_says_why():
    nobody = dict.fromkeys(("title", "author", "licence", "attribution"))
    item = Record("file.bin", (), (1, 9), None, origin="x", not_fetched_because="no checksum is published", **nobody)
    with pytest.raises(InputError, match=r"file\.bin is not downloaded: no checksum is published"):
        fetch(item)


def test_a_folder_that_cannot_be_written_is_named(site, home):
    home.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=f"{home}"):
        fetch(wanted(site), patience=QUICK)


INTERRUPTED = """
import sys
sys.path[:0] = {path!r}
from test_fetch import record
from model_zoo.fetch import fetch
fetch(record({url!r}), notify=lambda text: print(text, flush=True))
"""


def child(site: Site, before: str = "") -> subprocess.Popen[str]:
    # A shell starts what it puts into the background with SIGINT ignored, and children inherit that.
    before = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + before
    program = before + INTERRUPTED.format(path=[str(Path(__file__).parent)], url=f"{site.url}/file.bin")
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def test_ctrl_c_leaves_a_part_that_is_resumed(site):
    site.pace = 0.1  # slow enough that the whole file is not there before the signal
    item = wanted(site)
    process = child(site)
    part = item.path.with_name(".file.bin.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size > 65_536):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    size = part.stat().st_size
    assert process.returncode != 0 and not item.path.exists() and 0 < size < len(DATA)
    site.pace = 0
    assert_fetched(item)
    assert site.requests[-1][1]["Range"] == f"bytes={size}-"


def test_a_disk_that_fills_up_is_one_clear_line(site):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    process = child(site, limit)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "InputError: cannot write " in errors.splitlines()[-1]
    assert left(wanted(site)) == {".file.bin.part", ".file.bin.part.json"}


def test_a_file_that_does_not_fit_on_the_disk_is_not_begun(site, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert "has 1000 bytes free" in refusal(wanted(site))


def test_a_certificate_is_trusted_only_where_the_environment_names_its_authority(tmp_path, monkeypatch):
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    with serving(Site(DATA), (certificate, key)) as site:
        item = record(f"{site.url}/file.bin")
        assert "no secure connection" in refusal(item)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert_fetched(item)
