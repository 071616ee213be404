"""Redirected connections, by the repository's own rule files: from a client, and of one machine."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import make_certificate
from harness import Proxy, Reply
from origin import Origin
from raw import Conversation, request
from routed import (
    FORGER,
    FORGER6,
    LAN,
    LAN6,
    NAME,
    NETWORKS,
    ORIGIN,
    ORIGIN6,
    SECOND,
    WAN,
    WAYS,
    Routed,
    routed,
)
from scripted import read_head
from waiting import until

HTTP, HTTPS = 3129, 3130
NOBODY = 65534
IDS = [" ".join(way[4:]) for way in WAYS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transparent")


@pytest.fixture(scope="module")
def net(folder: Path) -> Iterator[Routed]:
    with routed(folder) as made:
        yield made


@pytest.fixture(scope="module")
def origins(net: Routed, folder: Path) -> Iterator[dict[str, Origin]]:
    """An origin at each address of the origin's host, which says where it is, and one in TLS."""
    certificate = make_certificate(folder, f"DNS:{NAME}")
    with contextlib.ExitStack() as stack:
        found = {address: Origin(address, 80) for address in (ORIGIN, ORIGIN6, SECOND, FORGER, FORGER6)}
        secured = {f"{a} in TLS": Origin(a, 443, tls=certificate.server()) for a in (ORIGIN, ORIGIN6)}
        for origin in (*found.values(), *secured.values()):
            stack.callback(origin.stop)
            net.origin.call(origin.start)
        yield found | secured


@pytest.fixture(scope="module")
def proxy(net: Routed, folder: Path) -> Iterator[Proxy]:
    """The router's proxy, which takes redirected connections of both families."""
    config = {
        "allow": [*NETWORKS, "127.0.0.0/8", "::1/128"],
        "transparent": {"http": f":{HTTP}", "https": f":{HTTPS}"},
        "log": {"access": str(folder / "access.log")},
    }
    running = net.router.call(lambda: Proxy(folder / "proxy", host=LAN, workers=2, config=config))
    with contextlib.closing(running):
        net.router.call(running.start)
        yield running
        print(running.log())


@pytest.fixture
def by_nft(net: Routed, proxy: Proxy) -> Iterator[Routed]:
    """The network, with the client's connections redirected by nftables."""
    net.redirect(*WAYS[0])
    yield net
    net.redirect("stop")


def put(origins: dict[str, Origin], path: str, **options: Any) -> None:
    """Have all origins answer the path, each with its own address."""
    for address, origin in origins.items():
        origin.put(path, address.encode(), **{"cache_control": "max-age=60", **options})
        origin.forget()


def ask(net: Routed, address: str, head: bytes, port: int = 80) -> Reply:
    """What the client gets who connects to this address."""

    def asked() -> Reply:
        with Conversation((address, port)) as client:
            return client.send(head).reply()

    return net.client.call(asked)


def get(net: Routed, address: str, path: str, host: str = NAME) -> Reply:
    return ask(net, address, request(f"GET {path}", f"Host: {host}"))


# The ways to redirect.


@pytest.mark.parametrize("way", WAYS, ids=IDS)
def test_of_two_requests_one_reaches_the_origin(
    net: Routed, proxy: Proxy, origins: dict[str, Origin], way: tuple[str, ...]
) -> None:
    net.redirect(*way)
    try:
        for number, address in enumerate((ORIGIN, ORIGIN6)):
            path = f"/twice{WAYS.index(way)}{number}"
            put(origins, path)
            first, second = (get(net, address, path) for _ in range(2))
            assert first.body == second.body == address.encode()
            assert [
                "stored" in str(first.get("Cache-Status")),
                "hit" in str(second.get("Cache-Status")),
            ] == [
                True,
                True,
            ]
            assert f'key="http://{NAME}{path}"' in str(first.get("Cache-Status"))
            assert origins[address].count(path) == 1
    finally:
        net.redirect("stop")
    put(origins, "/past")
    assert get(net, ORIGIN, "/past").get("Via") is None  # nothing is redirected any more


