"""Origins whose TLS is wrong, through the whole cache: a 502 with the reason, and nothing stored."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from harness import Proxy
from issuing import DAY, Issued, Issuer, self_signed
from origin import Origin

from pyproxycache.tls.certificate_authority import CertificateAuthority

ROOT, STRANGER = Issuer("Root of the tests"), Issuer("A stranger")
HERE = "127.0.0.1"
PAST = datetime(2020, 1, 1, tzinfo=UTC)

MakeProxy = Callable[..., Proxy]

WRONG = {
    "its certificate expired on 2020-01-02 00:00 UTC": ROOT.issue(HERE, begin=PAST, end=PAST + DAY),
    "its certificate is for other.example": ROOT.issue("other.example"),
    "its certificate is self-signed, by 'on its own'": self_signed(HERE),
    "its certificate was issued by 'A stranger', which is not known here": STRANGER.issue(HERE),
}


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    file = tmp_path / "root.pem"
    file.write_bytes(ROOT.pem)
    return file


@pytest.fixture
def secured() -> Iterator[Callable[[Issued], Origin]]:
    with ExitStack() as running:

        def start(leaf: Issued) -> Origin:
            origin = running.enter_context(Origin(tls=leaf.server()))
            origin.put("/a", b"body", cache_control="max-age=60")
            return origin

        yield start


def test_what_is_wrong_is_told_and_nothing_is_stored(
    make_proxy: MakeProxy, secured: Callable[[Issued], Origin], trust: Path
) -> None:
    proxy = make_proxy(config={"fetch": {"ca_file": str(trust)}})
    for text, leaf in WRONG.items():
        origin = secured(leaf)
        by_prefix, by_proxy = (proxy.get(target) for target in (f"/{origin.url('/a')}", origin.url("/a")))
        for reply in (by_prefix, by_proxy):
            assert reply.status == 502
            assert f"no TLS with {HERE}:{origin.port}: {text}" in reply.body.decode()
            status = reply.get("Proxy-Status") or ""
            assert "; error=tls_certificate_error; details=" in status
            assert text in status
        assert by_prefix.body == by_proxy.body
        stored = proxy.get(f"/{origin.url('/a')}", headers=[("Cache-Control", "only-if-cached")])
        assert (stored.status, origin.requests) == (504, [])


def test_what_was_stored_is_no_way_around(
    make_proxy: MakeProxy, secured: Callable[[Issued], Origin], trust: Path, tmp_path: Path
) -> None:
    """The origin shows another certificate than is named, after a reload: what is stale is not renewed."""
    leaf, other = ROOT.issue(HERE), ROOT.issue(HERE)
    origin = secured(leaf)
    origin.put("/stale", b"body", cache_control="max-age=0, must-revalidate", etag='"a"')

    def config(shown: Issued) -> dict[str, object]:
        file = tmp_path / "pinned.pem"
        file.write_bytes(ROOT.pem)
        item = {"hosts": [HERE], "ca_file": str(file), "certificates": [shown.sha256]}
        return {"fetch": {"tls": [item]}}

    proxy = make_proxy(config=config(leaf))
    assert proxy.get(f"/{origin.url('/stale')}").body == b"body"
    proxy.terminate()
    proxy.configure(config(other))
    proxy.start()
    reply = proxy.get(f"/{origin.url('/stale')}")
    assert reply.status in (502, 504)
    assert f"it has sha256 {leaf.sha256}" in reply.body.decode()
    assert origin.count("/stale") == 1


def test_an_origin_that_wants_a_certificate_says_so(make_proxy: MakeProxy, trust: Path) -> None:
    context = ROOT.issue(HERE).server(verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(trust)
    proxy = make_proxy(config={"fetch": {"ca_file": str(trust)}})
    with Origin(tls=context) as origin:
        reply = proxy.get(f"/{origin.url('/a')}")
        assert reply.status == 502
        assert f"{HERE}:{origin.port} wants a certificate of the client" in reply.body.decode()
        assert "; error=tls_alert_received; " in (reply.get("Proxy-Status") or "")
        assert origin.requests == []


@pytest.mark.parametrize(
    "asking",
    [[], ["--http1.1", "-H", "Connection: upgrade", "-H", "Upgrade: websocket"]],
    ids=["get", "upgrade"],
)
def test_interception_leaves_such_an_origin_to_the_client(
    make_proxy: MakeProxy, trust: Path, tmp_path: Path, asking: list[str]
) -> None:
    """curl has a certificate: it is told why not, and gets through the next time."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    authority, bundle, own = tmp_path / "authority", tmp_path / "bundle.pem", tmp_path / "own.pem"
    ca = CertificateAuthority.create(authority, time.time())
    bundle.write_bytes(ROOT.pem + ca.pem)
    client = ROOT.issue("client.example", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    own.write_bytes(client.pem + client.key_pem)
    context = ROOT.issue(HERE).server(verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(trust)
    with Origin(tls=context) as origin:
        origin.put("/a", b"for clients with certificates")
        proxy = make_proxy(
            config={
                "connect": {"ports": [origin.port]},
                "intercept": {"hosts": ["*"], "ca": str(authority)},
                "fetch": {"ca_file": str(trust)},
            }
        )
        curl = ["curl", "-sS", "--cacert", str(bundle), "--cert", str(own), *asking, "-x", proxy.url]
        curl.append(origin.url("/a"))
        said = [subprocess.run(curl, capture_output=True, check=True, timeout=60).stdout for _ in range(2)]
        assert f"{HERE}:{origin.port} wants a certificate of the client" in said[0].decode()
        assert said[1] == b"for clients with certificates"
        assert [asked.get("Via") for asked in origin.requests] == [None]
