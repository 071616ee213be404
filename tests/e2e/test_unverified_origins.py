"""Origins that cannot be verified, on intercepted connections; and the leaves that clients get there."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from certificates import Certificate
from harness import Proxy
from issuing import DAY, NOW, Issued, Issuer, self_signed
from origin import Origin
from raw import request
from scripted import read_head
from test_interception import HOST, Intercepting, authority

MakeProxy = Callable[..., Proxy]
_ = authority  # a fixture of these tests, too
ROOT = Issuer("root of the tests")
FRESH = "max-age=3600"


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (lambda: ROOT.issue(HOST, begin=NOW - 9 * DAY, end=NOW - DAY), b"expired on"),
        (lambda: ROOT.issue(HOST, begin=NOW + 5 * DAY), b"is not valid before"),
        (lambda: ROOT.issue("elsewhere.example"), b"elsewhere.example"),
        (lambda: self_signed(HOST), b"self-signed"),
        (lambda: Issuer("another root").issue(HOST), b"another root"),
    ],
    ids=["expired", "not valid yet", "wrong name", "self-signed", "unknown issuer"],
)
def test_it_is_told_why_and_nothing_is_stored(
    make_proxy: MakeProxy,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shown: Callable[[], Issued],
    why: bytes,
) -> None:
    """Twice on one connection and on another one; and all is well once the origin shows what it should."""
    root = tmp_path / "root.pem"
    root.write_bytes(ROOT.pem)
    trusted = Certificate(root, root)
    with Origin(tls=shown().server()) as origin:
        origin.put("/a", b"content", cache_control=FRESH)
        made = Intercepting(make_proxy, request.getfixturevalue("authority"), origin, trusted)
        client = HTTPSConnection(*made.proxy.address, timeout=20, context=made.trusting())
        client.set_tunnel(HOST, origin.port)
        with closing(client):
            for _time in range(2):
                client.request("GET", "/a")
                answer = client.getresponse()
                body = answer.read()
                assert (answer.status, answer.getheader("Age")) == (502, None)
                assert why in body
                assert "stored" not in (answer.getheader("Cache-Status") or "")
        assert made.ask("/a", headers={"Cache-Control": "only-if-cached"})[0] == 504
        assert origin.count("/a") == 0
        listed = subprocess.run(
            [sys.executable, "-m", "pyproxycache", "ls", "--cache-dir", str(made.proxy.cache_dir)],
            env=made.proxy.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "/a" not in listed.stdout
        port = origin.port
    with Origin(port=port, tls=ROOT.issue(HOST).server()) as mended:
        mended.put("/a", b"content", cache_control=FRESH)
        assert made.ask("/a")[:2] == (200, b"content")


@pytest.mark.parametrize("name", [HOST, "::1", "h.example", "a_b.example", "x" * 63 + ".y.example"])
def test_leaves_on_the_wire_satisfy_strict_judges(
    make_proxy: MakeProxy,
    authority: Path,
    certificate: Certificate,
    tmp_path: Path,
    name: str,
) -> None:
    with Origin(tls=certificate.server()) as origin:
        made = Intercepting(make_proxy, authority, origin, certificate)
        is_address = ":" in name or name == HOST
        end = f"[{name}]" if ":" in name else name
        ca = authority / "ca.pem"
        client = socket.create_connection(made.proxy.address, 20)
        client.sendall(request(f"CONNECT {end}:{origin.port}"))
        assert read_head(client).startswith(b"HTTP/1.1 200 ")
        strict = ssl.create_default_context(cafile=str(ca))
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        with strict.wrap_socket(client, server_hostname=name) as secured:
            leaf = tmp_path / "leaf.pem"
            leaf.write_text(ssl.DER_cert_to_PEM_cert(secured.getpeercert(True) or b""))
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(ca)]
    command += ["-verify_ip" if is_address else "-verify_hostname", name]
    judged = subprocess.run([*command, leaf], capture_output=True, text=True, timeout=30)
    assert judged.returncode == 0, judged.stderr