@pytest.mark.parametrize("way", WAYS, ids=IDS)
def test_https_passes_unread(
    net: Routed, proxy: Proxy, origins: dict[str, Origin], folder: Path, way: tuple[str, ...]
) -> None:
    trust = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    put(origins, "/secured")
    before = (folder / "access.log").read_text().count("CONNECT")

    def asked(address: str) -> bytes:
        with (
            socket.create_connection((address, 443), 10) as plain,
            trust.wrap_socket(plain, server_hostname=NAME) as client,
        ):
            client.sendall(request("GET /secured", f"Host: {NAME}", "Connection: close"))
            return b"".join(iter(lambda: client.recv(1 << 16), b""))

    net.redirect(*way)
    try:
        for address in (ORIGIN, ORIGIN6):
            assert net.client.call(asked, address).endswith(f"{address} in TLS".encode())
    finally:
        net.redirect("stop")
    until(lambda: (folder / "access.log").read_text().count("CONNECT") == before + 2)
    assert f"CONNECT {ORIGIN}:443" in (folder / "access.log").read_text()


def test_quic_is_refused_so_that_clients_use_tcp(by_nft: Routed) -> None:
    def asked() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect((ORIGIN, 443))
            client.send(b"initial")
            client.recv(1)

    with pytest.raises(ConnectionRefusedError):
        by_nft.client.call(asked)


# Whose answers are shared.


@pytest.mark.parametrize(("forger", "real"), [(FORGER, ORIGIN), (FORGER6, ORIGIN6)])
def test_a_forged_host_poisons_nothing(
    by_nft: Routed, origins: dict[str, Origin], forger: str, real: str
) -> None:
    path = f"/forged-{forger}"
    put(origins, path)
    for _ in range(2):  # it is passed on each time, and neither refused nor shared
        reply = get(by_nft, forger, path)
        assert (reply.status, reply.body) == (200, forger.encode())
        assert "detail=host-unverified" in str(reply.get("Cache-Status"))
    assert origins[forger].count(path) == 2
    assert [dict(asked.headers)["Host"] for asked in origins[forger].asked(path)] == [NAME, NAME]
    assert get(by_nft, real, path).body == real.encode()
    for _ in range(2):  # what is stored by now is not for who has connected elsewhere
        assert get(by_nft, forger, path).body == forger.encode()
    reply = get(by_nft, real, path)
    assert (reply.body, "hit" in str(reply.get("Cache-Status"))) == (real.encode(), True)
    assert origins[real].count(path) == 1


def test_a_forged_request_that_changes_something_purges_nothing(
    by_nft: Routed, origins: dict[str, Origin]
) -> None:
    put(origins, "/changed")
    get(by_nft, ORIGIN, "/changed")
    for method in ("POST", "DELETE", "PURGE"):
        head = request(f"{method} /changed", f"Host: {NAME}", "Content-Length: 0")
        assert ask(by_nft, FORGER, head).body == FORGER.encode()
    assert "hit" in str(get(by_nft, ORIGIN, "/changed").get("Cache-Status"))


def test_nobody_waits_for_a_forged_request(by_nft: Routed, origins: dict[str, Origin]) -> None:
    """Neither who asks for the real thing, nor who asks for the same."""
    put(origins, "/held")
    gate = origins[FORGER].gate("/held")
    forged = [by_nft.client.call(socket.create_connection, (FORGER, 80), 10) for _ in range(2)]
    try:
        for number, connection in enumerate(forged):
            connection.sendall(request("GET /held", f"Host: {NAME}"))
            origins[FORGER].wait_for("/held", number + 1)
        gate.wait_reached()
        assert get(by_nft, ORIGIN, "/held").body == ORIGIN.encode()
    finally:
        gate.open()
        for connection in forged:
            connection.close()


@pytest.mark.parametrize("host", ["a.test:8080", "other.test", ORIGIN6.join("[]"), SECOND])
def test_what_else_does_not_share(by_nft: Routed, origins: dict[str, Origin], host: str) -> None:
    """Another port, a name without addresses, another address: each is answered all the same."""
    path = f"/else-{host}"
    put(origins, path)
    for _ in range(2):
        assert get(by_nft, ORIGIN, path, host).body == ORIGIN.encode()
    assert [dict(asked.headers)["Host"] for asked in origins[ORIGIN].asked(path)] == [host, host]


