"""What an origin's failure is called in Proxy-Status (RFC 9209 section 2.3)."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Sequence

import pytest
from certificates import Certificate
from scripted import Scripted, get, until_gone, upstream

from pyproxycache.errors import Forbidden, ProxyError, UpstreamTimeout
from pyproxycache.facts import Facts
from pyproxycache.net.names import Address
from pyproxycache.net.racing import Raced
from pyproxycache.options import ParentOptions
from pyproxycache.upstream import dialling
from pyproxycache.url import Url

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def failing(act: Callable[[], object]) -> ProxyError:
    with pytest.raises(ProxyError) as raised:
        act()
    return raised.value


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "connection_terminated"),
        (b"HTTP/1.1 200 O", "connection_terminated"),
        (b"nonsense\r\n", "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "http_protocol_error"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "http_response_transfer_coding"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, "http_response_header_section_size"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", "http_response_incomplete"),
        (CHUNKED + b"nonsense\r\n", "http_response_incomplete"),
    ],
)
def test_answers(raw: bytes, kind: str) -> None:
    with Scripted([raw]) as origin:
        failure = failing(lambda: list(upstream().send(get(origin.url()), Facts())))
    assert failure.proxy_error == kind


@pytest.mark.parametrize(
    ("said", "patience", "kind"),
    [
        (b"", None, "connection_read_timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", None, "connection_read_timeout"),
        (b"", 0.1, "http_response_timeout"),
    ],
)
def test_silence(said: bytes, patience: float | None, kind: str) -> None:
    def hang(connection: socket.socket) -> None:
        connection.sendall(said)
        until_gone(connection)

    with Scripted([hang]) as origin:
        client = upstream(silence=0.2 if patience is None else 10.0)
        failure = failing(lambda: list(client.send(get(origin.url()), Facts(), patience=patience)))
    assert isinstance(failure, UpstreamTimeout)
    assert failure.proxy_error == kind


def test_names_and_ports() -> None:
    nowhere = get(Url("http", "no-such-host.invalid", 80, "/"))
    assert failing(lambda: upstream().send(nowhere, Facts())).proxy_error == "dns_error"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = get(Url("http", "127.0.0.1", taken.getsockname()[1], "/"))
        assert failing(lambda: upstream().send(closed, Facts())).proxy_error == "connection_refused"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "connection_timeout"),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), "connection_timeout"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "destination_ip_unroutable"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "destination_ip_unroutable"),
        (OSError(errno.EADDRNOTAVAIL, "odd"), "destination_unavailable"),
    ],
)
def test_networks(monkeypatch: pytest.MonkeyPatch, error: OSError, kind: str) -> None:
    def race(addresses: Sequence[Address], _deadline: float) -> Raced:
        return Raced(None, dict.fromkeys(addresses, error))

    # No address of a test's machine fails so.
    monkeypatch.setattr(dialling, "race", race)
    failure = failing(lambda: upstream().send(get(Url("http", "127.0.0.1", 9, "/")), Facts()))
    assert (failure.proxy_error, failure.status) == (kind, 504 if "timeout" in kind else 502)


def test_prohibited_addresses() -> None:
    def admit(_client: str, address: str, _port: int) -> None:
        raise Forbidden(f"not {address}", "destination_ip_prohibited")

    failure = failing(lambda: upstream(admit=admit).send(get(Url("http", "127.0.0.1", 9, "/")), Facts()))
    assert (failure.proxy_error, failure.status, str(failure)) == (
        "destination_ip_prohibited",
        403,
        "not 127.0.0.1",
    )


def test_certificates(certificate: Certificate) -> None:
    with Scripted([b""], tls=certificate.server()) as origin:
        failure = failing(lambda: upstream().send(get(origin.url()), Facts()))
    assert failure.proxy_error == "tls_certificate_error"


def test_an_origin_that_speaks_no_tls() -> None:
    """It answers a handshake with something else, or not at all."""

    def answer() -> None:
        with listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            until_gone(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = Url("https", "127.0.0.1", listener.getsockname()[1], "/")
        assert failing(lambda: upstream().send(get(url), Facts())).proxy_error == "tls_protocol_error"
        thread.join(10)
        silent = upstream(connect_timeout=0.2)  # nobody accepts any more
        assert failing(lambda: silent.send(get(url), Facts())).proxy_error == "connection_timeout"


def test_a_tunnel_that_is_refused(certificate: Certificate) -> None:
    with Scripted([b"HTTP/1.1 403 Forbidden\r\n\r\n"]) as parent:
        through = ParentOptions(url=Url("http", "127.0.0.1", parent.port, "/"))
        client = upstream(parent=through, ca_file=certificate.certificate)
        failure = failing(lambda: client.send(get(Url("https", "far.invalid", 443, "/")), Facts()))
    assert (failure.status, failure.proxy_error) == (403, "http_request_denied")


def test_an_error_keeps_its_classes_kind_unless_told() -> None:
    assert UpstreamTimeout("late").proxy_error == "connection_read_timeout"
    assert UpstreamTimeout("late", "connection_timeout").proxy_error == "connection_timeout"
    assert str(UpstreamTimeout("late", "connection_timeout")) == "late"
