"""Authorities of the tests' own that issue every kind of certificate, the wrong ones too."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem_of_key(key: Key) -> bytes:
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(serialization.Encoding.PEM, *form)


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and those of its issuers that a server shows with it."""

    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def sha256(self) -> str:
        """The fingerprint, as openssl prints it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def pem(self) -> bytes:
        """Of the certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return pem_of_key(self.key)

    def server(self, ciphers: str = "DEFAULT", **attributes: Any) -> ssl.SSLContext:
        """What a server needs to show it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(ciphers)
        for name, value in attributes.items():
            setattr(context, name, value)
        chain = [self.certificate, *self.above]
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.key_pem)
            file.writelines(one.public_bytes(serialization.Encoding.PEM) for one in chain)
            file.flush()
            context.load_cert_chain(file.name)
        return context


class Issuer:
    """An authority; `of` is the one above it, None for a root."""

    def __init__(
        self,
        name: str,
        of: Self | None = None,
        *,
        begin: datetime.datetime = NOW - 400 * DAY,
        end: datetime.datetime = NOW + 400 * DAY,
        permits: str | None = None,
    ) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.of = of or self
        builder = _certificate(self.name, self.of.name, self.key, begin, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_signing(), critical=True)
        if permits is not None:
            constraints = x509.NameConstraints([x509.DNSName(permits)], None)
            builder = builder.add_extension(constraints, critical=True)
        self.certificate = builder.sign(self.of.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return pem_of_key(self.key)

    def issue(
        self,
        *names: str,
        begin: datetime.datetime = NOW - DAY,
        end: datetime.datetime = NOW + 30 * DAY,
        key: Key | None = None,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        shows: Sequence[Issuer] = (),
    ) -> Issued:
        """A certificate for these hosts, valid now unless told otherwise; `shows`: issuers in the chain."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "of the tests")])
        builder = _certificate(subject, self.name, key, begin, end)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_name, names)), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return Issued(certificate, key, tuple(one.certificate for one in shows))

    def revocations(
        self, *revoked: Issued, begin: datetime.datetime = NOW - DAY, end: datetime.datetime = NOW + DAY
    ) -> bytes:
        """The list (CRL) of these, in PEM."""
        builder = x509.CertificateRevocationListBuilder(self.name, begin, end)
        for one in revoked:
            entry = x509.RevokedCertificateBuilder(one.certificate.serial_number, begin)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def self_signed(*names: str) -> Issued:
    """A server's certificate that is its own authority, and no authority for others."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "on its own")])
    builder = _certificate(subject, subject, key, NOW - DAY, NOW + 30 * DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName(map(_name, names)), critical=False)
    return Issued(builder.sign(key, hashes.SHA256()), key)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: Key, begin: datetime.datetime, end: datetime.datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    serial = x509.random_serial_number()
    return x509.CertificateBuilder(issuer, subject, public, serial, begin, end)


def _signing() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