@pytest.mark.parametrize("rest", ["HTTP/1.0\r\n\r\n", f"HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n"])
def test_without_a_name_the_address_is_the_host(
    by_nft: Routed, origins: dict[str, Origin], rest: str
) -> None:
    path = f"/address{len(rest)}"
    put(origins, path)
    replies = [ask(by_nft, ORIGIN, f"GET {path} {rest}".encode()) for _ in range(2)]
    assert f'; key="http://{ORIGIN}{path}"' in str(replies[1].get("Cache-Status"))
    assert origins[ORIGIN].count(path) == 1


def test_a_name_whose_addresses_rotate_is_shared_at_each(
    by_nft: Routed, origins: dict[str, Origin]
) -> None:
    by_nft.resolve(a_test=[ORIGIN, ORIGIN6], rotating_test=[ORIGIN])
    put(origins, "/rotating")
    assert get(by_nft, ORIGIN, "/rotating", "rotating.test").body == ORIGIN.encode()
    by_nft.resolve(a_test=[ORIGIN, ORIGIN6], rotating_test=[SECOND])

    def is_hit(address: str) -> bool:
        return "hit" in str(get(by_nft, address, "/rotating", "rotating.test").get("Cache-Status"))

    until(lambda: is_hit(SECOND))  # a look-up may be a second old
    until(lambda: is_hit(ORIGIN))  # which the name has had lately, as one of the workers knows


def test_parts_and_other_protocols_are_as_by_a_proxy(by_nft: Routed, origins: dict[str, Origin]) -> None:
    put(origins, "/whole")
    get(by_nft, ORIGIN, "/whole")
    part = ask(by_nft, ORIGIN, request("GET /whole", f"Host: {NAME}", "Range: bytes=3-5"))
    assert (part.status, part.body, origins[ORIGIN].count("/whole")) == (206, ORIGIN.encode()[3:6], 1)
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"

    def serve() -> None:
        with listener.accept()[0] as connection:
            read_head(connection)
            connection.sendall(switching + b"hello")
            connection.sendall(connection.recv(100))

    def echo() -> None:
        with listener.accept()[0] as connection:
            while data := connection.recv(100):
                connection.sendall(data)

    def speak() -> bytes:
        with socket.create_connection((SECOND, 80), 10) as client:
            client.sendall(b"SSH-2.0-client\r\n")
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(100), b""))

    def talk(host: str) -> bytes:
        with Conversation((SECOND, 80)) as client:
            fields = (f"Host: {host}", "Connection: upgrade", "Upgrade: echo")
            assert client.send(request("GET /", *fields) + b"bytes").head().status == 101
            return client.rest()

    origins[SECOND].stop()
    try:
        with by_nft.origin.call(socket.create_server, (SECOND, 80)) as listener:
            for host in (NAME, SECOND):  # the one is forged
                thread = threading.Thread(target=serve)
                thread.start()
                assert by_nft.client.call(talk, host) == b"hellobytes"
                thread.join(10)
            thread = threading.Thread(target=echo)
            thread.start()
            assert by_nft.client.call(speak) == b"SSH-2.0-client\r\n"
            thread.join(10)
    finally:
        by_nft.origin.call(origins[SECOND].start)


# What is not reached.


@pytest.mark.parametrize("target", ["/", "/api/v1/health/", "/api/v1/status/", f"/http://{NAME}/x"])
def test_own_pages_are_not_reached(by_nft: Routed, origins: dict[str, Origin], target: str) -> None:
    for origin in origins.values():
        origin.forget()
    assert get(by_nft, ORIGIN, target).status == 404
    assert [asked.target for asked in origins[ORIGIN].requests] == [target]


@pytest.mark.parametrize("address", [LAN, LAN6, WAN])
@pytest.mark.parametrize("target", ["/", "/api/v1/health/", f"http://{NAME}/x"])
def test_who_connects_to_the_port_itself_is_told_what_it_is_for(
    by_nft: Routed, address: str, target: str
) -> None:
    reply = ask(by_nft, address, request(f"GET {target}", f"Host: {NAME}"), HTTP)
    assert (reply.status, reply.body.startswith(b"port 3129 is for connections")) == (403, True)
    with pytest.raises(ConnectionError):
        ask(by_nft, address, b"\x16\x03\x01", HTTPS)


