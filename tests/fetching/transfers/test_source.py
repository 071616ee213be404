"""What a leader asks the origin for, and what its answers are to the body that it has begun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fetching_parts import BODY, NONE, RULES, STRONG, Parts, asking, entry_of, parts_in, reply, rest
from made_bodies import read
from scripted import Scripted

from pyproxycache.errors import BrokenOff, UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.fetching.transfers.source import ClosedOnError, Source, ask
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports import DownloadWriter
from pyproxycache.store.values import End

HAS = 1000
SAID = ("Content-Range", f"bytes {HAS}-{len(BODY) - 1}/{len(BODY)}")
WITH_RANGE, PLAIN = f"bytes={HAS}-", ""


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with parts_in(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("validator", "answers", "asked", "is_rest"),
    [
        pytest.param(STRONG, [rest(HAS)], [WITH_RANGE], True, id="the rest"),
        pytest.param(STRONG, [reply(200, BODY, STRONG)], [WITH_RANGE], False, id="all again"),
        pytest.param(STRONG, [reply(404, b"no")], [WITH_RANGE], False, id="another answer"),
        pytest.param(
            STRONG, [rest(HAS + 1), reply(200, BODY)], [WITH_RANGE, PLAIN], False, id="from elsewhere on"
        ),
        pytest.param(
            STRONG, [reply(416, b""), reply(200, BODY)], [WITH_RANGE, PLAIN], False, id="no such range"
        ),
        pytest.param(
            STRONG,
            [reply(206, BODY[HAS:], ("ETag", '"2"'), SAID), reply(200, BODY)],
            [WITH_RANGE, PLAIN],
            False,
            id="of something else",
        ),
        pytest.param(
            STRONG,
            [reply(200, BODY[HAS:], STRONG, SAID), reply(200, BODY)],
            [WITH_RANGE, PLAIN],
            False,
            id="a part that does not say so",
        ),
        pytest.param(NONE, [reply(200, BODY)], [PLAIN], False, id="no validator"),
    ],
)
def test_the_rest_is_asked_for(
    parts: Parts, validator: tuple[str, str], answers: list[bytes], asked: list[str], is_rest: bool
) -> None:
    with Scripted(*([answer] for answer in answers)) as server:
        writer = begun(parts, server, validator)
        answered = ask(parts.upstream, writer, asking(server), Facts())
        ranges = [head.partition(b"\r\nRange: ")[2].partition(b"\r\n")[0].decode() for head in server.heads]
        assert ranges == asked
        assert (answered.rest == Source(answered.exchange, len(BODY))) is is_rest
        if is_rest:
            assert read(answered.exchange) == BODY[HAS:]
        answered.exchange.close()
        writer.finish(End.LOST)


def begun(parts: Parts, server: Scripted, validator: tuple[str, str]) -> DownloadWriter:
    writer = parts.lead(FlightKey(str(server.url())))
    writer.begin(entry_of(str(server.url()), validator), len(BODY))
    writer.file.write(BODY[:HAS])
    return writer


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        pytest.param([rest(HAS)], End.STORED, id="the rest"),
        pytest.param([reply(200, BODY, STRONG)], End.BROKEN, id="all again, of which a client has some"),
        pytest.param([reply(404, b"no"), reply(404, b"no")], End.BROKEN, id="another answer"),
        pytest.param([b"no HTTP\r\n\r\n"] * 4, End.BROKEN, id="an origin that fails"),
    ],
)
def test_a_body_that_breaks_off_goes_on_or_ends(parts: Parts, answers: list[bytes], end: End) -> None:
    cut = reply(200, BODY, STRONG).removesuffix(BODY[HAS:])
    with Scripted([cut], *([answer] for answer in answers)) as server:
        request = asking(server)
        writer = parts.lead(FlightKey(str(request.url)))
        exchange = parts.upstream.send(request, Facts())
        with parts.leader.lead(writer, RULES) as leading:
            writer.begin(entry_of(str(request.url), STRONG), len(BODY))
            reader = leading.flight.read(leading.flight.progress(), 0, None)
            leading.begin(request, Source(exchange, len(BODY)))
        if end is End.STORED:
            assert read(reader) == BODY
        else:
            with pytest.raises(UpstreamError):
                read(reader)
        reader.close()
        assert parts.downloads.drain(10) == 0
        assert writer.flight.progress().end is end


def test_an_answer_is_closed_where_its_use_fails(parts: Parts) -> None:
    class Closed:
        count = 0

        def close(self) -> None:
            self.count += 1

    kept, dropped = Closed(), Closed()
    with ClosedOnError(kept):  # type: ignore[arg-type]
        pass
    with pytest.raises(BrokenOff), ClosedOnError(dropped):  # type: ignore[arg-type]
        raise BrokenOff
    assert (kept.count, dropped.count) == (0, 1)
