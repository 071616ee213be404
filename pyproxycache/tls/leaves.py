"""The leaves that a server shows to clients whose connections it answers in an origin's place."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pyproxycache.errors import reason
from pyproxycache.net.ip_addresses import client_of
from pyproxycache.tls.certificate_authority import CertificateAuthority, Leaf
from pyproxycache.tls.mint_rate import MintRate
from pyproxycache.tls.subject_names import SubjectName
from pyproxycache.tls.tls_files import show

_MOST = 1000
"""Contexts that are kept, of 20 KB each."""
_BURST, _RATE = 100.0, 10.0
"""Leaves that one client may cause at once, and each second after that: a mint takes 2 ms."""


class MintRefused(ValueError):
    """There is no leaf for this name, or none now for this client; the text says why."""


class _Shown(NamedTuple):
    """A leaf, and the context that shows it."""

    leaf: Leaf
    context: ssl.SSLContext


class Leaves:
    """The leaves of a server by name, as contexts of TLS; all of them have one key pair.

    It is made before the workers are forked, so that they share the key pair, which is in memory alone.
    After that it belongs to the poller's thread of each worker, and no lock guards it.
    """

    def __init__(self, authority: CertificateAuthority, make_context: Callable[[], ssl.SSLContext]) -> None:
        """`make_context` gives a new context for servers, which has no certificate yet."""
        self._authority = authority
        self._make_context = make_context
        key = ec.generate_private_key(ec.SECP256R1())
        self._public_key = key.public_key()
        # In this form OpenSSL reads it faster, which is much of what a leaf costs.
        self._secret = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        self._rate = MintRate(_BURST, _RATE)
        self._kept: OrderedDict[SubjectName, _Shown] = OrderedDict()  # who was asked for last is last

    def context_for(self, name: str, client: str, now: float) -> ssl.SSLContext:
        """The context that shows a leaf for the host name or IP address; `client` is the client's address.

        Raises MintRefused if the name is none or not permitted, or this client has caused too many mints.
        """
        try:
            subject = self._authority.signable(name)
        except ValueError as error:
            raise MintRefused(str(error)) from None
        found = self._kept.get(subject)
        if found is None or found.leaf.is_due(now):
            found = self._mint(subject, found, client, now)
        self._kept.move_to_end(subject)
        return found.context

    def _mint(self, subject: SubjectName, old: _Shown | None, client: str, now: float) -> _Shown:
        """Make a leaf and keep it; one that is only due goes on where there can be no new one now."""
        try:
            if not self._rate.take(client_of(client), now):
                raise MintRefused(f"{client} asks for leaves of too many hosts at a time")
            leaf = self._authority.mint(str(subject), self._public_key, now)
            context = self._make_context()
            show(context, leaf.chain + self._secret)
        except (ValueError, OSError) as error:  # as without a free descriptor
            if old is not None and old.leaf.is_valid(now):
                return old
            raise MintRefused(reason(error)) from error
        made = self._kept[subject] = _Shown(leaf, context)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return made
