"""Sockets of the service manager: which of them speak TLS, by the configuration's addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import parse
from pyproxycache.errors import ConfigError
from pyproxycache.options import ListenerOptions, TlsOptions
from pyproxycache.wiring.listening import addresses_of_operator, as_activated, with_activated

TLS = TlsOptions(certificate=Path("/c.pem"), key=Path("/k.pem"))
SOCKETS = ("127.0.0.1:3128", "0.0.0.0:3129", "[2001:db8::1]:3130", "unix:/run/p.sock")


def plain(*addresses: str) -> tuple[ListenerOptions, ...]:
    return tuple(ListenerOptions(address=address) for address in addresses)


def secured(*addresses: str) -> tuple[ListenerOptions, ...]:
    return tuple(ListenerOptions(address=address, tls=TLS) for address in addresses)


@pytest.mark.parametrize(
    ("configured", "with_tls"),
    [
        (plain("127.0.0.1:3128"), ()),
        (plain("192.0.2.1:1"), ()),  # without effect, as it has always been
        (secured("0.0.0.0:3129"), ("0.0.0.0:3129",)),
        ((*plain("0.0.0.0:3129"), *secured("127.0.0.1:3128")), ("127.0.0.1:3128",)),
        (secured("localhost:3128"), ("127.0.0.1:3128",)),
        (secured("[2001:0DB8:0::1]:3130"), ("[2001:db8::1]:3130",)),
        (secured("unix:/run/p.sock"), ("unix:/run/p.sock",)),
        (secured(*reversed(SOCKETS)), SOCKETS),
    ],
)
def test_tls_is_found_by_address(
    configured: tuple[ListenerOptions, ...], with_tls: tuple[str, ...]
) -> None:
    found = as_activated(configured, SOCKETS)
    assert tuple(one.address for one in found) == SOCKETS
    assert tuple(one.address for one in found if one.tls is not None) == with_tls


@pytest.mark.parametrize("address", ["127.0.0.1:3129", "[::]:3129", "0.0.0.0:3128", "unix:/run/q.sock"])
def test_no_socket_is_plain_that_is_to_speak_tls(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        as_activated((*plain("127.0.0.1:3128"), *secured(address)), SOCKETS)
    assert str(caught.value).startswith(
        f"listen[1].address: '{address}' is to speak TLS, and is none of the"
    )
    assert all(socket in str(caught.value) for socket in SOCKETS)


def test_a_name_of_nobody_is_told_of() -> None:
    with pytest.raises(ConfigError, match=r"listen\[0\]\.address: no-such-host\.invalid:1: "):
        as_activated(secured("no-such-host.invalid:1"), SOCKETS)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ()),
        ("admin", SOCKETS[:1]),
        ("pyproxycache.socket:admin:unknown:admin", (SOCKETS[1], SOCKETS[3])),
        ("a:b:c:d:admin", ()),
        ("ADMIN:admin.socket:admin2", ()),
    ],
)
def test_the_operators_sockets_have_a_name(names: str, expected: tuple[str, ...]) -> None:
    assert len(SOCKETS) == 4
    assert addresses_of_operator(SOCKETS, names) == expected


@pytest.mark.parametrize(
    ("admin", "of_operator", "expected"),
    [
        ("[]", (), ()),
        ("[]", ("unix:/run/p.sock",), ("unix:/run/p.sock",)),
        ("0.0.0.0:3129", (), ("0.0.0.0:3129",)),
        ("0.0.0.0:3129", ("0.0.0.0:3129",), ("0.0.0.0:3129",)),
        ("0.0.0.0:3129", ("unix:/run/p.sock",), ("0.0.0.0:3129", "unix:/run/p.sock")),
    ],
)
def test_the_operators_sockets_are_found_by_address_and_by_name(
    admin: str, of_operator: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    config = parse(f"admin: {{listen: {admin}}}", "proxy.yaml")
    found = with_activated(config, SOCKETS, of_operator)
    assert found.admin.listen == expected
    assert sorted((*found.addresses, *found.admin.listen)) == sorted(SOCKETS)


def test_there_is_a_socket_for_clients_besides_the_operators() -> None:
    config = parse("admin: {token: '${env:A}'}", "proxy.yaml")
    with pytest.raises(ConfigError, match="none of the service manager's sockets is left"):
        with_activated(config, SOCKETS[:1], SOCKETS[:1])


def transparent(http: str, https: str) -> Config:
    return parse(f"transparent: {{http: '{http}', https: '{https}'}}", "proxy.yaml")


def test_sockets_for_redirected_connections_are_no_others() -> None:
    found = with_activated(transparent("0.0.0.0:3129", "[2001:DB8:0::1]:3130"), SOCKETS)
    assert found.transparent.schemes == {"0.0.0.0:3129": "http", "[2001:db8::1]:3130": "https"}
    assert found.addresses == ("127.0.0.1:3128", "unix:/run/p.sock")


@pytest.mark.parametrize(
    ("http", "sockets", "told"),
    [
        ("0.0.0.0:1", SOCKETS, "transparent.http: '0.0.0.0:1' is none of the"),
        ("no-such-host.invalid:1", SOCKETS, "transparent.http: 'no-such-host.invalid:1' is none of the"),
        ("0.0.0.0:3129", SOCKETS[1:3], "none of the service manager's sockets is left"),
    ],
)
def test_each_address_for_redirected_connections_needs_a_socket(
    http: str, sockets: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        with_activated(transparent(http, "[2001:db8::1]:3130"), sockets)
    assert told in str(caught.value)
