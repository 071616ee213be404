"""What a certificate that a server has shown says of itself, in words for people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

_MOST_NAMES = 5
_LONGEST = 64


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate in DER, as openssl writes it: upper case, with colons."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


class ShownCertificate:
    """A certificate in DER; raises ValueError if it is none.

    What it says comes from whoever answers there: all texts are short, and printable ASCII.
    """

    def __init__(self, certificate: bytes) -> None:
        self._certificate = x509.load_der_x509_certificate(certificate)
        self.begin = self._certificate.not_valid_before_utc.timestamp()
        self.end = self._certificate.not_valid_after_utc.timestamp()

    @property
    def issuer(self) -> str:
        """Who has signed it, by the common name if there is one."""
        return _called(self._certificate.issuer)

    @property
    def subject(self) -> str:
        """Whose it is, by the common name if there is one."""
        return _called(self._certificate.subject)

    @property
    def names(self) -> str:
        """The hosts that it is for, the first few of them."""
        try:
            found = self._certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return f"no host by a subject alternative name, and only named {self.subject}"
        hosts = [
            *found.get_values_for_type(x509.DNSName),
            *map(str, found.get_values_for_type(x509.IPAddress)),
        ]
        return _enumerated(hosts) if hosts else "no host"

    @property
    def key(self) -> str:
        """The kind of its key, and how long that is."""
        return _key(self._certificate.public_key())

    @property
    def hash(self) -> str:
        """The hash that it is signed with, "" where the signature has none of its own."""
        algorithm = self._certificate.signature_hash_algorithm
        return "" if algorithm is None else algorithm.name.upper()


def _key(key: CertificatePublicKeyTypes) -> str:
    bits = getattr(key, "key_size", None)
    kind = (
        "RSA" if isinstance(key, rsa.RSAPublicKey) else "DSA" if isinstance(key, dsa.DSAPublicKey) else ""
    )
    return " ".join(filter(None, (kind, f"{bits} bits" if bits else "")))


def _called(name: x509.Name) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME):
        for attribute in name.get_attributes_for_oid(kind):
            return f"'{_plain(attribute.value)}'"
    return f"'{_plain(name.rfc4514_string())}'"


def _plain(text: str | bytes) -> str:
    """The text in printable ASCII, cut where it is long."""
    shown = (text if isinstance(text, str) else text.hex())[: _LONGEST + 1]
    shown = "".join(one if one.isascii() and one.isprintable() else "?" for one in shown)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


def _enumerated(hosts: Iterable[str]) -> str:
    listed = [_plain(host) for host in hosts]
    more = len(listed) - _MOST_NAMES
    return ", ".join(listed[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
