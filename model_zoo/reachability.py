"""Whether there is a network at all: the one question that decides between an error and falling back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from .errors import InputError


class UnreachableError(InputError):
    """The file is not at hand and there is no network: none accepted a connection, or it is not to be used."""


def require_reachable(urls: Sequence[str], seconds: float) -> None:
    """UnreachableError unless one of the addresses, or the proxy on the way to it, accepts a connection in time.

    All are tried at once in threads of their own, since looking up a name knows no timeout.
    """
    hosts = sorted({_host(url) for url in urls})
    answers: list[bool] = []
    changed = threading.Condition()

    def knock(host: tuple[str, int]) -> None:
        try:
            socket.create_connection(host, timeout=seconds).close()
            accepted = True
        except OSError:
            accepted = False
        with changed:
            answers.append(accepted)
            changed.notify()

    for host in hosts:
        threading.Thread(target=knock, args=(host,), daemon=True).start()
    with changed:
        changed.wait_for(lambda: any(answers) or len(answers) == len(hosts), timeout=seconds)
        if not any(answers):
            names = ", ".join(name for name, _ in hosts)
            raise UnreachableError(f"no address accepted a connection within {seconds:g} s ({names})")


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port that `url` names; ValueError where no connection could be made to them."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    parts.hostname.encode("idna")  # as the connection does; UnicodeError, a ValueError, where a part is empty or long
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _host(url: str) -> tuple[str, int]:
    """Host and port that a connection for `url` goes to first."""
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return host_and_port(url)
    try:
        return host_and_port(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        variables = f"{urlsplit(url).scheme.upper()}_PROXY or ALL_PROXY"
        shown = proxy.rpartition("@")[2]  # without a password
        raise InputError(f"{variables} is {shown!r}; it must be an address such as http://example.org:3128") from None
