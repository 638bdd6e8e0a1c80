"""A web server on 127.0.0.1 that serves one file, well or in one of the ways servers fail."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Site:
    """What the server does; `requests` notes each request's path and headers."""

    data: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True  # whether Range is honoured
    status: int = 200
    content_type: str = "application/octet-stream"
    cut: int | None = None  # bytes of a body after which the connection is closed
    cuts: int = 1_000_000  # how many bodies are cut so
    stall: float = 0.0  # seconds of silence at the cut, before it is closed
    claim: int = 0  # added to the Content-Length
    no_length: bool = False
    encoding: str | None = None
    redirect: dict[str, str] = field(default_factory=dict)
    range_status: int | None = None  # with which a request for a part is refused
    wrong_range: bool = False  # 206 that begins a byte later, and says so
    after: Any = None  # called with the site once a request's answer is fixed
    pace: float = 0.0  # seconds between blocks of 1000 bytes
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        site.requests.append((self.path, dict(self.headers.items())))
        try:
            self._answer(site)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True

    def _answer(self, site: Site) -> None:
        if self.path in site.redirect:
            self.send_response(302)
            self.send_header("Location", site.redirect[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start, asked = 0, self.headers.get("Range")
        current = self.headers.get("If-Range") in (None, site.etag)
        if asked and site.range_status:
            self.send_response(site.range_status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        partial = bool(asked) and site.ranges and current and site.status == 200
        if partial:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))  # type: ignore[union-attr]
            if start >= len(site.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        if partial and site.wrong_range:
            start += 1
        body = site.data[start:]
        self.send_response(206 if partial else site.status)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{len(site.data) - 1}/{len(site.data)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.encoding:
            self.send_header("Content-Encoding", site.encoding)
        if not site.no_length:
            self.send_header("Content-Length", str(len(body) + site.claim))
        self.send_header("Content-Type", site.content_type)
        if site.after:  # before anything is sent, so that the client's next request finds the site changed
            site.after(site)
        self.end_headers()
        self._send(site, body)

    def _send(self, site: Site, body: bytes) -> None:
        cut = site.cut if site.cut is not None and site.cuts > 0 and len(body) > site.cut else None
        if cut is not None:
            site.cuts -= 1
            body = body[:cut]
        for i in range(0, len(body), 1000) if site.pace else ():
            self.wfile.write(body[i : i + 1000])
            time.sleep(site.pace)
        if not site.pace:
            self.wfile.write(body)
        self.wfile.flush()
        if cut is not None:
            time.sleep(site.stall)


@contextmanager
def serving(site: Site, certificate: tuple[Path, Path] | None = None) -> Iterator[Site]:
    """Serve `site`, by https where a certificate and its key are given."""
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
