"""What is said of an origin whose TLS is not trusted, or is none: real servers, each wrong in one way."""

from __future__ import annotations

import contextlib
import datetime
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from issuing import DAY, NOW, Issued, Issuer, pem_of_key, rsa_key, self_signed
from scripted import OK, Scripted, get, until_gone, upstream

from pyproxycache.errors import ClientCertificateWanted, ConfigError, UpstreamUnreachable
from pyproxycache.facts import Facts
from pyproxycache.options import OriginTlsOptions
from pyproxycache.url import Url

ROOT = Issuer("Root of the tests")
STRANGER = Issuer("A stranger")
HERE = "127.0.0.1"
PAST, FUTURE = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), NOW + 100 * DAY
OLD, BETWEEN = Issuer("Old", ROOT, begin=PAST, end=PAST + DAY), Issuer("Between", ROOT)
BOUND = Issuer("Bound", ROOT, permits="example.org")
LEVEL_0 = "DEFAULT:@SECLEVEL=0"


def old_versions() -> ssl.SSLContext:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are old
        return ROOT.issue(HERE).server(
            LEVEL_0, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1
        )


def signed_by_sha1() -> Issued:
    """As only the openssl command still makes it."""
    key = rsa_key(2048)
    with tempfile.TemporaryDirectory() as folder:
        for name, pem in (("root", ROOT.pem + ROOT.key_pem), ("key", pem_of_key(key))):
            Path(folder, name).write_bytes(pem)

        def openssl(command: str) -> bytes:
            return subprocess.run(
                ["openssl", *command.split()], cwd=folder, check=True, capture_output=True
            ).stdout

        openssl(f"req -new -key key -subj /CN=weak -addext subjectAltName=IP:{HERE} -out request")
        made = openssl(
            "x509 -req -in request -CA root -CAkey root -sha1 -copy_extensions copy -set_serial 7"
        )
    return Issued(x509.load_pem_x509_certificate(made), key)


def nameless() -> ssl.SSLContext:
    def refuse(*_of_handshake: object) -> int:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    return ROOT.issue("localhost").server(sni_callback=refuse)


