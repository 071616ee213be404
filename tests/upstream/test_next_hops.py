"""Where connections lead: TLS origins, the parent, what is reached without it, and who may go where."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import threading
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from certificates import Certificate
from scripted import OK, Scripted, get, read_head, until_gone, upstream

from pyproxycache.errors import BrokenOff, ConfigError, Forbidden, LoopDetected, UpstreamUnreachable
from pyproxycache.facts import Facts, OriginConnected
from pyproxycache.messages import Request
from pyproxycache.options import ParentOptions
from pyproxycache.upstream.client import Upstream
from pyproxycache.url import Authority, Url


def fetch(client: Upstream, request: Request) -> bytes:
    return b"".join(client.send(request, Facts()))


class TestTls:
    """Who the origin has to be."""

    def test_a_known_authority_is_enough(self, certificate: Certificate) -> None:
        with Scripted([OK, OK], tls=certificate.server()) as origin:
            client = upstream(ca_file=certificate.certificate)
            assert [fetch(client, get(origin.url())) for _ in range(2)] == [b"right"] * 2
            assert origin.accepted == 1

    @pytest.mark.parametrize(
        ("host", "known"), [("127.0.0.1", False), ("localhost", True)], ids=["authority", "name"]
    )
    def test_anyone_else_gets_no_request(self, certificate: Certificate, host: str, known: bool) -> None:
        with Scripted([OK], tls=certificate.server()) as origin:
            client = upstream(ca_file=certificate.certificate if known else None)
            with pytest.raises(UpstreamUnreachable, match=r"nobody vouches for|is for 127"):
                client.send(get(origin.url(host=host)), Facts())
            assert origin.heads == []

    def test_verification_can_be_left_out(self, certificate: Certificate) -> None:
        with Scripted([OK], tls=certificate.server()) as origin:
            assert fetch(upstream(tls_verify=False), get(origin.url(host="localhost"))) == b"right"

    def test_an_origin_that_speaks_no_tls(self) -> None:
        def refuse() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                until_gone(connection)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            origin = threading.Thread(target=refuse, daemon=True)
            origin.start()
            url = Url("https", "127.0.0.1", listener.getsockname()[1], "/")
            with pytest.raises(UpstreamUnreachable, match="no TLS with"):
                upstream().send(get(url), Facts())
            origin.join(10)

    def test_an_authority_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="ca_file"):
            upstream(ca_file=tmp_path / "missing.pem")

    @pytest.mark.parametrize("goodbye", [True, False])
    def test_the_end_has_to_be_meant(self, certificate: Certificate, goodbye: bool) -> None:
        def until_close(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nright")
            if not goodbye:
                connection.shutdown(socket.SHUT_RDWR)  # of TCP, without a word in TLS
                raise EOFError

        with Scripted([until_close], tls=certificate.server()) as origin:
            exchange = upstream(ca_file=certificate.certificate).send(get(origin.url()), Facts())
            if goodbye:
                assert b"".join(exchange) == b"right"
            else:
                with pytest.raises(BrokenOff):
                    list(exchange)

    def test_an_early_answer_ends_an_upload(self, certificate: Certificate) -> None:
        def refuse(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            until_gone(connection)

        with Scripted([refuse], tls=certificate.server()) as origin:
            client = upstream(ca_file=certificate.certificate)
            body = (bytes(1 << 20) for _ in range(200))
            exchange = client.send(get(origin.url(), "POST", body), Facts())
            assert (exchange.head.status, b"".join(exchange)) == (413, b"big")


def through(port: int, *exceptions: object) -> ParentOptions:
    return ParentOptions(url=Url("http", "127.0.0.1", port, "/"), exceptions=exceptions)  # type: ignore[arg-type]


class TestParent:
    """Through another proxy."""

    def test_http_goes_in_absolute_form_over_one_connection(self) -> None:
        with Scripted([OK, OK]) as parent:
            client = upstream(parent=through(parent.port))
            for host in ("one.invalid", "two.invalid"):
                assert fetch(client, get(Url("http", host, 8080, "/a?b"))) == b"right"
            assert parent.accepted == 1
        first = parent.heads[0].split(b"\r\n")
        assert first[:2] == [b"GET http://one.invalid:8080/a?b HTTP/1.1", b"Host: one.invalid:8080"]

    def test_https_goes_through_a_tunnel(self, certificate: Certificate) -> None:
        def tunnel(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
            with certificate.server().wrap_socket(connection, server_side=True) as secured:
                for _ in range(2):
                    inside.append(read_head(secured))
                    secured.sendall(OK)

        inside: list[bytes] = []
        with Scripted([tunnel]) as parent:
            client = upstream(parent=through(parent.port), ca_file=certificate.certificate)
            for _ in range(2):
                assert fetch(client, get(Url("https", "127.0.0.1", 443, "/a"))) == b"right"
            assert parent.accepted == 1
        assert parent.heads[0].split(b"\r\n")[:2] == [
            b"CONNECT 127.0.0.1:443 HTTP/1.1",
            b"Host: 127.0.0.1:443",
        ]
        assert [head.split(b"\r\n")[:2] for head in inside] == [
            [b"GET /a HTTP/1.1", b"Host: 127.0.0.1"]
        ] * 2

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nsomething unasked",
            b"no HTTP\r\n",
            b"",
        ],
    )
    def test_a_tunnel_that_is_refused(self, answer: bytes) -> None:
        with Scripted([answer]) as parent, pytest.raises(UpstreamUnreachable, match="no tunnel"):
            upstream(parent=through(parent.port)).send(get(Url("https", "::1", 443, "/")), Facts())
        assert parent.heads[0].startswith(b"CONNECT [::1]:443 HTTP/1.1\r\n")

    @pytest.mark.parametrize(
        ("exception", "host", "direct"),
        [
            (ip_network("127.0.0.0/8"), "127.0.0.1", True),
            (ip_network("192.0.2.0/24"), "127.0.0.1", False),
            ("localhost", "localhost", True),
            ("host", "localhost", False),
            (".localhost", "localhost", True),
            (".host", "localhost", False),
        ],
    )
    def test_exceptions_go_straight(self, exception: object, host: str, direct: bool) -> None:
        with Scripted([OK]) as parent, Scripted([OK]) as origin:
            client = upstream(parent=through(parent.port, exception))
            assert fetch(client, get(origin.url(host=host))) == b"right"
            assert (parent.accepted, origin.accepted) == ((0, 1) if direct else (1, 0))

    def test_a_final_dot_changes_no_exception(self) -> None:
        with Scripted() as parent:
            client = upstream(parent=through(parent.port, ".invalid"))
            with pytest.raises(UpstreamUnreachable, match="does not resolve"):
                client.send(get(Url("http", "name.invalid.", 80, "/")), Facts())
            assert parent.accepted == 0

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "::1"])
    def test_an_address_behind_it_is_judged_each_time(self, host: str) -> None:
        def admit(client: str, address: str, _port: int) -> None:
            if client != "127.0.0.1" and address in ("127.0.0.1", "::1"):
                raise Forbidden(address)

        url = Url("http", host, 80, "/")
        with Scripted([OK, OK]) as parent:
            client = upstream(parent=through(parent.port), admit=admit)
            exchange = client.send(get(url), Facts())
            # Whoever is served from the store later is judged by this.
            assert exchange.peer in ("127.0.0.1", "::1")
            assert b"".join(exchange) == b"right"
            with pytest.raises(Forbidden):
                client.send(dataclasses.replace(get(url), client="192.0.2.1"), Facts())
            assert fetch(client, get(Url("http", "name.invalid", 80, "/"))) == b"right"


def many_addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has many.invalid stand for three addresses, as no name of this machine does, and gives them."""
    addresses = ["127.0.0.9", "127.0.0.8", "127.0.0.1"]

    def resolve(host: str, port: int, **_options: object) -> list[object]:
        assert host == "many.invalid"
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return addresses


