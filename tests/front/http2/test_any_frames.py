"""Frames of any kind, in any order: nothing fails inside, and nothing is left of a client that has gone."""

from __future__ import annotations

import random

import pytest
from strict_http2 import frame
from wire import RawClient, get

PATHS = ("/10", "/5000", "/x/300", "/f/100000")


def any_frame(client: RawClient, next_stream: int, chance: random.Random) -> bytes:
    """A request, or a frame that fits somewhere, or one that fits nowhere."""
    stream = chance.choice((0, 1, 3, 5, 2, 7))
    match chance.randrange(7):
        case 0 | 1:
            method = chance.choice(("GET", "HEAD", "POST", "CONNECT"))
            ends = method != "POST" or chance.random() < 0.5
            block = client.block(get(chance.choice(PATHS), method=method))
            return frame(1, 5 if ends else 4, next_stream, block)
        case 2:
            raw = chance.randbytes(chance.choice((0, 1, 4, 5, 6, 8, 20)))
            return frame(chance.randrange(11), chance.randrange(256), stream, raw)
        case 3:
            return frame(8, 0, stream, chance.choice((1, 1000, 100_000)).to_bytes(4, "big"))
        case 4:
            return frame(0, chance.choice((0, 1)), stream, chance.randbytes(chance.randrange(2000)))
        case 5:
            return frame(3, 0, stream, bytes(4))
        case _:
            block = bytearray(client.block(get("/10")))
            block[chance.randrange(len(block))] ^= 1 << chance.randrange(8)
            return frame(1, 5, next_stream, bytes(block))


@pytest.mark.parametrize("seed", range(100))
def test_any_frames(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(seed)
    window = chance.choice((0, 1000, 100_000))
    client = RawClient(settings=(4 << 32 | window).to_bytes(6, "big"))
    client.spoken.engine.reads = False  # nothing is waited for in this thread
    for number in range(chance.randrange(1, 12)):
        client.send(any_frame(client, 2 * number + 1, chance))
        if chance.random() < 0.1:
            client.spoken.pass_time(chance.choice((1.0, 30.0, 61.0)))
    client.spoken.wire.is_ended = True
    client.spoken.settle()
    client.spoken.pass_time(3.0)
    assert (dict(client.spoken.loop.connections), client.spoken.loop.clients) == ({}, 0)
    assert "failed inside the cache" not in caplog.text
