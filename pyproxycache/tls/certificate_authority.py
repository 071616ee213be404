"""The local certificate authority: makes certificates for the hosts that the cache answers for."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Self

import cryptography.hazmat.backends.openssl.backend  # noqa: F401  (the first signature would import it)
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pyproxycache.errors import ConfigError
from pyproxycache.tls.authority_files import (
    CERTIFICATE,
    KEY,
    AuthorityFiles,
    read_authority,
    write_authority,
)
from pyproxycache.tls.shown_certificates import fingerprint
from pyproxycache.tls.subject_names import (
    EVERY_ADDRESS,
    NameConstraints,
    SubjectName,
    domain_name,
    subject_name,
)
from pyproxycache.tls.validity import Validity, day

_DAY = 86400
_BACKDATED = 2 * 3600
"""Seconds by which a certificate begins in the past, for clients whose clocks are late."""
_LEAF_LIFE = 40 * _DAY
"""With what it is backdated by; clients accept less and less: the public limit is 47 days from 2029 on."""
_AUTHORITY_LIFE = 3650 * _DAY
_WARNED_BEFORE = 60 * _DAY
_MOST_CN = 64
_MOST_HOST = 24

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate for one host; `chain` is in PEM, with those of issuers that clients may not have.

    `begins` and `expires` are its first and last second, and from `due` on it is to be made anew (epoch).
    """

    chain: bytes
    begins: float
    due: float
    expires: float

    def is_due(self, now: float) -> bool:
        """Whether it is to be made anew, as also when the clock was set back."""
        return not self.begins <= now < self.due

    def is_valid(self, now: float) -> bool:
        """Whether clients whose clock is right accept it."""
        return self.begins <= now <= self.expires


class CertificateAuthority:
    """An authority whose key is here; it is never changed, so any number of threads may use it.

    `pem` is its certificate, `der` the same in DER, and `p12` a store of PKCS #12 with nothing else in it
    and no password; none of them has the key. `fingerprint` is the SHA-256 that people compare.
    """

    def __init__(self, key: SigningKey, certificates: list[x509.Certificate]) -> None:
        """The first certificate is the authority's, others are those of its issuers; raises ValueError."""
        own, *issuers = certificates
        self._key = key
        self._own = own
        self.pem = _pem(own)
        self.der = own.public_bytes(Encoding.DER)
        marked = PKCS12Certificate(own, b"pyproxycache")
        self.p12 = serialize_java_truststore([marked], NoEncryption())  # which others read too
        self.fingerprint = fingerprint(self.der)
        self.subject = own.subject.rfc4514_string()
        self.validity = Validity(own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp())
        self._key_identifier = _checked(own, key)
        self.names = _constraints(own)
        # Clients have an authority that signs itself, or will not accept it for being sent.
        self._sent_along = b"" if own.issuer == own.subject else b"".join(map(_pem, (own, *issuers)))

    @classmethod
    def create(cls, folder: Path, now: float, permit: tuple[str, ...] = ()) -> Self:
        """Make a new authority in the folder, which may sign for these domains alone, if there are any.

        Raises ConfigError if there is one already, a domain is none, or the folder cannot be written.
        """
        try:
            domains = tuple(dict.fromkeys(map(domain_name, permit)))
        except ValueError as error:
            raise ConfigError(f"{error}: a domain is accepted, as in example.org") from None
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, domains, now)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_authority(folder, AuthorityFiles(secret, _pem(certificate)))
        return cls(key, [certificate])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the authority in the folder; raises ConfigError, which says what to do."""
        files = read_authority(folder)
        try:
            certificates = x509.load_pem_x509_certificates(files.certificate)
        except ValueError as error:
            raise ConfigError(
                f"{folder / CERTIFICATE} has no certificate, or a damaged one; {_OTHER}"
            ) from error
        key = _private_key(folder / KEY, files.key)
        try:
            return cls(key, certificates)
        except ValueError as error:
            raise ConfigError(f"{folder / CERTIFICATE} {error}; {_OTHER}") from error

    def signable(self, name: str) -> SubjectName:
        """The host name or IP address, if a leaf for it may be signed; raises ValueError if not."""
        subject = subject_name(name)
        if not self.names.permit(subject):
            raise ValueError(f"this cache's authority may not sign for {subject}")
        return subject

    def is_any_signable(self, pattern: str) -> bool:
        """Whether a leaf may be signed for some host that fits the pattern, in host_pattern()'s form."""
        domain = pattern.removeprefix(".")
        if pattern == "*" or (domain != pattern and self.names.permit_below(domain)):
            return True
        try:
            self.signable(domain)
        except ValueError:
            return False
        return True

    def mint(self, name: str, public_key: ec.EllipticCurvePublicKey, now: float) -> Leaf:
        """Make a leaf for the host name or IP address; raises ValueError if there may be none."""
        subject = self.signable(name)
        if now > self.validity.end:
            raise ValueError(f"this cache's authority has expired on {day(self.validity.end)}")
        begins = int(now) - _BACKDATED
        expires = begins + _LEAF_LIFE
        due = expires - _LEAF_LIFE // 3
        if expires > self.validity.end:
            due = expires = int(self.validity.end)  # which a new one could not outlive
        identity = x509.Name(_common_name(str(subject)))
        certificate = (
            _certificate(identity, self._own.subject, public_key, begins, expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(is_authority=False), critical=True)
            .add_extension(_FOR_SERVERS, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_identifier),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([_general(subject)]), critical=not len(identity.rdns)
            )
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(_pem(certificate) + self._sent_along, begins, due, expires)

    def warning(self, now: float) -> str | None:
        """What is wrong with its time: it is over, or soon will be; None if nothing is."""
        end = self.validity.end
        if now > end:
            return f"the certificate authority has expired on {day(end)}: make another one"
        if now > end - _WARNED_BEFORE:
            return f"the certificate authority expires on {day(end)}: make another one before"
        return None