def test_each_address_of_a_tunnels_end_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[tuple[str, str]] = []

    def admit(client: str, address: str, _port: int) -> None:
        judged.append((client, address))
        if address == "127.0.0.9" or client == "192.0.2.2":
            raise Forbidden(address)

    with Scripted([b"welcome"]) as origin:
        addresses = many_addresses(monkeypatch)
        end, facts = Authority("many.invalid", origin.port), Facts()
        far = upstream(admit=admit).tunnel(end, "1.1", "192.0.2.1", facts)
        assert (facts.noted(), far.early) == ((OriginConnected("127.0.0.1", through_parent=False),), b"")
        far.close()
        assert judged == [("192.0.2.1", address) for address in addresses]
        with pytest.raises(Forbidden):
            upstream(admit=admit).tunnel(end, "1.1", "192.0.2.2", Facts())
        assert origin.accepted == 1


def test_an_address_behind_a_parent_is_judged_before_it_is_asked() -> None:
    def admit(_client: str, address: str, _port: int) -> None:
        raise Forbidden(address)

    with Scripted() as parent:
        client = upstream(parent=through(parent.port), admit=admit)
        for host in ("127.0.0.1", "127.1", "::1"):
            with pytest.raises(Forbidden):
                client.tunnel(Authority(host, 443), "1.1", "192.0.2.1", Facts())
        assert parent.accepted == 0


