"""Why a TLS handshake with a server has failed, in plain words."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from pyproxycache.errors import reason
from pyproxycache.tls.shown_certificates import ShownCertificate
from pyproxycache.tls.validity import minute

_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(\w+)")
# Who has shown no certificate hears these of a server only because of that.
_OF_CLIENT_CERTIFICATES = {
    "CERTIFICATE_REQUIRED",
    "NO_CERTIFICATE",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "UNSUPPORTED_CERTIFICATE",
    "UNKNOWN_CA",
}
_NO_TLS = {
    "WRONG_VERSION_NUMBER",
    "UNKNOWN_PROTOCOL",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
}
_NO_VERSION = {"UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION", "NO_PROTOCOLS_AVAILABLE", "PROTOCOL_VERSION"}
_WEAK = {
    "DH_KEY_TOO_SMALL": "the key of its key exchange (Diffie-Hellman) is too short",
    "BAD_ECPOINT": "the key of its key exchange is no valid one",
    "WRONG_SIGNATURE_TYPE": "it signs its key exchange in a way that is too weak, or unknown here",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "it renegotiates as very old servers do, which is not safe",
}
_UNLIKE = {
    "HANDSHAKE_FAILURE": "it accepts no cipher or key exchange that is spoken here",
    "INSUFFICIENT_SECURITY": "it wants stronger ciphers than are spoken here",
    "UNRECOGNIZED_NAME": "it knows no host of this name",
    "NO_APPLICATION_PROTOCOL": "it speaks no HTTP/1.1",
}

_NOT_BEFORE, _EXPIRED, _REVOKED, _NO_LIST, _LIST_EXPIRED = 9, 10, 23, 3, 12
_SELF_SIGNED, _ROOT_UNKNOWN, _ISSUER_UNKNOWN, _LEAF_UNVERIFIED = 18, 19, 20, 21
_NAME, _ADDRESS = 62, 64
_LEAF_KEY_SHORT, _AUTHORITY_KEY_SHORT, _HASH_WEAK = 66, 67, 68
_FOR_OTHERS = {
    24: "a certificate above its own is none of an authority",
    26: "its certificate is not for servers",
    79: "a certificate above its own is none of an authority",
    47: "the authority above its certificate may not sign for this name (name constraints)",
    48: "the authority above its certificate may not sign for this name (name constraints)",
}
"""Verification results by number, as in OpenSSL's x509_vfy.h."""

_TRUSTING = "fetch.ca_file names authorities to trust, fetch.tls those for some hosts alone"


class FailedHandshake(NamedTuple):
    """What is wrong, what Proxy-Status calls it (RFC 9209), and whether a certificate of ours is wanted."""

    text: str
    proxy_error: str
    wants_certificate: bool = False


def explained(error: Exception, chain: Sequence[bytes], now: float) -> FailedHandshake:
    """What an error of a handshake as a client means; `now` in epoch seconds.

    `chain` has the certificates that the server has shown in DER, its own first; [] if it has shown none.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        try:
            text = _unverified(error, [ShownCertificate(one) for one in chain], now)
        except Exception:  # a stranger's certificate may be malformed in any part
            text = f"{reason(error)} ({_TRUSTING})"
        return FailedHandshake(text, "tls_certificate_error")
    code = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    alert = _ALERT.fullmatch(code)
    said = alert[1] if alert is not None else code
    if alert is not None and wants_certificate(error, greeted=bool(chain)):
        return FailedHandshake("it wants a certificate of the client", "tls_alert_received", True)
    kind = "tls_protocol_error" if alert is None else "tls_alert_received"
    if said in _NO_VERSION:
        return FailedHandshake("it speaks no version of TLS that is spoken here (1.2 and 1.3)", kind)
    if code in _NO_TLS:
        return FailedHandshake(
            "what answers there speaks no TLS: the URL may have to begin with http:", kind
        )
    if code in _WEAK:
        return FailedHandshake(_WEAK[code], kind)
    if said in _UNLIKE:
        return FailedHandshake(_UNLIKE[said], kind)
    if alert is not None:
        return FailedHandshake(f"it says '{said.lower().replace('_', ' ')}'", kind)
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return FailedHandshake("it broke the connection off in the handshake", kind)
    return FailedHandshake(reason(error), kind)


def wants_certificate(error: BaseException, *, greeted: bool = True) -> bool:
    """Whether the server has ended the connection since it wants a certificate of the client.

    In TLS 1.3 it says so after the handshake. In TLS 1.2 it may say no more than that the handshake has
    failed; once it has shown its own certificate (`greeted`), that is why.
    """
    alert = _ALERT.fullmatch((error.reason or "") if isinstance(error, ssl.SSLError) else "")
    if alert is None:
        return False
    return alert[1] in _OF_CLIENT_CERTIFICATES or (greeted and alert[1] == "HANDSHAKE_FAILURE")


def _unverified(error: ssl.SSLCertVerificationError, chain: list[ShownCertificate], now: float) -> str:
    """What is wrong with the certificates."""
    code = error.verify_code
    if code in _FOR_OTHERS:
        return _FOR_OTHERS[code]
    if code == _LIST_EXPIRED:
        return "the list of revoked certificates in fetch.tls is too old: put its successor in its place"
    if code == _NO_LIST:
        return (
            "fetch.tls names no list of revoked certificates of the authority that issued its certificate"
        )
    if not chain:
        return reason(error)
    leaf = chain[0]
    if code in (_EXPIRED, _NOT_BEFORE):
        return _untimely(code, chain, now)
    if code in (_NAME, _ADDRESS):
        return f"its certificate is for {leaf.names}"
    if code == _SELF_SIGNED:
        return f"its certificate is self-signed, by {leaf.issuer}, which nobody vouches for ({_TRUSTING})"
    if code == _ROOT_UNKNOWN:
        return f"its certificate comes from {chain[-1].issuer}, which is not trusted here ({_TRUSTING})"
    if code in (_ISSUER_UNKNOWN, _LEAF_UNVERIFIED):
        text = f"its certificate was issued by {chain[-1].issuer}, which is not known here"
        if len(chain) == 1:
            text += " and which it does not show"
        return f"{text} ({_TRUSTING})"
    if code == _REVOKED:
        return f"its certificate was revoked by {leaf.issuer}"
    if code == _LEAF_KEY_SHORT:
        return f"its certificate has a key that is too weak ({leaf.key})"
    if code == _AUTHORITY_KEY_SHORT:
        return "a certificate above its own has a key that is too weak"
    if code == _HASH_WEAK:
        hashes = {shown.hash for shown in chain} & {"MD5", "SHA1"}
        return f"its certificate is signed with a hash that is too weak ({', '.join(hashes) or 'above it'})"
    return reason(error)


def _untimely(code: int, chain: list[ShownCertificate], now: float) -> str:
    """Which certificate is valid no more, or not yet."""
    for shown in chain:
        if shown.end < now or now < shown.begin:
            break
    else:
        what = "has expired" if code == _EXPIRED else "is not valid yet"
        return f"the certificate of an authority above its own {what}"
    whose = "its certificate" if shown is chain[0] else f"the certificate of its issuer {shown.subject}"
    if shown.end < now:
        return f"{whose} expired on {minute(shown.end)}"
    return f"{whose} is not valid before {minute(shown.begin)}; the clock here says {minute(now)}"
