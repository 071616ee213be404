"""Clients that ask for an object in pieces: download managers, a player that seeks, a lazy wheel."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

Fetch = Callable[[str, str | None, Path], str]
"""Gets a URL, through a proxy's URL or directly, in a folder of its own; gives the body's sha256."""

_BLOCK = 64 << 10
_CONNECTIONS = 8
_SEEKS = (0.0, 0.5, 0.17, 0.67, 0.33, 0.83)
_WATCHED = 0.02


def missing(name: str) -> bool:
    """Whether the client is a command that this machine does not have."""
    return name in _COMMANDS and shutil.which(name) is None


def _command(*arguments: str, proxy: str | None, folder: Path, name: str = "file") -> str:
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    if proxy is not None:
        environment["http_proxy"] = proxy
    subprocess.run(
        arguments, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL, timeout=120
    )
    with (folder / name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def aria2c(url: str, proxy: str | None, folder: Path) -> str:
    options = ("-q", "-x8", "-s8", "-k1M", "--no-conf", "--file-allocation=none", "--out=file")
    return _command("aria2c", *options, url, proxy=proxy, folder=folder)


def axel(url: str, proxy: str | None, folder: Path) -> str:
    return _command("axel", "-q", f"-n{_CONNECTIONS}", "-o", "file", url, proxy=proxy, folder=folder)


def lftp(url: str, proxy: str | None, folder: Path) -> str:
    get = f"pget -n {_CONNECTIONS} {url}"
    name = url.rpartition("/")[2]
    return _command("lftp", "--norc", "-c", get, proxy=proxy, folder=folder, name=name)


def player(url: str, proxy: str | None, _folder: Path) -> str:
    """Asks for bytes=N- here and there, sees a little and leaves; in the end for all from the beginning."""
    size = int(_head(url, proxy)["Content-Length"] or 0)
    seen: list[tuple[int, bytes]] = []
    for place in _SEEKS:
        start = int(place * size)
        seen.append((start, b"".join(_pieces(url, proxy, f"bytes={start}-", int(_WATCHED * size)))))
    body = b"".join(_pieces(url, proxy, "bytes=0-", size))
    if any(body[start : start + len(piece)] != piece for start, piece in seen):
        return "a piece that does not fit"
    return hashlib.sha256(body).hexdigest()


def lazy_wheel(url: str, proxy: str | None, _folder: Path) -> str:
    """Reads the end of an archive, then some members of it, and in the end takes all of it."""
    size = int(_head(url, proxy)["Content-Length"] or 0)
    spans = [(size - 10_240, size), (size - 30_720, size - 10_240)]
    spans += [(int(place * size), int(place * size) + 10_240) for place in (0.9, 0.3, 0.31, 0.6)]
    seen = [
        (start, b"".join(_pieces(url, proxy, f"bytes={start}-{stop - 1}", stop - start)))
        for start, stop in spans
    ]
    body = b"".join(_pieces(url, proxy, None, size))
    if any(body[start : start + len(piece)] != piece for start, piece in seen):
        return "a piece that does not fit"
    return hashlib.sha256(body).hexdigest()


@contextmanager
def _answer(
    method: str, url: str, proxy: str | None, headers: dict[str, str]
) -> Iterator[http.client.HTTPResponse]:
    target = urlsplit(url)
    where = urlsplit(proxy or url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    try:
        connection.request(
            method, url if proxy else target.path, headers={"Host": target.netloc, **headers}
        )
        yield connection.getresponse()
    finally:
        connection.close()


def _head(url: str, proxy: str | None) -> http.client.HTTPMessage:
    with _answer("HEAD", url, proxy, {}) as response:
        return response.headers


def _pieces(url: str, proxy: str | None, wanted: str | None, count: int) -> Iterator[bytes]:
    """The answer's first bytes, `count` of them, after which the connection is closed."""
    with _answer("GET", url, proxy, {"Range": wanted} if wanted else {}) as response:
        if response.status != (206 if wanted else 200):
            raise ValueError(f"{url}: {response.status} {response.reason}")
        while count > 0:
            data = response.read(min(count, _BLOCK))
            if not data:
                raise ValueError(f"{url}: ended {count} bytes early")
            count -= len(data)
            yield data


_COMMANDS = ("aria2c", "axel", "lftp")
CLIENTS: dict[str, Fetch] = {
    "aria2c": aria2c,
    "axel": axel,
    "lftp": lftp,
    "player": player,
    "lazy wheel": lazy_wheel,
}
