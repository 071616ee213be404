"""The certificate, key and authorities of a listener: read from their files, and checked."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from pyproxycache.errors import ConfigError, reason
from pyproxycache.options import TlsOptions

_PEM = "a file in PEM is accepted"
# Either label stands for a certificate (RFC 7468 section 5.3, and that of OpenSSL's own).
_CERTIFICATE = re.compile(rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----(.*?)-----END ", re.DOTALL)


class TlsFiles(NamedTuple):
    """The contents of a listener's files; `client_ca` is empty if clients need no certificate."""

    certificate: bytes
    key: bytes
    client_ca: bytes

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have the context show this certificate from now on; raises OSError, ValueError or _Encrypted.

        Both are read from memory, so that they belong together whatever becomes of the files.
        """
        with _readable(self.certificate) as certificate, _readable(self.key) as key:
            context.load_cert_chain(certificate, key, password=_no_passphrase)


def show(context: ssl.SSLContext, pem: bytes) -> None:
    """Have the context show the certificate whose chain and only key are in PEM; raises OSError."""
    with _readable(pem) as path:
        context.load_cert_chain(path, password=_no_passphrase)


class _Encrypted(Exception):
    """The key has a passphrase, for which nobody can be asked."""


def read_tls_files(options: TlsOptions, place: str) -> TlsFiles:
    """Read and check the files; `place` is where the options are in the configuration.

    Raises ConfigError with a line for each that is wrong.
    """
    named = {"certificate": options.certificate, "key": options.key, "client_ca": options.client_ca}
    contents, problems = {"client_ca": b""}, []
    for name, path in named.items():
        try:
            if path is not None:
                contents[name] = path.read_bytes()
        except OSError as error:
            problems.append(f"{place}.{name}: {path} cannot be read: {error.strerror}; {_PEM}")
    if not problems:
        files = TlsFiles(**contents)
        problems += [f"{place}.{name}: {text}" for name, text in _faults(files, options)]
    if problems:
        raise ConfigError("\n".join(problems))
    return files


def first_certificate(pem: bytes) -> bytes:
    """The first certificate of those in PEM, in DER; raises ValueError if there is none."""
    found = _CERTIFICATE.search(pem)
    if found is None:
        raise ValueError("it has no certificate in PEM")
    return base64.b64decode(found[1], validate=False)


def trust(context: ssl.SSLContext, authorities: bytes) -> None:
    """Have the context believe certificates that these (in PEM) have signed.

    Raises OSError or ValueError if there is none.
    """
    context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))


def _faults(files: TlsFiles, options: TlsOptions) -> Iterator[tuple[str, str]]:
    """The key of each file that cannot be used, and why."""
    try:
        trust(_context(), files.certificate)
    except (OSError, ValueError):
        yield "certificate", f"{options.certificate} has no certificate; {_PEM}"
    else:
        fault = _fault_of_key(files, options)
        if fault is not None:
            yield "key", fault
    if options.client_ca is not None:
        try:
            trust(_context(), files.client_ca)
        except (OSError, ValueError):
            yield "client_ca", f"{options.client_ca} has no certificate; {_PEM}"


def _fault_of_key(files: TlsFiles, options: TlsOptions) -> str | None:
    try:
        files.load_into(_context())
    except _Encrypted:
        return f"{options.key} has a passphrase; {_PEM} whose key has none"
    except (OSError, ValueError) as error:
        name = getattr(error, "reason", None)
        if name == "KEY_VALUES_MISMATCH":
            return f"{options.key} is not the key of the certificate in {options.certificate}"
        if name is None:
            return f"{options.key} has no private key; {_PEM}"
        return f"{options.key} and {options.certificate} cannot be used: {reason(error)}"
    return None


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _no_passphrase() -> str:
    raise _Encrypted


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """A path under which the library, which takes paths alone, reads the content."""
    fd = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
