"""Who cannot be intercepted, by what its clients or it itself have shown, gets tunnels for a while."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from harness import Proxy
from issuing import Issuer
from origin import Origin
from raw import request
from scripted import Scripted
from test_interception import HOST, Intercepting, authority, intercepting, secure_origin
from waiting import until

MakeProxy = Callable[..., Proxy]
_FIXTURES = (authority, intercepting, secure_origin)


def test_who_does_not_accept_the_leaf_is_passed_on_after_a_few(intercepting: Intercepting) -> None:
    context = intercepting.trusting("origin")
    for _ in range(3):
        with intercepting.tunnel() as tunnel, pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(tunnel, server_hostname=HOST)
    until(lambda: "gets tunnels there for 5 minutes" in intercepting.proxy.log())
    with context.wrap_socket(intercepting.tunnel(), server_hostname=HOST) as client:
        assert client.getpeercert()
    assert intercepting.logged("tunnelled")[0]["detail"] == "leaf-refused"
    assert "intercept.except" in intercepting.proxy.log()
    # Who trusts the authority by now has to wait for nothing: a reload has it tried again, as the log says.
    intercepting.proxy.reload()
    until(lambda: "is in force; the workers are replaced" in intercepting.proxy.log())
    until(lambda: _is_intercepted(intercepting))


def _is_intercepted(intercepting: Intercepting) -> bool:
    try:
        with intercepting.trusting().wrap_socket(intercepting.tunnel(), server_hostname=HOST):
            return True
    except ssl.SSLCertVerificationError:  # a worker that is replaced may still answer, by a tunnel
        return False


@pytest.mark.parametrize("offered", [["http/1.1"], ["h2", "http/1.1"]])
def test_who_looks_at_the_leaf_after_the_handshake_is_passed_on_after_a_few(
    intercepting: Intercepting, offered: list[str]
) -> None:
    """As curl does with --pinnedpubkey, and others with fingerprints: they just go, and give no reason."""
    context = intercepting.trusting()
    context.set_alpn_protocols(offered)
    for _ in range(3):
        context.wrap_socket(intercepting.tunnel(), server_hostname=HOST).close()
    until(lambda: "gets tunnels there for 5 minutes" in intercepting.proxy.log())
    with intercepting.trusting("origin").wrap_socket(intercepting.tunnel(), server_hostname=HOST) as client:
        assert client.getpeercert()
    assert intercepting.logged("tunnelled")[0]["detail"] == "leaf-refused"


def test_who_connects_more_often_than_it_asks_stays_intercepted(
    intercepting: Intercepting, secure_origin: Origin
) -> None:
    secure_origin.put("/", b"content", cache_control="max-age=60")
    assert intercepting.ask("/")[1] == b"content"
    for _ in range(5):
        intercepting.trusting().wrap_socket(intercepting.tunnel(), server_hostname=HOST).close()
    assert "; hit; " in intercepting.ask("/")[2]


@pytest.mark.parametrize(
    ("status", "version"), [(400, ssl.TLSVersion.TLSv1_3), (403, ssl.TLSVersion.TLSv1_2)]
)
def test_who_refuses_in_http_for_want_of_a_certificate_is_passed_on_to(
    make_proxy: MakeProxy,
    authority: Path,
    certificate: Certificate,
    tmp_path: Path,
    status: int,
    version: ssl.TLSVersion,
) -> None:
    """As nginx does (400), and servers that ask for a certificate without insisting on one (403)."""
    root, shown = Issuer("Root of the tests"), tmp_path / "client.pem"
    client = root.issue("client", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    shown.write_bytes(client.key_pem + client.pem)
    context = certificate.server()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=root.pem.decode())

    def answer(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        code = 200 if connection.getpeercert() else status
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % code)

    with Scripted(*[[answer]] * 3, tls=context) as origin:
        intercepting = Intercepting(make_proxy, authority, origin, certificate)
        assert intercepting.ask("/")[0] == status
        trusting = intercepting.trusting("origin")
        trusting.load_cert_chain(shown)
        with trusting.wrap_socket(intercepting.tunnel(), server_hostname=HOST) as secured:
            secured.sendall(request("GET /", f"Host: {HOST}:{origin.port}"))
            assert secured.recv(12) == b"HTTP/1.1 200"
        assert intercepting.logged("tunnelled")[0]["detail"] == "client-certificate-wanted"


def test_a_refusal_that_has_to_do_with_no_certificate_stays_intercepted(
    intercepting: Intercepting, secure_origin: Origin
) -> None:
    secure_origin.put("/", b"no", status=403)
    for _ in range(3):
        assert intercepting.ask("/")[:2] == (403, b"no")
    assert len(intercepting.logged("intercepted")) == 3
