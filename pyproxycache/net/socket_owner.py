"""Which user of this machine has the other end of a connection, as the kernel knows it."""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pyproxycache.net.ip_addresses import shown_address
from pyproxycache.net.original_destination import original_destination
from pyproxycache.url import Authority

# sock_diag(7): message header, request, the two ends as "id", and what follows them in an answer.
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_ENDS = struct.Struct("!HH16s16s")
_REST_OF_ENDS = struct.pack("=I", 0) + b"\xff" * 8  # on any interface, with any cookie
_ANSWER_BEGIN = struct.Struct("=BBBB")
_ANSWER_REST = struct.Struct("=IIIII")
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, _NLMSG_ERROR = 4, 20, 1, 2
_ALL_STATES = 0xFFFFFFFF
_LISTEN = 10
_CREDENTIALS = struct.Struct("=iII")


End = tuple[bytes, int]
"""An IP address as the kernel has it, 4 or 16 bytes, and a port."""
FindOwner = Callable[[End, End], int | None]
"""Finds the owner of the socket of a TCP connection that has these ends, its own one first."""


def peer_owner(sock: socket.socket, find: FindOwner | None = None) -> int | None:
    """The user id of whoever has the other end of the accepted connection, if that is on this machine.

    `find` is the way to find it, None: one that works here. None is returned if the peer is on another
    machine, or has closed its end already. Raises OSError if the kernel cannot be asked.
    """
    if sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(raw)[1])
    try:
        # The peer's socket knows what it has connected to, wherever that was redirected.
        peer, here = _end(sock.getpeername()), _end_of(original_destination(sock))
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return None
        raise
    return (find or usable_way())(peer, here)


def _end(name: Any) -> End:
    return shown_address(name[0]).packed, name[1]


def _end_of(place: Authority) -> End:
    return ip_address(place.host).packed, place.port


@functools.cache
def usable_way() -> FindOwner:
    """The way that works here, tried once: some containers do not allow questions."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as peer,
        listener.accept()[0],
    ):
        try:
            found = asked_owner(_end(peer.getsockname()), _end(peer.getpeername()))
        except OSError:
            found = None
    return asked_owner if found == os.geteuid() else listed_owner


def asked_owner(peer: End, here: End) -> int | None:
    """The owner of the socket from `peer` to `here`, by sock_diag: one question, one answer."""
    family = socket.AF_INET if len(peer[0]) == 4 else socket.AF_INET6
    ends = _ENDS.pack(peer[1], here[1], peer[0], here[0])
    question = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + ends + _REST_OF_ENDS
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as ask:
        ask.settimeout(1.0)
        ask.send(header + question)
        answer = ask.recv(4096)
    _length, kind, _flags, _sequence, _process = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        return None
    at = _HEADER.size
    _family, state, _timer, _retransmits = _ANSWER_BEGIN.unpack_from(answer, at)
    at += _ANSWER_BEGIN.size
    found = answer[at : at + _ENDS.size]
    at += _ENDS.size + len(_REST_OF_ENDS)
    _expires, _received, _sent, owner, inode = _ANSWER_REST.unpack_from(answer, at)
    # Where the peer has gone, a listener on its port would be found; what was closed belongs to nobody,
    # which the kernel says as user 0.
    mapped = _ENDS.pack(peer[1], here[1], _mapped(peer[0]), _mapped(here[0]))
    return int(owner) if state != _LISTEN and inode and found in (ends, mapped) else None


def listed_owner(peer: End, here: End) -> int | None:
    """The owner of the same socket, by the kernel's list of all."""
    name = "tcp" if len(peer[0]) == 4 else "tcp6"
    wanted = [_written(peer), _written(here)]
    mapped = [_written((_mapped(end[0]), end[1])) for end in (peer, here)]
    for path, ends in ((name, wanted), ("tcp6", mapped)):
        for line in Path(f"/proc/net/{path}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1:3] == ends and int(fields[3], 16) != _LISTEN and int(fields[9]):
                return int(fields[7])
        if name == "tcp6":
            break
    return None


def _mapped(address: bytes) -> bytes:
    """The address as an IPv6 socket has it, by which a program may speak IPv4, too."""
    return bytes(10) + b"\xff\xff" + address if len(address) == 4 else address


def _written(end: End) -> str:
    """The address and port as /proc/net writes them: hexadecimal, in words of the machine's byte order."""
    words = struct.unpack(f"={len(end[0]) // 4}I", end[0])
    return "".join(f"{word:08X}" for word in words) + f":{end[1]:04X}"
