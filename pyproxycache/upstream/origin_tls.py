"""TLS with origins: whom to trust, by host, and what is said where a handshake fails."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from socket import socket

from pyproxycache import clock
from pyproxycache.errors import ClientCertificateWanted, ConfigError, UpstreamUnreachable
from pyproxycache.net.layered_socket import LayeredSocket
from pyproxycache.options import FetchOptions, OriginTlsOptions
from pyproxycache.tls.failed_handshakes import explained
from pyproxycache.tls.shown_certificates import fingerprint
from pyproxycache.url import Authority

TlsOfHost = Callable[[str], OriginTlsOptions | None]
"""Gives what `fetch.tls` says of a host, None if nothing."""

_REVOCATION_LIST = b"-----BEGIN X509 CRL-----"


def no_tls_of_its_own(_host: str) -> None:
    """Says of no host anything in particular."""


class OriginTls:
    """Makes TLS of connections to origins; safe to use from any thread, as nothing of it changes.

    Raises ConfigError, with a line for each file that cannot be used.
    """

    def __init__(self, options: FetchOptions, of_host: TlsOfHost = no_tls_of_its_own) -> None:
        self._of_host = of_host
        self._contexts: dict[OriginTlsOptions | None, ssl.SSLContext] = {}
        problems = []
        for number, own in enumerate((None, *options.tls)):
            try:
                context = _context(options)
                if own is not None and own.ca_file is not None:
                    _trust(context, own.ca_file, f"fetch.tls[{number - 1}].ca_file")
                    if _REVOCATION_LIST in own.ca_file.read_bytes():
                        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
                self._contexts.setdefault(own, context)
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("\n".join(dict.fromkeys(problems)))

    def secured(
        self, sock: socket, origin: Authority, *, is_layered: bool = False
    ) -> ssl.SSLSocket | LayeredSocket:
        """TLS over the connected socket, with the origin that is verified by its certificate.

        `is_layered`: its stream may be given to the poller. Raises TimeoutError, ClientCertificateWanted,
        and UpstreamUnreachable, which says what is wrong.
        """
        own = self._of_host(origin.host)
        try:
            secured = _wrapped(self._contexts[own], sock, origin.host.removesuffix("."), is_layered)
        except (OSError, ValueError) as error:
            raise _failure(error, origin, []) from error
        end = secured.end if isinstance(secured, LayeredSocket) else secured
        try:
            secured.do_handshake()
            if own is not None and own.certificates:
                _refuse_other(end, own.certificates)
        except BaseException as error:
            chain = _shown(end)
            secured.close()
            if isinstance(error, OSError | ValueError) and not isinstance(error, TimeoutError):
                raise _failure(error, origin, chain) from error
            raise
        return secured


def _wrapped(
    context: ssl.SSLContext, sock: socket, host: str, is_layered: bool
) -> ssl.SSLSocket | LayeredSocket:
    if is_layered:
        return LayeredSocket(sock, partial(context.wrap_bio, server_hostname=host))
    return context.wrap_socket(
        sock, server_hostname=host, suppress_ragged_eofs=False, do_handshake_on_connect=False
    )


def _failure(error: Exception, origin: Authority, chain: list[bytes]) -> UpstreamUnreachable:
    """What is told of a handshake that has failed, after the origin has shown these certificates."""
    if isinstance(error, _OtherCertificate):
        return UpstreamUnreachable(f"no TLS with {origin}: {error}", "tls_certificate_error")
    failed = explained(error, chain, clock.wall())
    if failed.wants_certificate:
        return certificate_wanted(origin)
    return UpstreamUnreachable(f"no TLS with {origin}: {failed.text}", failed.proxy_error)


def certificate_wanted(origin: Authority | str) -> ClientCertificateWanted:
    """The error for an origin that has ended a connection for want of a certificate of ours."""
    return ClientCertificateWanted(
        f"{origin} wants a certificate of the client, and this cache has none: "
        "only a tunnel (CONNECT) leads there, in which the client itself shows one"
    )


class _OtherCertificate(ValueError):
    """The origin's certificate is valid, and none of those that are expected."""


def _refuse_other(secured: ssl.SSLSocket | ssl.SSLObject, expected: tuple[str, ...]) -> None:
    shown = fingerprint(secured.getpeercert(binary_form=True) or b"")
    if shown not in expected:
        raise _OtherCertificate(
            f"its certificate is none that fetch.tls names for it; it has sha256 {shown}"
        )


def _shown(secured: ssl.SSLSocket | ssl.SSLObject) -> list[bytes]:
    """The certificates that the server has shown in DER, verified or not; empty if it got not so far."""
    if hasattr(secured, "get_unverified_chain"):  # Python 3.13
        return list(secured.get_unverified_chain() or ())
    chain = secured._sslobj.get_unverified_chain()  # type: ignore[union-attr]
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain or ()]


def _context(options: FetchOptions) -> ssl.SSLContext:
    """A context that trusts the system's certificate authorities and those in `ca_file`.

    Raises ConfigError if the file cannot be used.
    """
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what a file names is trusted, root or not
    if options.ca_file is not None:
        _trust(context, options.ca_file, "fetch.ca_file")
    context.set_alpn_protocols(["http/1.1"])
    # A body may end with the connection: a missing TLS closing message has to be an error then.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust(context: ssl.SSLContext, path: Path, key: str) -> None:
    """Have the context trust the authorities in the file; raises ConfigError, which names the key."""
    try:
        context.load_verify_locations(path)
    except OSError as error:
        what = "has no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"{key}: {path}: {what}") from error
