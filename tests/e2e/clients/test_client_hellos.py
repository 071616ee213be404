"""What real clients say first is read in any pieces, and goes whole to the handshake that follows."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from harness import Proxy
from hello_recorder import NAME, SPEAKERS, Speaker
from hellos import in_records, read
from raw import request
from scripted import read_head
from splits import everywhere, somewhere
from test_clients import make_authority

_SERVER_HELLO = 2


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    every = metafunc.config.getoption("--every-client", default=False)
    chosen = [speaker for speaker in SPEAKERS if every or speaker.is_quick]
    metafunc.parametrize("speaker", chosen, ids=lambda speaker: speaker.name, scope="module")


@functools.cache
def hello_of(speaker: Speaker) -> bytes:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return speaker.recorded(Path(folder))


def test_read_in_all_splits(speaker: Speaker) -> None:
    raw = hello_of(speaker)
    found = read([raw])
    assert found is not None
    assert found.server_name == NAME
    named = tuple(one for one in found.protocols if one in ("h2", "http/1.1"))
    assert named == speaker.protocols
    for whole in (raw, in_records(raw, 100)):
        for pieces in everywhere(whole):
            assert read(pieces) == found


def test_chromium_brings_the_shares_of_keys_that_make_it_long(speaker: Speaker) -> None:
    """So the splits of it are those of a message in several segments."""
    if speaker.name == "Chromium":
        assert len(hello_of(speaker)) > 1460


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that intercepts what clients say to NAME."""
    folder = tmp_path_factory.mktemp("hellos")
    ca = make_authority(folder / "authority")
    with Proxy(folder / "proxy", config={"intercept": {"hosts": [NAME], "ca": str(ca.parent)}}) as proxy:
        yield proxy


@pytest.mark.parametrize("way", ["whole", "in pieces", "byte by byte", "in small records", "with the head"])
def test_the_handshake_goes_on_with_it(speaker: Speaker, running: Proxy, way: str) -> None:
    raw = hello_of(speaker)
    pieces: dict[str, Callable[[], list[bytes]]] = {
        "whole": lambda: [raw],
        "in pieces": lambda: somewhere(raw, 7),
        "byte by byte": lambda: [raw[place : place + 1] for place in range(len(raw))],
        "in small records": lambda: somewhere(in_records(raw, 50), 8),
        "with the head": list,
    }
    # Who leaves here thrice does not want our certificates, and gets tunnels: each is another client.
    source = f"127.1.{SPEAKERS.index(speaker)}.{1 + list(pieces).index(way)}"
    with socket.create_connection(running.address, 20, (source, 0)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = request(f"CONNECT {NAME}:443")
        client.sendall(asked + raw if way == "with the head" else asked)
        assert read_head(client).startswith(b"HTTP/1.1 200 ")
        for piece in pieces[way]():
            client.sendall(piece)
        answer = client.recv(6, socket.MSG_WAITALL)
        assert (answer[:2], answer[5]) == (b"\x16\x03", _SERVER_HELLO)