_OTHER = "move the folder away, and make another authority with `pyproxycache ca init`"
_FOR_SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


def _self_signed(key: ec.EllipticCurvePrivateKey, domains: tuple[str, ...], now: float) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Another name for each, as clients look for an issuer by its name first.
    host = socket.gethostname()[:_MOST_HOST]
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pyproxycache"),
            *_common_name(f"pyproxycache CA on {host} {identifier.digest.hex()[:8]}"),
        ]
    )
    begins = int(now) - _BACKDATED
    builder = (
        _certificate(subject, subject, key.public_key(), begins, begins + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        # So it can vouch for servers alone, and not for mail or programs.
        .add_extension(_FOR_SERVERS, critical=False)
        .add_extension(identifier, critical=False)
    )
    if domains:
        permitted = [x509.DNSName(domain) for domain in domains]
        excluded = [x509.IPAddress(network) for network in EVERY_ADDRESS]
        builder = builder.add_extension(x509.NameConstraints(permitted, excluded), critical=True)
    return builder.sign(key, hashes.SHA256())


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: int, expires: int
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key,
        serial_number=x509.random_serial_number(),  # 159 bits
        not_valid_before=datetime.fromtimestamp(begins, UTC),
        not_valid_after=datetime.fromtimestamp(expires, UTC),
    )


def _common_name(text: str) -> list[x509.NameAttribute[str]]:
    return [x509.NameAttribute(NameOID.COMMON_NAME, text)] if len(text) <= _MOST_CN else []


def _usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: SubjectName) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def _private_key(path: Path, pem: bytes) -> SigningKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ConfigError(
            f"{path} has a passphrase, for which nobody can be asked: store it without"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} has no private key in PEM, or a damaged one; {_OTHER}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigError(f"{path} has a key that is neither RSA nor of an elliptic curve; {_OTHER}")
    return key


def _checked(certificate: x509.Certificate, key: SigningKey) -> x509.SubjectKeyIdentifier:
    """The key identifier of an authority's certificate; raises ValueError if it is none with this key."""
    if certificate.public_key() != key.public_key():
        raise ValueError(f"is not the certificate of the key in {KEY}")
    found = certificate.extensions
    try:
        can_sign = found.get_extension_for_class(x509.BasicConstraints).value.ca
        can_sign &= found.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
        identifier = found.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound as error:
        raise ValueError(f"is not an authority's: {error}") from error
    if not can_sign:
        raise ValueError("is not an authority's: it may not sign certificates")
    return identifier


def _constraints(certificate: x509.Certificate) -> NameConstraints:
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return NameConstraints()
    permitted, excluded = found.permitted_subtrees or [], found.excluded_subtrees or []
    return NameConstraints(
        domains=_domains(permitted),
        networks=_networks(permitted),
        excluded_domains=_domains(excluded),
        excluded_networks=_networks(excluded),
    )


def _domains(names: list[x509.GeneralName]) -> tuple[str, ...]:
    return tuple(name.value.lower() for name in names if isinstance(name, x509.DNSName))


def _networks(names: list[x509.GeneralName]) -> tuple[IPv4Network | IPv6Network, ...]:
    values = [name.value for name in names if isinstance(name, x509.IPAddress)]
    return tuple(value for value in values if isinstance(value, IPv4Network | IPv6Network))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