def of_certificates(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ROOT.issue(HERE).server(maximum_version=version, verify_mode=ssl.CERT_REQUIRED)
    context.load_verify_locations(cadata=ROOT.pem.decode())
    return context


@dataclass(frozen=True)
class Case:
    """A server, and what is said of it."""

    server: Callable[[], ssl.SSLContext]
    text: str
    kind: str = "tls_certificate_error"
    host: str = HERE


CASES = {
    "expired": Case(
        ROOT.issue(HERE, begin=PAST, end=PAST + DAY).server,
        "its certificate expired on 2020-01-02 00:00 UTC",
    ),
    "issuer expired": Case(
        OLD.issue(HERE, shows=[OLD]).server,
        "the certificate of its issuer 'Old' expired on 2020-01-02 00:00 UTC",
    ),
    "not yet": Case(
        ROOT.issue(HERE, begin=FUTURE, end=FUTURE + DAY).server,
        f"its certificate is not valid before {FUTURE:%Y-%m-%d %H:%M} UTC; the clock here says 20",
    ),
    "other name": Case(
        ROOT.issue("a.example", "*.b.example", "192.0.2.1").server,
        "its certificate is for a.example, *.b.example, 192.0.2.1",
    ),
    "name for an address": Case(
        ROOT.issue(HERE).server, "its certificate is for 127.0.0.1", host="localhost"
    ),
    "many names": Case(
        ROOT.issue(*(f"{number}.example" for number in range(1, 100))).server,
        "for 1.example, 2.example, 3.example, 4.example, 5.example and 94 more",
    ),
    "long name": Case(ROOT.issue("a" * 63 + ".example").server, "for " + "a" * 61 + "..."),
    "no name": Case(
        ROOT.issue().server, "for no host by a subject alternative name, and only named 'of the tests'"
    ),
    "self-signed": Case(
        self_signed(HERE).server,
        "its certificate is self-signed, by 'on its own', which nobody vouches for (fetch.ca_file names",
    ),
    "unknown root shown": Case(
        STRANGER.issue(HERE, shows=[STRANGER]).server,
        "its certificate comes from 'A stranger', which is not trusted here (fetch.ca_file names",
    ),
    "unknown issuer": Case(
        STRANGER.issue(HERE).server,
        "its certificate was issued by 'A stranger', which is not known here and which it does not show (f",
    ),
    "missing issuer": Case(
        BETWEEN.issue(HERE).server,
        "its certificate was issued by 'Between', which is not known here and which it does not show (f",
    ),
    "weak key": Case(
        lambda: ROOT.issue(HERE, key=rsa_key(1024)).server(LEVEL_0),
        "a key that is too weak (RSA 1024 bits)",
    ),
    "weak hash": Case(
        lambda: signed_by_sha1().server(LEVEL_0),
        "its certificate is signed with a hash that is too weak (SHA1)",
    ),
    "for clients": Case(
        ROOT.issue(HERE, usage=ExtendedKeyUsageOID.CLIENT_AUTH).server, "its certificate is not for servers"
    ),
    "name not permitted": Case(
        BOUND.issue("localhost", shows=[BOUND]).server,
        "may not sign for this name (name constraints)",
        host="localhost",
    ),
    "old versions": Case(
        old_versions,
        "it speaks no version of TLS that is spoken here (1.2 and 1.3)",
        "tls_alert_received",
    ),
    "no cipher": Case(
        lambda: ROOT.issue(HERE).server(
            "ECDHE-RSA-AES128-GCM-SHA256", maximum_version=ssl.TLSVersion.TLSv1_2
        ),
        "it accepts no cipher or key exchange that is spoken here",
        "tls_alert_received",
    ),
    "unknown name": Case(nameless, "it knows no host of this name", "tls_alert_received", host="localhost"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("root") / "root.pem"
    file.write_bytes(ROOT.pem)
    return file


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_what_is_wrong(name: str, root: Path) -> None:
    case = CASES[name]
    with Scripted([OK], tls=case.server()) as origin:
        with pytest.raises(UpstreamUnreachable, match=re.escape(case.text)) as refused:
            upstream(ca_file=root).send(get(origin.url(host=case.host)), Facts())
        assert origin.heads == []
    assert str(refused.value).startswith(f"no TLS with {case.host}:{origin.port}: ")
    assert len(str(refused.value)) < 256  # more is cut in Proxy-Status
    assert (refused.value.status, refused.value.proxy_error) == (502, case.kind)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "what answers there speaks no TLS: the URL may have",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers there speaks no TLS"),
        (b"220 mail.example ESMTP\r\n", "what answers there speaks no TLS"),
        (b"", "it broke the connection off in the handshake"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "it says 'internal error'"),
        (b"\x15\x03\x03\x00\x02\x02\xff", "no TLS with"),  # no alert that there is
    ],
)
def test_what_is_no_tls(said: bytes, text: str) -> None:
    def greet() -> None:
        with listener.accept()[0] as connection:
            connection.recv(65536)
            with contextlib.suppress(OSError):  # as soon as it sees what that is, the other side has gone
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
            until_gone(connection)

    with socket.create_server((HERE, 0)) as listener:
        origin = threading.Thread(target=greet, daemon=True)
        origin.start()
        url = Url("https", HERE, listener.getsockname()[1], "/")
        with pytest.raises(UpstreamUnreachable, match=re.escape(text)):
            upstream().send(get(url), Facts())
        origin.join(10)


class TestClientCertificates:
    """Origins that serve only who shows one."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_the_origin_is_known_by_its_refusal(
        self, version: ssl.TLSVersion, method: str, root: Path
    ) -> None:
        with Scripted([OK], tls=of_certificates(version)) as origin:
            body = iter([b"some"]) if method == "POST" else None
            with pytest.raises(
                ClientCertificateWanted, match=r"only a tunnel \(CONNECT\) leads there"
            ) as failed:
                upstream(ca_file=root).send(get(origin.url(), method, body), Facts())
            assert str(failed.value).startswith(
                f"127.0.0.1:{origin.port} wants a certificate of the client"
            )
            assert (origin.heads, origin.accepted) == ([], 1)

    def test_one_that_breaks_off_without_a_word_is_another_matter(self, root: Path) -> None:
        def leave(connection: socket.socket) -> None:
            connection.shutdown(socket.SHUT_RDWR)
            raise EOFError

        with Scripted([leave], tls=ROOT.issue(HERE).server()) as origin:
            with pytest.raises(UpstreamUnreachable, match="broke off before it had answered") as failed:
                upstream(ca_file=root).send(get(origin.url()), Facts())
            assert not isinstance(failed.value, ClientCertificateWanted)


class TestByHost:
    """Roots and certificates of some hosts alone (`fetch.tls`)."""

    def test_an_authority_is_trusted_for_its_hosts_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "stranger.pem"
        file.write_bytes(STRANGER.pem)
        with Scripted([OK], [OK], tls=STRANGER.issue(HERE, "localhost").server()) as origin:
            client = upstream(tls=(OriginTlsOptions(hosts=("localhost",), ca_file=file),))
            assert b"".join(client.send(get(origin.url(host="localhost")), Facts())) == b"right"
            with pytest.raises(UpstreamUnreachable, match="not known here"):
                client.send(get(origin.url()), Facts())

    def test_the_first_that_fits_counts_and_adds_to_the_others(self, root: Path, tmp_path: Path) -> None:
        file = tmp_path / "stranger.pem"
        file.write_bytes(STRANGER.pem)
        items = [OriginTlsOptions(hosts=(host,), ca_file=file) for host in ("localhost", "*")]
        with Scripted([OK], tls=ROOT.issue("localhost").server()) as origin:
            client = upstream(ca_file=root, tls=tuple(items))
            assert b"".join(client.send(get(origin.url(host="localhost")), Facts())) == b"right"

    @pytest.mark.parametrize("kind", ["self-signed", "leaf", "between"])
    def test_a_file_may_name_less_than_a_root(self, kind: str, tmp_path: Path) -> None:
        leaf = self_signed(HERE) if kind == "self-signed" else BETWEEN.issue(HERE)
        file = tmp_path / "trusted.pem"
        file.write_bytes(BETWEEN.pem if kind == "between" else leaf.pem)
        with Scripted([OK], tls=leaf.server()) as origin:
            client = upstream(tls=(OriginTlsOptions(hosts=("*",), ca_file=file),))
            assert b"".join(client.send(get(origin.url()), Facts())) == b"right"

    @pytest.mark.parametrize("verify", [True, False])
    @pytest.mark.parametrize("right", [True, False])
    def test_a_pinned_origin_shows_one_of_these_certificates(
        self, right: bool, verify: bool, root: Path
    ) -> None:
        leaf, other = ROOT.issue(HERE), ROOT.issue(HERE)
        pins = (other.sha256, *([leaf.sha256] if right else []))
        with Scripted([OK], tls=leaf.server()) as origin:
            pinned = OriginTlsOptions(hosts=(HERE,), certificates=pins)
            client = upstream(ca_file=root, tls_verify=verify, tls=(pinned,))
            if right:
                assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
            else:
                told = f"none that fetch.tls names for it; it has sha256 {leaf.sha256}"
                with pytest.raises(UpstreamUnreachable, match=told) as refused:
                    client.send(get(origin.url()), Facts())
                assert refused.value.proxy_error == "tls_certificate_error"
                assert origin.heads == []

    def test_a_pin_replaces_no_verification(self, root: Path) -> None:
        leaf = ROOT.issue(HERE, begin=PAST, end=PAST + DAY)
        pinned = OriginTlsOptions(hosts=("*",), certificates=(leaf.sha256,))
        client = upstream(ca_file=root, tls=(pinned,))
        with (
            Scripted([OK], tls=leaf.server()) as origin,
            pytest.raises(UpstreamUnreachable, match="expired"),
        ):
            client.send(get(origin.url()), Facts())

    def test_revoked_certificates_are_refused(self, tmp_path: Path) -> None:
        good, bad = ROOT.issue(HERE), ROOT.issue(HERE)
        file = tmp_path / "ca.pem"
        lists = {
            "was revoked by 'Root of the tests'": (bad, ROOT.revocations(bad)),
            "names no list of revoked certificates of the authority": (good, STRANGER.revocations()),
            "list of revoked certificates in fetch.tls is too old": (
                good,
                ROOT.revocations(begin=PAST, end=PAST + DAY),
            ),
            "": (good, ROOT.revocations(bad)),
        }
        for text, (leaf, revoked) in lists.items():
            file.write_bytes(ROOT.pem + STRANGER.pem + revoked)
            with Scripted([OK], tls=leaf.server()) as origin:
                client = upstream(tls=(OriginTlsOptions(hosts=("*",), ca_file=file),))
                if text:
                    with pytest.raises(UpstreamUnreachable, match=text):
                        client.send(get(origin.url()), Facts())
                else:
                    assert b"".join(client.send(get(origin.url()), Facts())) == b"right"

    def test_files_that_cannot_be_used_are_told_together(self, tmp_path: Path) -> None:
        nothing, missing = tmp_path / "nothing.pem", tmp_path / "missing.pem"
        nothing.write_bytes(b"nothing")
        items = [OriginTlsOptions(hosts=("*",), ca_file=file) for file in (nothing, missing)]
        with pytest.raises(ConfigError) as refused:
            upstream(tls=tuple(items))
        assert str(refused.value).splitlines() == [
            f"fetch.tls[0].ca_file: {nothing}: has no certificate in PEM form",
            f"fetch.tls[1].ca_file: {missing}: No such file or directory",
        ]


class TestKeptConnections:
    """A connection stays with the name that it was verified for."""

    def test_another_name_at_the_same_address_is_verified_anew(self, root: Path) -> None:
        with Scripted([OK, OK], [OK], tls=ROOT.issue("localhost").server()) as origin:
            client = upstream(ca_file=root)
            for _ in range(2):
                assert b"".join(client.send(get(origin.url(host="localhost")), Facts())) == b"right"
            assert origin.accepted == 1
            with pytest.raises(UpstreamUnreachable, match="its certificate is for localhost"):
                client.send(get(origin.url()), Facts())
            assert len(origin.heads) == 2

    def test_a_pinned_name_uses_no_connection_of_another_name(self, root: Path) -> None:
        leaf = ROOT.issue("localhost", HERE)
        pinned = OriginTlsOptions(hosts=(HERE,), certificates=(ROOT.issue(HERE).sha256,))
        with Scripted([OK, OK], [OK], tls=leaf.server()) as origin:
            client = upstream(ca_file=root, tls=(pinned,))
            assert b"".join(client.send(get(origin.url(host="localhost")), Facts())) == b"right"
            with pytest.raises(UpstreamUnreachable, match=r"none that fetch\.tls names"):
                client.send(get(origin.url()), Facts())
            assert len(origin.heads) == 1
