"""Releases that are not given, to clients of HTTP/2: on a port with TLS, and by interception."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from certificates import Certificate
from harness import Proxy
from http2_clients import Http2Client, tls_proxy
from origin import Origin
from raw import request
from scripted import read_head
from strict_http2 import Fields
from test_cooldown import archive, put_javascript

from pyproxycache.tls.certificate_authority import CertificateAuthority

MakeProxy = Callable[..., Proxy]
AGES: dict[str, float | None] = {"1.0.0": 400, "2.0.0": 30, "2.1.0": 1.02}
YOUNG, OLD = archive("tiny", "2.1.0"), archive("tiny", "2.0.0")
BEHIND = ("", ";x=1", "/", "%00", "%20", "/.", "//", "?x", "%2F", "#a")


def mirrors(origin: Origin) -> dict[str, object]:
    return {"js": {"ecosystem": "npm", "upstream": origin.url("/js/"), "min_age": "7d"}}


def fields(path: str, authority: str, scheme: str = "https", method: str = "GET") -> Fields:
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]


def test_on_a_port(tmp_path: Path, certificate: Certificate, origin: Origin) -> None:
    put_javascript(origin, "tiny", AGES)
    netloc = f"{origin.host}:{origin.port}"
    with (
        tls_proxy(tmp_path / "proxy", certificate, config={"mirrors": mirrors(origin)}) as cache,
        Http2Client(cache.address) as client,
    ):
        for behind in BEHIND:
            for asked in (
                fields(f"{YOUNG}{behind}", cache.netloc),
                fields(f"{YOUNG}{behind}", netloc, "http"),
                fields(f"/http://{netloc}{YOUNG}{behind}", cache.netloc),
            ):
                assert client.get(asked).status in ("403", "404"), asked
        for method in ("HEAD", "POST", "QUERY", "get"):
            assert client.get(fields(YOUNG, netloc, "http", method)).status == "403", method
        assert client.get([*fields(YOUNG, cache.netloc), ("range", "bytes=0-3")]).status == "403"
        unnamed: Fields = [(":method", "GET"), (":scheme", "http"), (":path", YOUNG), ("host", netloc)]
        assert client.get(unnamed).status == "403"
        whole = client.get(fields(f"http://{netloc}{YOUNG}", cache.netloc))
        assert (whole.fields, whole.reset) == ([], 1)
        for authority, scheme in ((cache.netloc, "https"), (netloc, "http")):
            document = json.loads(client.get(fields("/js/tiny", authority, scheme)).body)
            assert list(document["versions"]) == ["1.0.0", "2.0.0"]
        # Side by side, each has its own answer.
        paths = [YOUNG if number % 2 else OLD for number in range(40)]
        answers = client.all_of([client.ask(fields(path, cache.netloc)) for path in paths])
        assert [answer.status for answer in answers] == ["200", "403"] * 20
    assert origin.count(YOUNG) == 0


def test_by_interception(make_proxy: MakeProxy, certificate: Certificate, tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    CertificateAuthority.create(folder, time.time())
    with Origin(tls=certificate.server()) as origin:
        put_javascript(origin, "tiny", AGES)
        netloc = f"{origin.host}:{origin.port}"
        cache = make_proxy(
            config={
                "mirrors": mirrors(origin),
                "connect": {"ports": [origin.port]},
                "intercept": {"hosts": ["*"], "ca": str(folder)},
                "fetch": {"ca_file": str(certificate.certificate)},
            }
        )
        trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        trusted.set_alpn_protocols(["h2", "http/1.1"])
        plain = socket.create_connection(cache.address, 20)
        plain.sendall(request(f"CONNECT {netloc}"))
        assert read_head(plain).startswith(b"HTTP/1.1 200 ")
        with Http2Client(None, sock=trusted.wrap_socket(plain, server_hostname=origin.host)) as client:
            for behind in BEHIND:
                assert client.get(fields(f"{YOUNG}{behind}", netloc)).status in ("403", "404"), behind
            for asked in (fields(YOUNG, netloc, "http"), fields(YOUNG, "other.test")):
                assert client.get(asked).status == "421"
            assert client.get(fields(YOUNG, netloc, "https", "POST")).status == "403"
            assert list(json.loads(client.get(fields("/js/tiny", netloc)).body)["versions"])[-1] == "2.0.0"
            assert client.get(fields(OLD, netloc)).status == "200"
        assert origin.count(YOUNG) == 0