def test_a_tunnel_ends_at_its_second_round() -> None:
    with Scripted() as origin, pytest.raises(LoopDetected):
        upstream().tunnel(Authority("127.0.0.1", origin.port), "1.1 x, 1.1 test, 1.1", "::1", Facts())


def test_the_first_address_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of one name: refused by the guard, closed, and good."""
    judged: list[str] = []

    def admit(_client: str, address: str, _port: int) -> None:
        judged.append(address)
        if address == "127.0.0.9":
            raise Forbidden(address)

    with Scripted([OK]) as origin:
        addresses = many_addresses(monkeypatch)
        exchange = upstream(admit=admit).send(get(origin.url(host="many.invalid")), Facts())
        assert (exchange.peer, b"".join(exchange)) == ("127.0.0.1", b"right")
        assert judged == addresses


class TestDestinations:
    """Requests that go to a given address, whatever their host resolves to."""

    def test_the_host_is_not_looked_up_and_is_named_all_the_same(self, tls: ssl.SSLContext | None) -> None:
        with Scripted([OK, OK], tls=tls) as origin:
            client = upstream(tls_verify=False)
            url = Url("https" if tls else "http", "no-such.invalid", 8080, "/a")
            request = replace(get(url), destination=Authority("127.0.0.1", origin.port))
            assert [fetch(client, request) for _ in range(2)] == [b"right"] * 2
            assert [b"Host: no-such.invalid:8080" in head for head in origin.heads] == [True] * 2
            assert origin.accepted == 1

    def test_connections_are_kept_for_one_host_at_one_address(self) -> None:
        with Scripted(*([OK] for _ in range(4))) as origin, Scripted([OK]) as other:
            client = upstream()
            for url in (Url("http", host, origin.port, "/a") for host in ("a.test", "b.test", "127.0.0.1")):
                fetch(client, replace(get(url), destination=Authority("127.0.0.1", origin.port)))
            fetch(client, get(origin.url()))
            moved = Authority("127.0.0.1", other.port)
            fetch(client, replace(get(Url("http", "a.test", origin.port, "/a")), destination=moved))
            assert (origin.accepted, other.accepted) == (4, 1)

    def test_the_name_is_verified_and_not_the_address(self, certificate: Certificate) -> None:
        with Scripted([OK], tls=certificate.server()) as origin:
            client = upstream(ca_file=certificate.certificate)
            request = get(Url("https", "localhost", 443, "/a"))
            with pytest.raises(UpstreamUnreachable, match="localhost"):
                fetch(client, replace(request, destination=Authority("127.0.0.1", origin.port)))
            assert origin.heads == []

    def test_the_address_is_judged(self) -> None:
        judged: list[tuple[str, int]] = []

        def admit(_client: str, address: str, port: int) -> None:
            judged.append((address, port))
            raise Forbidden("no")

        with pytest.raises(Forbidden):
            fetch(
                upstream(admit=admit),
                replace(get(url_of("a.test")), destination=Authority("192.0.2.1", 81)),
            )
        assert judged == [("192.0.2.1", 81)]

    @pytest.mark.parametrize("host", ["a.test", "b.example.org"])
    def test_a_parent_is_asked_for_a_tunnel_there(self, host: str) -> None:
        def answer(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            heads.append(read_head(connection))
            connection.sendall(OK)

        heads: list[bytes] = []
        with Scripted([answer]) as parent, Scripted([OK]) as origin:
            options = ParentOptions(url=parent.url("/"), exceptions=(".example.org",))
            end = Authority("127.0.0.1", origin.port)
            assert fetch(upstream(parent=options), replace(get(url_of(host)), destination=end)) == b"right"
            if host == "a.test":
                assert parent.heads[0].startswith(f"CONNECT {end} ".encode())
                assert heads[0].startswith(b"GET /a HTTP/1.1\r\nHost: a.test\r\n")
            else:
                assert (parent.heads, len(origin.heads)) == ([], 1)


def url_of(host: str) -> Url:
    return Url("http", host, 80, "/a")
