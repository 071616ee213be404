"""The certificate of the cache's own authority, as files for clients, and a page about it."""

from __future__ import annotations

import re
from html import escape

from pyproxycache.body import BytesBody
from pyproxycache.errors import Forbidden, MethodNotAllowed
from pyproxycache.facts import Attempted, Facts, ServedAs
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local
from pyproxycache.messages import Head, Headers
from pyproxycache.outcome import Result
from pyproxycache.response import Response
from pyproxycache.steps import Steps, at_once
from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.client_trust import ways_to_trust

_PAGE = "/ca"
OPEN_PATHS = frozenset({_PAGE, "/ca.pem", "/ca.cer", "/ca.p12"})
"""The paths of these files and the page, which clients need before anything else."""

PATHS = re.compile("|".join(map(re.escape, sorted(OPEN_PATHS))))

_TEXT = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The certificate authority of this cache</title>
<style>body {{ font: 16px sans-serif; margin: 2em }} pre {{ overflow: auto }}</style>
<h1>The certificate authority of this cache</h1>
<p>For some hosts this cache answers in their place, with certificates of its own. Clients have to trust the
authority that signs these:</p>
<ul>
<li><a href="ca.pem">ca.pem</a> for most programs</li>
<li><a href="ca.cer">ca.cer</a> for Windows, Android, iOS and browsers</li>
<li><a href="ca.p12">ca.p12</a> for Java: a trust store without a password</li>
</ul>
<pre>
{about}
</pre>
<p>Compare the fingerprint before you trust it: on the server, <code>pyproxycache ca show</code> has it.</p>
<pre>
{ways}
</pre>
"""


class CaFiles:
    """Answers with the authority's certificate in several forms, or a page about it; never with its key."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority
        self._files = {
            "/ca.pem": ("application/x-pem-file", authority.pem),
            "/ca.cer": ("application/x-x509-ca-cert", authority.der),
            "/ca.p12": ("application/x-pkcs12", authority.p12),
        }

    def answer(self, received: RawRequest, target: Local, facts: Facts) -> Steps[Answered]:
        """The file or the page; raises MethodNotAllowed, or Forbidden to a proxy."""
        return at_once(lambda: self._answered(received, target, facts))

    def _answered(self, received: RawRequest, target: Local, facts: Facts) -> Answered:
        facts.note(Attempted(target.path))
        if received.method not in ("GET", "HEAD"):
            allow = (("Allow", "GET, HEAD"),)
            raise MethodNotAllowed(f"{received.method}: {target.path} takes GET and HEAD", headers=allow)
        if "via" in received.headers:
            # Perhaps this one, which may not know all its addresses: as behind a forwarded port.
            raise Forbidden(f"{target.path} is for clients that ask this cache itself, and not by a proxy")
        facts.note(ServedAs(Result.LOCAL))
        if target.path == _PAGE:
            content_type, content = "text/html; charset=utf-8", self._page(received).encode()
        else:
            content_type, content = self._files[target.path]
        headers = (
            ("Content-Type", content_type),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),  # another authority may take its place
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        )
        return Answered(
            Response(Head(200, "OK", Headers(headers)), BytesBody(content), len(content)), is_of_cache=False
        )

    def _page(self, received: RawRequest) -> str:
        authority = self._authority
        address = f"{received.ingress.scheme}://{received.field('host') or 'CACHE'}"
        about = (
            ("Subject", authority.subject),
            ("SHA-256", authority.fingerprint),
            ("Valid", str(authority.validity)),
            ("May sign", str(authority.names)),
        )
        fetched = f"curl --noproxy '*' -o ca.pem {address}/ca.pem"
        ways = (("The file", fetched), *_SYSTEMS, *ways_to_trust("$PWD/ca.pem"))
        return _TEXT.format(about=_lines(about), ways=_lines(ways))


_SYSTEMS = (
    (
        "Debian",
        "sudo cp ca.pem /usr/local/share/ca-certificates/pyproxycache.crt && sudo update-ca-certificates",
    ),
    ("Fedora", "sudo cp ca.pem /etc/pki/ca-trust/source/anchors/pyproxycache.pem && sudo update-ca-trust"),
)


def _lines(rows: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(escape(f"{name:9} {text}") for name, text in rows)
