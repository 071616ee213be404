"""What a client says first, in any pieces, and whatever else comes in its place."""

from __future__ import annotations

import random
import ssl

import pytest
from hellos import in_records, read, said
from splits import everywhere, somewhere

from pyproxycache.tls.client_hello import ClientHello, NoClientHello

NAMES = ("example.org", "a.b-c.example", "xn--nxasmq6b.example", "x" * 63 + ".example")
PROTOCOLS = ((), ("http/1.1",), ("h2", "http/1.1"), ("imap",), ("x" * 255, "y"))


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("name", [*NAMES, None])
def test_name_and_protocols(name: str | None, protocols: tuple[str, ...], version: str) -> None:
    raw = said(name, protocols, version)
    expected = ClientHello(name or "", protocols)
    assert read([raw]) == expected
    assert read(somewhere(raw, 1)) == expected
    for size in (1, 2, 100):
        assert read([in_records(raw, size)]) == expected


def test_in_any_pieces() -> None:
    raw = said("example.org", ("h2", "http/1.1"))
    for whole in (raw, in_records(raw, 7)):
        for pieces in everywhere(whole):
            assert read(pieces) == ClientHello("example.org", ("h2", "http/1.1"))


def test_one_in_thousands_of_records_is_none() -> None:
    """Each of them is looked at: they cost more than they are worth."""
    raw = extended((0x7777, bytes(3000)))
    assert read([in_records(raw, 2)]) == ClientHello()
    with pytest.raises(NoClientHello):
        read([in_records(raw, 1)])


def test_what_is_not_whole_is_nothing_yet() -> None:
    raw = said("example.org")
    for end in range(len(raw)):
        assert read([raw[:end]]) is None


def test_a_name_is_compared_without_case_and_root() -> None:
    assert read([said("EXAMPLE.org")]) == ClientHello("example.org")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",  # as SSL 2.0 began
        b"\x16\x02",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x00\x40\x01",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
        b"\x16\x03\x01\x00\x01\x01\x17\x03\x03\x00\x01\x00",
    ],
)
def test_what_is_none(raw: bytes) -> None:
    for pieces in ([raw], [raw[place : place + 1] for place in range(len(raw))]):
        with pytest.raises(NoClientHello):
            read(pieces)


def extended(*extensions: tuple[int, bytes], behind: bytes = b"") -> bytes:
    """A message with these extensions."""
    listed = b"".join(
        kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content for kind, content in extensions
    )
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(listed).to_bytes(2, "big") + listed + behind
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def named(name: bytes, kind: int = 0, behind: bytes = b"") -> tuple[int, bytes]:
    listed = bytes((kind,)) + len(name).to_bytes(2, "big") + name + behind
    return 0, len(listed).to_bytes(2, "big") + listed


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (extended(), ClientHello()),
        (extended(named(b"h")), ClientHello("h")),
        (extended((0x0A0A, b""), named(b"h"), (0xFAFA, b"\x00")), ClientHello("h")),
        (extended((16, b"\x00\x03\x02h2")), ClientHello("", ("h2",))),
        (
            extended((0x0A0A, b"grease"), (16, b"\x00\x06\x02\x1a\x1a\x02h2")),
            ClientHello("", ("\x1a\x1a", "h2")),
        ),
        (extended((0xFE0D, bytes(100)), named(b"outer.example")), ClientHello("outer.example")),
    ],
)
def test_unknown_extensions_are_passed_over(raw: bytes, expected: ClientHello) -> None:
    assert read([raw]) == expected


@pytest.mark.parametrize(
    "raw",
    [
        extended(named(b"h"), named(b"h")),
        extended(named(b"h", kind=1)),
        extended(named(b"h", behind=b"\x00\x00\x01i")),
        extended(named(b"")),
        extended(named(b"h\xc3\xb6")),
        extended((0, b"")),
        extended((0, b"\x00\x05\x00\x00\x01h")),
        extended((16, b"\x00\x02\x01")),
        extended((16, b"\x00\x01\x00")),
        extended((16, b"\x00\x03\x02h2x")),
        extended(behind=b"more"),
    ],
)
def test_malformed_extensions(raw: bytes) -> None:
    with pytest.raises(NoClientHello):
        read([raw])


def judged(raw: bytes) -> str | None:
    """The server's name as OpenSSL reads it; None if it does not come so far."""
    found: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _end, name, _context: found.append(name)  # type: ignore[func-returns-value]
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(raw)
    try:
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    except (ssl.SSLError, UnicodeError):
        pass
    return (found[0] or "") if found else None


def test_where_openssl_reads_another_name_none_is_read() -> None:
    """Whatever is changed: what passes here and there means the same, and nothing else is raised."""
    chance = random.Random(4)
    raws = [
        said("example.org", protocols, version)
        for protocols in PROTOCOLS
        for version in ("TLSv1_2", "TLSv1_3")
    ]
    compared = 0
    for _ in range(5000):
        raw = bytearray(chance.choice(raws))
        for _change in range(chance.choice((1, 1, 2, 5))):
            place = chance.randrange(len(raw))
            match chance.randrange(3):
                case 0:
                    raw[place] = chance.randrange(256)
                case 1:
                    del raw[place : place + chance.randrange(1, 9)]
                case _:
                    raw[place:place] = chance.randbytes(chance.randrange(1, 9))
            raw = raw or bytearray(b"\x16")
        try:
            found = read([bytes(raw)])
        except NoClientHello:
            continue
        theirs = judged(bytes(raw)) if found is not None else None
        if found is not None and theirs is not None:
            compared += 1
            assert found.server_name == theirs.lower().removesuffix(".")
    assert compared > 200
