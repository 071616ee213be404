"""Which of gunicorn's sockets speaks TLS: by the address it was bound to, in whatever order they come."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from certificates import make_certificate

from pyproxycache.errors import ConfigError
from pyproxycache.front.processes.bound import listeners_of
from pyproxycache.options import TlsOptions
from pyproxycache.tls.server_tls import ServerTls

PLAIN, SECURED = "127.0.0.1:3128", "0.0.0.0:3129"


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    made = make_certificate(tmp_path, "DNS:localhost")
    return ServerTls(TlsOptions(certificate=made.certificate, key=made.key), "listen[0].tls")


def bound(address: Any) -> Any:
    """A socket as gunicorn has it: what it was asked to be bound to, or what the system tells of it."""
    return SimpleNamespace(cfg_addr=address, sock=object())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (SECURED, ("0.0.0.0", 3129)),
        ("Cache:3129", ("cache", 3129)),
        ("[::]:3129", ("::", 3129)),
        ("[::]:3129", ("::", 3129, 0, 0)),
        ("[2001:db8::1]:3129", ("2001:db8::1", 3129, 0, 0)),
        ("unix:/run/p.sock", "/run/p.sock"),
    ],
)
def test_by_address_and_not_by_position(tls: ServerTls, text: str, address: object) -> None:
    sockets = [bound(("127.0.0.1", 3128)), bound(address), bound("/run/other.sock")]
    texts = [PLAIN, text, "unix:/run/other.sock"]
    for found in permutations(sockets):
        for told in permutations(texts):
            listeners = listeners_of(found, told, {text: tls}, {})
            assert [listener.sock for listener in listeners] == [one.sock for one in found]
            assert [listener.tls for listener in listeners] == [
                tls if one is sockets[1] else None for one in found
            ]


def test_a_socket_of_no_address_is_not_guessed_to_be_plain(tls: ServerTls) -> None:
    strange = bound(("192.0.2.1", 3129))
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1.* is of no address in listen: 127"):
        listeners_of([strange], [PLAIN, SECURED], {SECURED: tls}, {})
    assert listeners_of([strange], [PLAIN], {}, {})[0].tls is None


def test_what_is_redirected_is_found_by_address_too() -> None:
    sockets = [bound(("127.0.0.1", 3128)), bound(("::1", 3129, 0, 0)), bound(("127.0.0.1", 3130))]
    addresses = [PLAIN, "[::1]:3129", "127.0.0.1:3130"]
    schemes = {"[::1]:3129": "http", "127.0.0.1:3130": "https"}
    for found in permutations(sockets):
        told = {
            id(listener.sock): listener.redirected
            for listener in listeners_of(found, addresses, {}, schemes)
        }
        assert [told[id(one.sock)] for one in sockets] == ["", "http", "https"]
    with pytest.raises(ConfigError, match="of no address"):
        listeners_of([bound(("192.0.2.1", 3129))], addresses, {}, schemes)
