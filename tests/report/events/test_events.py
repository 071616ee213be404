"""Events leave the request's path: queued, spooled by a thread, dropped and counted beyond the bounds."""

from __future__ import annotations

import json
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from announcements import announced, numbered
from finished import finished
from scripted_carrier import ScriptedCarrier
from waiting import until

from pyproxycache.messages import Headers
from pyproxycache.report.events.events import Events
from pyproxycache.report.events.sender import Sender
from pyproxycache.report.events.spool import Spool
from pyproxycache.report.events.spool_reader import START, SpoolReader


class Made:
    """Events with a spool and a carrier, started or not."""

    def __init__(self, folder: Path, size: int = 1 << 20, capacity: int = 1 << 20) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.carrier = ScriptedCarrier()
        self.sender = Sender(folder, self.carrier, self.carrier.stopped, self.counts.update)
        spool = Spool(folder, size)
        self.events = Events(spool, self.sender, self.counts.update, capacity=capacity)

    def spooled(self) -> list[dict[str, Any]]:
        reader, position, found = SpoolReader(self.folder), START, []
        while reading := reader.read(position).events:
            found += [json.loads(event) for event, _end in reading]
            position = reading[-1][1]
        return found

    def put(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.events.put(*numbered(number))


def request_ids(events: list[dict[str, Any]]) -> list[int]:
    return [int(event["request_id"]) for event in events]


def test_all_are_spooled_and_sent_in_order(tmp_path: Path) -> None:
    made = Made(tmp_path / "events", size=16 << 20)
    made.events.start()
    made.put(0, 500)
    until(lambda: made.counts["events.spooled"] == 500)
    until(lambda: len(made.carrier.events) == 500)
    made.put(500, 600)
    made.events.close(10)
    assert request_ids(made.carrier.events) == list(range(600))
    workers = {event["id"].split("-")[0] for event in made.carrier.events}
    numbers = [int(event["id"].split("-")[1]) for event in made.carrier.events]
    assert (len(workers), numbers) == (1, list(range(1, 601)))
    assert made.counts["events.lost"] == 0


def test_flush_spools_what_waits(tmp_path: Path) -> None:
    made = Made(tmp_path / "events")
    made.events.start()
    made.put(0, 100)
    made.events.flush(10)
    assert request_ids(made.spooled()) == list(range(100))
    made.events.close(10)


def test_no_request_waits_where_the_queue_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Made(tmp_path / "events", capacity=20_000)
    made.put(0, 50)  # before the thread begins, so that nothing is taken out
    made.events.start()
    until(lambda: made.counts["events.spooled"] + made.counts["events.lost"] == 50)
    kept = made.counts["events.spooled"]
    made.put(50, 55)
    made.events.close(10)
    assert 0 < kept < 50
    assert kept + made.counts["events.lost"] == 50
    assert request_ids(made.carrier.events) == [*range(kept), *range(50, 55)]
    numbers = [int(event["id"].split("-")[1]) for event in made.carrier.events]
    assert numbers == [*range(1, kept + 1), *range(51, 56)]  # the gap shows what is missing
    told = [record.message for record in caplog.records]
    assert told == [
        "events cannot be kept: more than 19.5 KiB are waiting for the disk",
        f"events are kept again; lost: {50 - kept}",
    ]


def test_what_a_full_spool_does_not_take_is_lost_the_newest_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made(tmp_path / "events", size=64 << 10)
    made.carrier.fails = "it is away"
    made.events.start()
    made.put(0, 500)
    until(lambda: made.counts["events.spooled"] + made.counts["events.lost"] == 500)
    kept = made.counts["events.spooled"]
    assert request_ids(made.spooled()) == list(range(kept))
    made.carrier.fails = ""
    until(lambda: len(made.carrier.events) == kept)
    made.put(500, 510)
    made.events.close(10)
    assert request_ids(made.carrier.events) == [*range(kept), *range(500, 510)]
    told = [record.message for record in caplog.records]
    assert "events cannot be kept: the spool is full" in told
    assert f"events are kept again; lost: {500 - kept}" in told


def test_content_counts_for_the_queue(tmp_path: Path) -> None:
    made = Made(tmp_path / "events", capacity=100_000)
    for _ in range(10):
        made.events.put(finished(), announced(content=b"x" * 40_000))
    made.events.start()
    made.events.close(10)
    assert (made.counts["events.spooled"], made.counts["events.lost"]) == (2, 8)


def test_an_event_that_fits_into_no_segment_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made(tmp_path / "events", size=64 << 10)
    made.events.start()
    made.put(0, 1)
    made.events.put(finished(), announced(headers=Headers((("X", "x" * 10_000),))))
    made.put(1, 2)
    made.events.close(10)
    assert request_ids(made.carrier.events) == [0, 1]
    assert made.counts["events.lost"] == 1
    assert "events cannot be kept: an event is larger than 4.0 KiB" in caplog.text


def test_a_content_that_fits_into_no_segment_is_left_out(tmp_path: Path) -> None:
    made = Made(tmp_path / "events", size=64 << 10)
    made.events.start()
    made.events.put(finished(), announced(content=b"x" * 10_000))
    made.events.close(10)
    (event,) = made.carrier.events
    assert (event["body"], event["body_is_cut"]) == (None, True)


def test_a_full_disk_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Made(tmp_path / "events", size=16 << 20)
    made.carrier.fails = "it is away"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 << 10, hard))
    try:
        made.events.start()
        made.put(0, 200)
        until(lambda: "the disk fails" in caplog.text)
        made.put(200, 250)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    until(lambda: made.counts["events.spooled"] == 250)
    made.carrier.fails = ""
    made.events.close(20)
    assert request_ids(made.carrier.events) == list(range(250))
    assert made.counts["events.lost"] == 0


def test_a_disk_that_fails_to_the_end_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Made(tmp_path / "missing" / "events")
    made.events.start()
    made.put(0, 20)
    until(lambda: "the disk fails (No such file or directory)" in caplog.text)
    made.events.close(60)
    assert made.counts["events.lost"] == 20
    assert caplog.records[-1].message == "events end; lost: 20"