def test_requests_to_a_proxy(by_nft: Routed, origins: dict[str, Origin]) -> None:
    put(origins, "/x")
    assert ask(by_nft, ORIGIN, request("CONNECT a.test:443")).status == 501
    assert ask(by_nft, ORIGIN, request(f"GET http://{NAME}/x")).body == ORIGIN.encode()
    for url in (f"http://{FORGER}/x", f"http://{NAME}:8080/x", f"https://{NAME}/x"):
        assert ask(by_nft, ORIGIN, request(f"GET {url}")).status == 421


def test_the_router_s_own_services_are_reached_directly(
    by_nft: Routed, proxy: Proxy, origins: dict[str, Origin]
) -> None:
    served = Origin(LAN, 80)
    by_nft.router.call(served.start)
    try:
        served.put("/own", b"router")
        reply = get(by_nft, LAN, "/own")
        assert (reply.body, reply.get("Via")) == (b"router", None)
    finally:
        served.stop()


# One machine.


@pytest.mark.parametrize("tool", ["nft", "iptables"])
def test_of_one_machine_all_but_the_proxy_s_user_is_redirected(
    net: Routed, proxy: Proxy, origins: dict[str, Origin], tool: str
) -> None:
    net.redirect("start", "machine", "--user", "root", "--by", tool)
    try:
        for address in (ORIGIN, ORIGIN6):
            path = f"/machine-{tool}-{address}"
            put(origins, path)
            bracketed = f"[{address}]" if ":" in address else address
            curl = ("curl", "-sSi", "-H", f"Host: {NAME}", f"http://{bracketed}{path}")
            replies = [net.run(*curl, user=NOBODY).stdout for _ in range(2)]
            assert ["; hit;" in reply for reply in replies] == [False, True]
            assert "Via:" not in net.run(*curl).stdout  # root's, as which the proxy runs
            assert origins[address].count(path) == 2
        put(origins, "/secured")
        resolved = ("--resolve", f"{NAME}:443:{ORIGIN}")
        told = net.run("curl", "-sSk", *resolved, f"https://{NAME}/secured", user=NOBODY).stdout
        assert told == f"{ORIGIN} in TLS"
    finally:
        net.redirect("stop")


def test_of_one_machine_some_users_may_be_refused(
    net: Routed, origins: dict[str, Origin], folder: Path
) -> None:
    """Whose a connection is shows by where it was made to, and not by where it was redirected."""
    put(origins, "/users")
    config = {"allow_accounts": [NOBODY], "transparent": {"http": "127.0.0.1:3131"}}
    running = net.router.call(lambda: Proxy(folder / "users", host="127.0.0.1", config=config))
    net.redirect("start", "machine", "--user", "root", "--http", "3131", "--https", "none")
    try:
        with contextlib.closing(running):
            net.router.call(running.start)
            curl = ("curl", "-sS", "-H", f"Host: {NAME}", f"http://{ORIGIN}/users")
            assert net.run(*curl, user=NOBODY).stdout == ORIGIN
            assert net.run(*curl, user=1, check=False).returncode != 0
    finally:
        net.redirect("stop")


def test_a_loop_is_refused(net: Routed, proxy: Proxy, origins: dict[str, Origin]) -> None:
    """The firewall exempts another user than the proxy's: its own connections come back to it."""
    put(origins, "/loop")
    net.redirect("start", "machine", "--user", "nobody", "--by", "nft")
    try:
        # By no name that there are kept connections for.
        for host in ("loop.test", SECOND):
            reply = net.run("curl", "-sSi", "-H", f"Host: {host}", f"http://{SECOND}/loop").stdout
            assert " 508 " in reply
            assert "(Via)" in reply
        done = net.run("curl", "-sSk", f"https://{ORIGIN}/loop", check=False)
        assert done.returncode != 0
        until(lambda: f"a connection of this proxy to {ORIGIN}:443 is redirected to it" in proxy.log())
        assert "cannot be watched" not in proxy.log()
    finally:
        net.redirect("stop")
    assert origins[SECOND].count("/loop") == 0
