"""Redirected connections in TLS that are intercepted: by the name in the ClientHello."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from certificates import Certificate, make_certificate
from harness import Proxy
from origin import Origin
from routed import (
    FORGER,
    FORGER6,
    LAN,
    NAME,
    NETWORKS,
    ORIGIN,
    ORIGIN6,
    ROUTER,
    SECOND,
    Routed,
    routed,
)

from pyproxycache.tls.certificate_authority import CertificateAuthority

TPROXY = [(), ("--tproxy",)]


class Told(NamedTuple):
    """The answer that a client got."""

    status: int
    body: bytes
    cache_status: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("redirected")


@pytest.fixture(scope="module")
def net(folder: Path) -> Iterator[Routed]:
    with routed(folder) as made:
        yield made


@pytest.fixture(scope="module")
def real(folder: Path) -> Certificate:
    """That of a.test, and of the address."""
    return make_certificate(folder, f"DNS:{NAME},IP:{ORIGIN}")


@pytest.fixture(scope="module")
def origins(net: Routed, folder: Path, real: Certificate) -> Iterator[dict[str, Origin]]:
    """Origins in TLS, of which those of the forger have no certificate for a.test."""
    (folder / "forged").mkdir()
    forged = make_certificate(folder / "forged", "DNS:forged.test")
    with contextlib.ExitStack() as stack:
        found = {a: Origin(a, 443, tls=real.server()) for a in (ORIGIN, ORIGIN6, SECOND)}
        found |= {a: Origin(a, 443, tls=forged.server()) for a in (FORGER, FORGER6)}
        for origin in found.values():
            stack.callback(origin.stop)
            net.origin.call(origin.start)
        yield found


@pytest.fixture(scope="module")
def trust(folder: Path) -> ssl.SSLContext:
    """What clients trust: the cache's authority alone."""
    CertificateAuthority.create(folder / "ca", time.time())
    return ssl.create_default_context(cafile=str(folder / "ca" / "ca.pem"))


@pytest.fixture(scope="module")
def proxy(net: Routed, folder: Path, real: Certificate, trust: ssl.SSLContext) -> Iterator[Proxy]:
    config = {
        "allow": NETWORKS,
        "transparent": {"http": ":3129", "https": ":3130"},
        "intercept": {"hosts": ["*"], "except": ["passed.test"], "ca": str(folder / "ca")},
        "fetch": {"ca_file": str(real.certificate)},
    }
    running = net.router.call(lambda: Proxy(folder / "proxy", host=LAN, config=config))
    with contextlib.closing(running):
        net.router.call(running.start)
        yield running
        print(running.log())


@pytest.fixture(params=TPROXY, ids=["redirect", "tproxy"])
def redirected(request: pytest.FixtureRequest, net: Routed, proxy: Proxy) -> Iterator[Routed]:
    net.redirect(*ROUTER, *request.param)
    yield net
    net.redirect("stop")


def put(origins: dict[str, Origin], path: str) -> None:
    for address, origin in origins.items():
        origin.put(path, address.encode(), cache_control="max-age=60")
        origin.forget()


def get(net: Routed, trust: ssl.SSLContext, address: str, path: str, name: str = NAME) -> Told:
    """What a client gets that connects to the address and verifies the name."""

    def asked() -> Told:
        client = http.client.HTTPConnection(address, 443, timeout=20)
        with contextlib.closing(client):
            client.connect()
            client.sock = trust.wrap_socket(client.sock, server_hostname=name)
            client.request("GET", path, headers={"Host": name})
            answer = client.getresponse()
            return Told(answer.status, answer.read(), answer.getheader("Cache-Status") or "")

    return net.client.call(asked)


def test_of_two_requests_one_reaches_the_origin(
    redirected: Routed, origins: dict[str, Origin], trust: ssl.SSLContext, request: pytest.FixtureRequest
) -> None:
    for address in (ORIGIN, ORIGIN6):
        path = f"/{request.node.name}-{address}"
        put(origins, path)
        first, second = (get(redirected, trust, address, path) for _ in range(2))
        assert (first.body, second.body) == (address.encode(),) * 2
        assert f'; stored; key="https://{NAME}{path}"' in first.cache_status
        assert "; hit; " in second.cache_status
        assert origins[address].count(path) == 1


def test_a_forged_name_poisons_nothing(
    redirected: Routed, origins: dict[str, Origin], trust: ssl.SSLContext, request: pytest.FixtureRequest
) -> None:
    path = f"/{request.node.name}"
    put(origins, path)
    for forger in (FORGER, FORGER6):  # who has no certificate for the name
        told = get(redirected, trust, forger, path)
        assert (told.status, b"a.test" in told.body) == (502, True)
    for _ in range(2):  # who has one, and an address that the name has not
        told = get(redirected, trust, SECOND, path)
        assert (told.status, told.body) == (200, SECOND.encode())
        assert "detail=host-unverified" in told.cache_status
    assert origins[SECOND].count(path) == 2
    for _ in range(2):
        assert get(redirected, trust, ORIGIN, path).body == ORIGIN.encode()
    assert get(redirected, trust, ORIGIN6, path).body == ORIGIN.encode()
    assert get(redirected, trust, SECOND, path).body == SECOND.encode()
    assert origins[ORIGIN].count(path) == 1


def test_without_a_name_the_address_is_the_name(
    redirected: Routed, origins: dict[str, Origin], trust: ssl.SSLContext, request: pytest.FixtureRequest
) -> None:
    path = f"/{request.node.name}"
    put(origins, path)
    told = [get(redirected, trust, ORIGIN, path, ORIGIN) for _ in range(2)]
    assert [one.body for one in told] == [ORIGIN.encode()] * 2
    assert "; hit; " in told[1].cache_status
    assert f'; key="https://{ORIGIN}{path}"' in told[1].cache_status


def test_what_is_excepted_is_passed_on_to_the_address(
    redirected: Routed, origins: dict[str, Origin], real: Certificate
) -> None:
    put(origins, "/passed")
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.load_verify_locations(real.certificate)  # the origin's own, which the cache has no key of
    told = get(redirected, anyone, SECOND, "/passed", "passed.test")
    assert told == Told(200, SECOND.encode(), "")


def test_the_cache_itself_is_out_of_reach(
    redirected: Routed, origins: dict[str, Origin], trust: ssl.SSLContext
) -> None:
    for path in ("/", "/api/v1/health/", "/ca.pem"):
        put(origins, path)
        assert get(redirected, trust, SECOND, path).body == SECOND.encode()
        assert get(redirected, trust, ORIGIN, path).body == ORIGIN.encode()


def test_over_http2_it_is_the_same(
    redirected: Routed,
    origins: dict[str, Origin],
    trust: ssl.SSLContext,
    folder: Path,
    request: pytest.FixtureRequest,
) -> None:
    path = f"/{request.node.name}"
    put(origins, path)
    get(redirected, trust, ORIGIN, path)
    for address, told in (
        (ORIGIN, "; hit; "),
        (SECOND, "detail=host-unverified"),
        (SECOND, "detail=host-unverified"),
    ):
        curl = ["curl", "-gsSi", "--http2", "--cacert", str(folder / "ca" / "ca.pem")]
        curl += ["--resolve", f"{NAME}:443:{address}", f"https://{NAME}{path}"]
        done = redirected.client.call(subprocess.run, curl, capture_output=True, text=True, timeout=30)
        assert done.stdout.startswith("HTTP/2 200"), done
        assert (told in done.stdout, done.stdout.endswith(address)) == (True, True)
