"""Clients and origins of intercepted connections that mean no good, or have gone strange ways."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from certificates import Certificate
from harness import Proxy
from origin import Origin
from raw import request
from records import Records
from scripted import OK, Scripted, read_head
from test_interception import HOST, Intercepting, authority, intercepting, secure_origin
from test_tls_listeners import MakeSecured, make_secured, pairs
from waiting import until

MakeProxy = Callable[..., Proxy]
_FIXTURES = (authority, intercepting, secure_origin, make_secured, pairs)


def test_who_is_too_old_for_us_is_passed_on_after_a_few(intercepting: Intercepting) -> None:
    """Leaves have keys of an elliptic curve: not all clients know these."""
    old = intercepting.trusting("origin")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    for _ in range(3):
        with intercepting.tunnel() as tunnel, pytest.raises(ssl.SSLError, match="alert"):
            old.wrap_socket(tunnel, server_hostname=HOST)
    until(lambda: "gets tunnels there for 5 minutes" in intercepting.proxy.log())
    with intercepting.tunnel() as tunnel, pytest.raises(ssl.SSLError, match="alert"):
        old.wrap_socket(tunnel, server_hostname=HOST)  # now it is the origin that knows them not
    assert intercepting.logged("tunnelled")[0]["detail"] == "leaf-refused"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_another_hosts_ticket_opens_no_way_to_that_host(
    make_proxy: MakeProxy,
    authority: Path,
    secure_origin: Origin,
    certificate: Certificate,
    version: str,
) -> None:
    secure_origin.put("/a", b"content", cache_control="max-age=60")
    made = Intercepting(make_proxy, authority, secure_origin, certificate)
    context = made.trusting()
    context.maximum_version = ssl.TLSVersion[version]
    with context.wrap_socket(made.tunnel(), server_hostname=HOST) as client:
        client.sendall(request("GET /a", f"Host: {HOST}:{made.port}"))
        assert client.recv(12) == b"HTTP/1.1 200"
        session = client.session
    tunnel = made.tunnel()
    with context.wrap_socket(tunnel, server_hostname="localhost", session=session) as client:
        assert client.session_reused
        client.sendall(request("GET /a", f"Host: {HOST}:{made.port}"))
        assert client.recv(12) == b"HTTP/1.1 421"
    with context.wrap_socket(made.tunnel(), server_hostname="localhost", session=session) as client:
        client.sendall(request("GET /a", f"Host: localhost:{made.port}"))
        assert client.recv(12) == b"HTTP/1.1 502"  # it is asked as localhost, which it is not certified for
    assert secure_origin.count("/a") == 1


def test_new_keys_without_end_hold_up_nobody(
    intercepting: Intercepting, secure_origin: Origin, tmp_path: Path
) -> None:
    secure_origin.put("/a", b"content", cache_control="max-age=60")
    with intercepting.tunnel() as tunnel:
        client = Records(tunnel, intercepting.trusting(), HOST, tmp_path / "keys")
        flood = b"".join(client.key_update(wants_one=True) for _ in range(20_000))
        with suppress(OSError):  # it is broken off
            tunnel.sendall(flood)
        assert intercepting.ask("/a")[:2] == (200, b"content")
        with suppress(OSError):
            while tunnel.recv(1 << 16):
                pass
    assert "Traceback" not in intercepting.proxy.log()


def test_another_protocol_within(make_proxy: MakeProxy, authority: Path, certificate: Certificate) -> None:
    """By a switch of protocols, with the first words of both sides in the packets of the heads."""

    def echo(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello "
        )
        while data := connection.recv(1 << 16):
            connection.sendall(data)

    with Scripted([echo], tls=certificate.server()) as scripted:
        with Origin() as origin:
            origin.port = scripted.port
            made = Intercepting(make_proxy, authority, origin, certificate)
            with made.trusting().wrap_socket(made.tunnel(), server_hostname=HOST) as client:
                host = f"Host: {HOST}:{scripted.port}"
                client.sendall(request("GET /", host, "Connection: upgrade", "Upgrade: echo") + b"first ")
                assert read_head(client).startswith(b"HTTP/1.1 101 ")
                got = b""
                for word in (b"second ", b"x" * 100_000, b"."):
                    client.sendall(word)
                while not got.endswith(b"."):
                    got += client.recv(1 << 16)
                assert got == b"hello first second " + b"x" * 100_000 + b"."
        assert b"echo" in scripted.heads[0]


def test_tls_in_tls_in_single_bytes(
    make_secured: MakeSecured, authority: Path, certificate: Certificate
) -> None:
    """Each byte of the inner TLS comes in a record of its own of the outer one."""
    with Scripted([OK, OK], tls=certificate.server()) as scripted:
        config = {
            "connect": {"ports": [scripted.port]},
            "intercept": {"hosts": ["*"], "ca": str(authority)},
            "fetch": {"ca_file": str(certificate.certificate)},
        }
        secured = make_secured(config=config)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
        inner = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
        with closing(secured.connected()) as outer:

            def patiently(step: Callable[[], object]) -> object:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        send()
                        incoming.write(outer.recv(1 << 16))

            def send() -> None:
                for byte in outgoing.read():
                    outer.sendall(bytes((byte,)))

            outer.sendall(request(f"CONNECT {HOST}:{scripted.port}"))
            assert read_head(outer).startswith(b"HTTP/1.1 200 ")
            patiently(inner.do_handshake)
            for number in range(2):
                inner.write(request(f"GET /{number}", f"Host: {HOST}:{scripted.port}"))
                got = b""
                while not got.endswith(b"right"):
                    got += patiently(lambda: inner.read(1 << 16))  # type: ignore[operator]
                assert got.startswith(b"HTTP/1.1 200 ")
