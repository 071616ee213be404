"""The servers as they speak TLS: on their listener, or in the place of origins (behind a CONNECT)."""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from certificates import make_certificate
from harness import Reply

from compare.servers import SERVERS, Before, Nginx, Ours, Server, Squid, filled
from pyproxycache.tls.certificate_authority import CertificateAuthority

MAKES_CERTIFICATES = Path("/usr/lib/squid/security_file_certgen")
"""Squid's, where it was built with OpenSSL: Debian's squid-openssl."""


class Secured(Server):
    """A server that is asked for `url` in TLS, by a CONNECT to `proxy` ("host:port") if that is set."""

    scheme = "https"
    proxy = ""

    def fetch(self, path: str) -> Reply:
        url = urlsplit(self.url)
        address, _colon, port = (self.proxy or url.netloc).rpartition(":")
        client = http.client.HTTPSConnection(address, int(port), timeout=30, context=unverified())
        if self.proxy:
            client.set_tunnel(str(url.hostname), url.port)
        with closing(client):
            client.request("GET", path)
            answer = client.getresponse()
            return Reply(
                answer.status, answer.reason, tuple(answer.getheaders()), answer.read(), True, None
            )


def unverified() -> ssl.SSLContext:
    """For clients that take any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class InTls(Secured):
    """A reverse proxy whose listener speaks TLS, with a key of P-256."""

    def prepare(self) -> None:
        make_certificate(self.folder, "IP:127.0.0.1")
        super().prepare()


class NginxInTls(InTls, Nginx):
    def tls(self) -> dict[str, object]:
        lines = f"ssl_certificate {self.folder}/certificate.pem; ssl_certificate_key {self.folder}/key.pem;"
        return {"SSL": "ssl", "CERTIFICATE": lines}


class OursInTls(InTls, Ours):
    def way_in(self) -> dict[str, object]:
        files = {"certificate": str(self.folder / "certificate.pem"), "key": str(self.folder / "key.pem")}
        listener = {"address": f"127.0.0.1:{self.port}", "tls": files}
        return {**super().way_in(), "listen": [listener]}


class BeforeInTls(OursInTls, Before):
    """The same of an earlier version."""


def make_authority(folder: Path) -> tuple[Path, Path]:
    """Makes an authority, with a key of P-256; returns the files of its certificate and key."""
    CertificateAuthority.create(folder, time.time())
    return folder / "ca.pem", folder / "ca.key"


class Intercepting(Secured):
    """A proxy that answers in the place of all hosts, and trusts the origin's certificate."""

    def __init__(
        self, folder: Path, core: int, origin: str = "", log: bool = False, trusted: Path | None = None
    ) -> None:
        super().__init__(folder, core, origin, log, trusted)
        self.proxy, self.url = f"127.0.0.1:{self.port}", f"https://{origin}"


class OursIntercepting(Intercepting, Ours):
    def prepare(self) -> None:
        make_authority(self.folder / "ca")
        super().prepare()

    def way_in(self) -> dict[str, object]:
        return {
            "listen": f"127.0.0.1:{self.port}",
            "connect": {"ports": [int(self.origin.rpartition(":")[2])]},
            "intercept": {"hosts": ["*"], "ca": str(self.folder / "ca")},
            "fetch": {"ca_file": str(self.trusted)},
            "guard": {"permit": ["127.0.0.0/8"]},
        }


class BeforeIntercepting(OursIntercepting, Before):
    """The same of an earlier version."""


class SquidIntercepting(Intercepting, Squid):
    def prepare(self) -> None:
        if not MAKES_CERTIFICATES.exists():
            raise RuntimeError("it was built without OpenSSL: apt-get install squid-openssl")
        certificate, key = make_authority(self.folder / "authority")
        (self.folder / "ca.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        made = self.folder / "certificates"
        subprocess.run(
            [MAKES_CERTIFICATES, "-c", "-s", made, "-M", "64MB"], check=True, capture_output=True
        )
        if os.geteuid() == 0:  # which Squid gives up for this user
            for path in (made, *made.rglob("*"), self.folder / "ca.pem"):
                shutil.chown(path, "proxy", "proxy")
        super().prepare()

    def way_in(self) -> str:
        return filled("squid-intercepting.conf", {**self.values(), "TRUSTED": self.trusted})


class Mitmproxy(Intercepting):
    """It keeps nothing: each request goes to the origin, on a kept connection."""

    name, title, program = "mitmproxy", "mitmproxy", os.environ.get("MITMDUMP", "mitmdump")
    caches = False

    def prepare(self) -> None:
        certificate, key = make_authority(self.folder / "authority")
        (self.folder / "mitmproxy-ca.pem").write_bytes(key.read_bytes() + certificate.read_bytes())

    def command(self) -> list[str]:
        options = {
            "confdir": self.folder,
            "ssl_verify_upstream_trusted_ca": self.trusted,
            # So that no handshake waits for the origin, nor is its certificate copied.
            "connection_strategy": "lazy",
            "upstream_cert": "false",
            "http2": "false",
        }
        sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
        place = ["--listen-host", "127.0.0.1", "--listen-port", str(self.port)]
        return [self.program, "--quiet", *place, *sets]

    def is_hit(self, reply: Reply) -> bool:
        return True

    @classmethod
    def version(cls) -> str:
        said = subprocess.run([cls.program, "--version"], capture_output=True, text=True, check=False)
        return (said.stdout.split() or ["", "of unknown version"])[1]


IN_TLS: Mapping[str, type[Secured]] = {kind.name: kind for kind in (OursInTls, NginxInTls, BeforeInTls)}
INTERCEPTING: Mapping[str, type[Secured]] = {
    kind.name: kind for kind in (OursIntercepting, SquidIntercepting, Mitmproxy, BeforeIntercepting)
}
ALL_SERVERS: Mapping[str, type[Server]] = {**SERVERS, Mitmproxy.name: Mitmproxy}
