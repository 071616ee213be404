"""The authority's files and page as clients get them, and from where they are not to be had."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from harness import Reply
from inprocess import Front
from origin import Origin
from raw import Conversation, request

from pyproxycache.front.requests.ingress import redirected_from, standing_in_for
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Headers
from pyproxycache.options import ProxyAuthOptions
from pyproxycache.rules.urls import parse_url
from pyproxycache.steps import finished
from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.leaf_tls import LeafTls
from pyproxycache.url import Authority

PATHS = ("/ca", "/ca.pem", "/ca.cer", "/ca.p12")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "ca"
    CertificateAuthority.create(folder, time.time(), ("example.org",))
    return folder


@pytest.fixture(scope="module")
def authority(folder: Path) -> CertificateAuthority:
    return CertificateAuthority.load(folder)


@pytest.fixture(scope="module")
def front(
    folder: Path, authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    with Front(tmp_path_factory.mktemp("cache"), leaf_tls=LeafTls(folder)) as running:
        yield running


def asked(front: Front, line: str, *fields: str) -> Reply:
    with Conversation(front.address) as client:
        return client.send(request(line, *fields)).reply(line.partition(" ")[0])


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/ca", "text/html; charset=utf-8"),
        ("/ca.pem", "application/x-pem-file"),
        ("/ca.cer", "application/x-x509-ca-cert"),
        ("/ca.p12", "application/x-pkcs12"),
    ],
)
def test_what_each_is(front: Front, path: str, content_type: str) -> None:
    reply = asked(front, f"GET {path}?x=1")
    assert (reply.status, reply.get("Content-Type")) == (200, content_type)
    assert reply.get("Cache-Control") == "no-store"
    assert reply.get("X-Content-Type-Options") == "nosniff"
    head = asked(front, f"HEAD {path}")
    assert (head.status, head.body) == (200, b"")
    assert head.get("Content-Length") == reply.get("Content-Length") == str(len(reply.body))


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def test_each_file_is_the_certificate(
    front: Front, folder: Path, authority: CertificateAuthority, tmp_path: Path
) -> None:
    assert asked(front, "GET /ca.pem").body == (folder / "ca.pem").read_bytes()
    read = x509.load_der_x509_certificate(asked(front, "GET /ca.cer").body)
    assert fingerprint(read) == authority.fingerprint
    store = tmp_path / "ca.p12"
    store.write_bytes(asked(front, "GET /ca.p12").body)
    command = ["openssl", "pkcs12", "-in", str(store), "-passin", "pass:", "-nodes"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert x509.load_pem_x509_certificates(done.stdout) == [read]
    assert b"PRIVATE" not in done.stdout


def test_java_reads_the_store(front: Front, authority: CertificateAuthority, tmp_path: Path) -> None:
    if shutil.which("keytool") is None:
        pytest.skip("keytool is missing")
    store = tmp_path / "ca.p12"
    store.write_bytes(asked(front, "GET /ca.p12").body)
    command = ["keytool", "-J-Duser.language=en", "-list", "-storetype", "PKCS12", "-keystore", str(store)]
    done = subprocess.run(command, input="\n", capture_output=True, text=True, check=True, timeout=60)
    assert "trustedCertEntry" in done.stdout
    assert authority.fingerprint in done.stdout


def test_who_guesses_its_name_is_told_where_it_is(front: Front, tmp_path: Path) -> None:
    told = asked(front, "GET /ca.crt", "Host: cache.example:3128").body.decode()
    assert "http://cache.example:3128/ca.pem" in told
    with Front(tmp_path) as without:
        assert "ca.pem" not in asked(without, "GET /ca.crt", "Host: cache.example:3128").body.decode()


def test_the_page_tells_what_to_compare_and_what_to_do(
    front: Front, authority: CertificateAuthority
) -> None:
    page = asked(front, "GET /ca", "Host: cache.example:3128").body.decode()
    assert authority.fingerprint in page
    assert "example.org and names below; no address" in page
    assert "http://cache.example:3128/ca.pem" in page
    assert {"ca.pem", "ca.cer", "ca.p12"} == set(re.findall(r'href="([^"]+)"', page))
    for client in ("Firefox", "Chromium", "Java", "Node", "Windows", "macOS", "Debian", "Fedora"):
        assert f"\n{client} " in page


def test_a_host_is_no_markup(front: Front) -> None:
    page = asked(front, "GET /ca", "Host: <script>alert(1)</script>").body.decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(front: Front, path: str, method: str) -> None:
    reply = asked(front, f"{method} {path}", "Content-Length: 0")
    assert (reply.status, reply.get("Allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/ca/",
        "/ca.key",
        "/ca.pem/",
        "/ca.pem.key",
        "/ca%2Epem",
        "//ca.pem",
        "/x/../ca.pem",
        "/CA.PEM",
        "/ca.pfx",
    ],
)
def test_nothing_else_is_there(front: Front, path: str) -> None:
    assert asked(front, f"GET {path}").status in (400, 404)


def test_without_interception_there_are_none(tmp_path: Path) -> None:
    with Front(tmp_path) as front:
        assert [asked(front, f"GET {path}").status for path in PATHS] == [404] * 4


def test_without_a_store_they_are_there(
    tmp_path: Path, folder: Path, authority: CertificateAuthority
) -> None:
    (tmp_path / "cache").write_text("a file")
    with Front(tmp_path / "cache", leaf_tls=LeafTls(folder)) as front:
        assert asked(front, "GET /ca.pem").body == authority.pem


@pytest.mark.parametrize("path", PATHS)
def test_a_request_by_a_proxy_does_not_reach_them(
    front: Front, authority: CertificateAuthority, path: str
) -> None:
    """Nor one by this cache itself, whose address the guard may not know, as behind a forwarded port."""
    host, port = front.address
    for line in (
        f"GET http://{host}:{port}{path}",
        f"GET http://localhost:{port}{path}",
        f"GET /http://{host}:{port}{path}",
        f"GET {path}",
    ):
        fields = ("Via: 1.1 another",) if line == f"GET {path}" else ()
        reply = asked(front, line, *fields)
        assert reply.status == 403
        assert b"is for clients that ask this cache itself" in reply.body
        assert authority.fingerprint.encode() not in reply.body


@pytest.mark.parametrize("path", PATHS)
def test_an_origin_s_own_are_its_own(front: Front, path: str) -> None:
    with Origin() as origin:
        origin.put(path, b"of the origin")
        for line in (f"GET {origin.url(path)}", f"GET /{origin.url(path)}"):
            assert asked(front, line).body == b"of the origin"


@pytest.mark.parametrize("path", PATHS)
def test_where_the_cache_stands_in_for_an_origin_its_own_are_not_reached(
    front: Front, folder: Path, tmp_path: Path, path: str
) -> None:
    """As on an intercepted or redirected connection, whatever Host is forged, or as a reverse proxy."""
    with Origin() as origin:
        origin.put(path, b"of the origin")
        url = parse_url(origin.url("/"))
        there = f"{url.host}:{url.port}"
        redirected = redirected_from(Authority(url.host, url.port), "http")
        for ingress, host, status in (
            (standing_in_for(url), there, 200),
            (standing_in_for(url), "cache:3128", 421),
            (redirected, there, 200),
            (redirected, f"localhost:{url.port}", 200),
        ):
            headers = Headers((("Host", host),))
            received = RawRequest("GET", path, (1, 1), headers, "127.0.0.1", io.BytesIO(), ingress=ingress)
            answer = finished(front.parts.application.answer(received))
            body = b"".join(bytes(piece) for piece in answer.body)  # type: ignore[arg-type]
            answer.close()
            assert answer.response.head.status == status
            assert (body == b"of the origin") is (status == 200)
        with Front(tmp_path, leaf_tls=LeafTls(folder), upstream=url) as reverse:
            assert asked(reverse, f"GET {path}").body == b"of the origin"


def test_users_get_them_before_they_have_credentials(tmp_path: Path, folder: Path) -> None:
    users = tmp_path / "users"
    users.write_bytes(b"ann:" + bcrypt.hashpw(b"x", bcrypt.gensalt(4)) + b"\n")
    options = ProxyAuthOptions(users=users)
    with Front(tmp_path / "cache", leaf_tls=LeafTls(folder), proxy_auth=options) as front:
        assert [asked(front, f"GET {path}").status for path in PATHS] == [200] * 4
        for line in ("GET /ca.key", "GET /ca/", "GET /", "GET /http://example.org/ca.pem"):
            assert asked(front, line).status == 403
        assert asked(front, "GET http://example.org/ca.pem").status == 407


def secrets_of(folder: Path) -> list[bytes]:
    """The key in the forms in which it could be in an answer."""
    pem = (folder / "ca.key").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value
    raw = number.to_bytes(32, "big")
    lines = [line for line in pem.splitlines() if not line.startswith(b"--")]
    return [raw, raw.hex().encode(), base64.b64encode(raw), str(number).encode(), b"PRIVATE", *lines]


def test_the_key_is_in_no_answer(front: Front, folder: Path) -> None:
    secrets = secrets_of(folder)
    assert any(secret in (folder / "ca.key").read_bytes() for secret in secrets)
    answers = []
    for path in (
        *PATHS,
        "/ca.key",
        "/ca/ca.key",
        "/ca.pem/../ca.key",
        f"/{folder}/ca.key",
        "/",
        "/api/v1/status/",
    ):
        for method in ("GET", "HEAD", "POST", "TRACE", "PURGE"):
            with Conversation(front.address) as client:
                client.send(request(f"{method} {path}", "Connection: close", "Content-Length: 0"))
                answers.append(client.rest())
    assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) >= 8
    assert [answer for answer in answers for secret in secrets if secret in answer] == []


def test_the_key_is_in_no_text_of_the_authority(authority: CertificateAuthority, folder: Path) -> None:
    secrets = secrets_of(folder)
    for told in (repr(authority), str(authority), authority.pem, authority.der, authority.p12):
        content = told if isinstance(told, bytes) else told.encode()
        assert not any(secret in content for secret in secrets)
