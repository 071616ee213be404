"""Files of certificate authorities: what programs trust without the cache, and with it."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyproxycache.cli.runs.client_variables import ADDED, BUNDLES, DIRECTORIES, TRUST_STORE_PASSWORD

_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_CERTIFICATE = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s(.*?)-----END (?:X509 |TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)
_LINE = 64


def certificates(text: bytes) -> list[bytes]:
    """The certificates in the text, in DER, each once and in order; what is no certificate is left out."""
    found = []
    for match in _CERTIFICATE.finditer(text):
        try:
            der = base64.b64decode(b"".join(match[1].split()), validate=True)
        except binascii.Error:
            continue
        found.append(der[: _length(der)])  # OpenSSL's TRUSTED form has more behind the certificate
    return list(dict.fromkeys(filter(None, found)))


def _length(der: bytes) -> int:
    """The length of the outermost element (X.690 section 8.1.3), 0 if it is none of a certificate."""
    if len(der) < 4 or der[0] != 0x30 or not der[1] & 0x80:
        return 0
    count = der[1] & 0x7F
    length = 2 + count + int.from_bytes(der[2 : 2 + count], "big")
    return length if length <= len(der) else 0


def pem_of(ders: Iterable[bytes]) -> bytes:
    """The certificates in PEM, each once."""
    return b"".join(map(_pem, dict.fromkeys(ders)))


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return b"\n".join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))


def system_authorities() -> list[bytes]:
    """The certificates that this system trusts, in DER."""
    compiled = ssl.get_default_verify_paths()
    for path in (*_SYSTEMS, compiled.openssl_cafile):
        if found := _certificates_in(Path(path)):
            return found
    return _certificates_in(Path(compiled.openssl_capath))


def named_authorities(environ: Mapping[str, str], names: Iterable[str]) -> list[bytes]:
    """The certificates in the files and folders that these variables name, in DER."""
    paths = [path for name in names for path in environ.get(name, "").split(":") if path]
    return list(dict.fromkeys(der for path in dict.fromkeys(paths) for der in _certificates_in(Path(path))))


def authorities_before(environ: Mapping[str, str]) -> list[bytes]:
    """The certificates in all files and folders that the environment has for programs, in DER."""
    return named_authorities(environ, (*BUNDLES, *ADDED, *DIRECTORIES))


def _certificates_in(path: Path) -> list[bytes]:
    """The certificates in a file, or in the files of a folder; none where they cannot be read."""
    try:
        # OpenSSL's folders have each certificate under several names.
        files = {_identity(file): file for file in sorted(path.iterdir())} if path.is_dir() else {0: path}
        return [der for file in files.values() if file.is_file() for der in certificates(file.read_bytes())]
    except OSError:
        return []


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0  # a link to nothing, as is each other one with this identity
    return status.st_dev, status.st_ino


def trust_store(ders: Iterable[bytes]) -> bytes:
    """Java's trust store (PKCS12) of the certificates; those that are malformed are left out."""
    # Imported here, as each command would wait for it.
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

    members = []
    with warnings.catch_warnings():
        # Some authorities have serial numbers that are not positive, which is said to be an error once.
        warnings.simplefilter("ignore")
        for number, der in enumerate(dict.fromkeys(ders)):
            try:
                certificate = x509.load_der_x509_certificate(der)
            except ValueError:
                continue
            members.append(pkcs12.PKCS12Certificate(certificate, f"authority-{number}".encode()))
    # Nothing in it is secret, so a costly key would only cost time.
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(1000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(TRUST_STORE_PASSWORD.encode())
    )
    return pkcs12.serialize_java_truststore(members, encryption)
