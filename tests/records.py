"""Records of TLS 1.3 that no library sends, made by hand behind a client's own handshake (RFC 8446)."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_HANDSHAKE, _CONTENT = 22, 23


class Records:
    """A connection after its handshake; `connection` is the socket, and what is sent is made here.

    `keys` is a file that does not exist yet. The handshake has to end in AES-256-GCM, as OpenSSL prefers.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, host: str, keys: Path) -> None:
        """With a `host` this is its client, with "" a server."""
        context.keylog_filename = str(keys)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        end = context.wrap_bio(incoming, outgoing, server_side=not host, server_hostname=host or None)
        while True:
            try:
                end.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(1 << 16))
        connection.sendall(outgoing.read())
        cipher = end.cipher()
        assert cipher is not None
        assert cipher[0] == "TLS_AES_256_GCM_SHA384"
        lines = [line.split() for line in keys.read_text().splitlines()]
        self.connection = connection
        self._secret = next(
            bytes.fromhex(line[2])
            for line in lines
            if line[0] == f"{'CLIENT' if host else 'SERVER'}_TRAFFIC_SECRET_0"
        )
        self._renew()

    def content(self, data: bytes, padding: int = 0) -> bytes:
        """A record with this content, which may be empty."""
        return self._record(data, _CONTENT, padding)

    def key_update(self, *, wants_one: bool) -> bytes:
        """A record that tells of the next keys, by which all that follows is made."""
        made = self._record(bytes((24, 0, 0, 1, wants_one)), _HANDSHAKE)
        self._secret = self._expanded(b"traffic upd", 48)
        self._renew()
        return made

    def _record(self, data: bytes, kind: int, padding: int = 0) -> bytes:
        inner = data + bytes((kind,)) + bytes(padding)
        head = bytes((_CONTENT, 3, 3)) + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + AESGCM(self._key).encrypt(nonce, inner, head)

    def _renew(self) -> None:
        self._key, self._iv = self._expanded(b"key", 32), self._expanded(b"iv", 12)
        self._number = 0

    def _expanded(self, label: bytes, length: int) -> bytes:
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes((len(label),)) + label + b"\x00"
        return HKDFExpand(hashes.SHA384(), length, info).derive(self._secret)
