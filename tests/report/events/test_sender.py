"""What is spooled is sent in order, by one process at a time, and again where that is not certain."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_carrier import ScriptedCarrier
from waiting import until

from pyproxycache.report.events.progress import SendingProgress
from pyproxycache.report.events.segments import as_record, segment_numbers, segment_path
from pyproxycache.report.events.sender import Sender
from pyproxycache.report.events.spool import Spool
from pyproxycache.report.events.spool_reader import SpoolReader


def events(first: int, last: int) -> list[bytes]:
    return [b'{"id":"%d","x":"%s"}' % (number, b"." * 300) for number in range(first, last)]


def ids(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last)]


class Setting:
    """A spool, and senders that are closed in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spool = Spool(folder, 1 << 20)
        self.counts: Counter[str] = Counter()
        self.senders: list[Sender] = []

    def sender(self, carrier: ScriptedCarrier) -> Sender:
        sender = Sender(self.folder, carrier, carrier.stopped, self.counts.update)
        self.senders.append(sender)
        sender.start()
        return sender


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path / "events")
    yield made
    for sender in made.senders:
        sender.close(5)


def test_all_is_sent_in_order(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    setting.spool.append(events(0, 500))
    setting.sender(carrier)
    until(lambda: len(carrier.events) == 500)
    setting.spool.append(events(500, 600))
    until(lambda: len(carrier.events) == 600)
    assert carrier.ids() == ids(0, 600)
    assert carrier.resent() == []
    until(lambda: setting.counts["events.sent"] == 600)


def test_what_was_sent_is_removed_but_for_the_last_segment(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    setting.spool.append(events(0, 2000))
    assert len(segment_numbers(setting.folder)) > 5
    setting.sender(carrier)
    until(lambda: len(segment_numbers(setting.folder)) == 1)
    assert carrier.ids() == ids(0, 2000)


def test_a_stop_sends_what_is_left(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    sender = setting.sender(carrier)
    setting.spool.append(events(0, 100))
    sender.close(10)
    assert carrier.ids() == ids(0, 100)
    assert carrier.is_closed


def test_a_stop_waits_for_no_place_that_fails(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    carrier.fails = "it is away"
    sender = setting.sender(carrier)
    setting.spool.append(events(0, 100))
    until(lambda: carrier.tries > 1)
    sender.close(60)
    assert (carrier.events, carrier.is_closed) == ([], True)
    following = ScriptedCarrier()
    setting.sender(following)
    until(lambda: len(following.events) == 100)
    assert following.ids() == ids(0, 100)


def test_trouble_is_said_once_and_so_is_its_end(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    carrier = ScriptedCarrier()
    carrier.fails = "it is away"
    setting.spool.append(events(0, 10))
    setting.sender(carrier)
    until(lambda: carrier.tries > 3)
    carrier.fails = ""
    until(lambda: setting.counts["events.sent"] == 10)
    until(lambda: len(caplog.records) == 2)
    assert [record.message for record in caplog.records] == [
        "events are not delivered, and wait on the disk: it is away",
        "events are delivered again",
    ]


def test_what_may_have_arrived_is_marked(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    carrier.takes = 7
    setting.spool.append(events(0, 20))
    setting.sender(carrier)
    until(lambda: carrier.takes == 0 and carrier.tries > 1)
    setting.spool.append(events(20, 30))
    carrier.takes = None
    until(lambda: len(carrier.events) == 30)
    assert carrier.ids() == ids(0, 30)
    assert carrier.resent() == ids(7, 20)
    until(lambda: setting.counts["events.resent"] == 13)


def test_what_nobody_was_there_for_is_not_marked(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    carrier.fails = "it is away"
    setting.spool.append(events(0, 20))
    setting.sender(carrier)
    until(lambda: carrier.tries > 1)
    carrier.fails = ""
    until(lambda: len(carrier.events) == 20)
    assert carrier.resent() == []


def test_after_a_kill_what_was_being_sent_is_marked(setting: Setting) -> None:
    setting.spool.append(events(0, 20))
    end = SpoolReader(setting.folder).end()
    progress = SendingProgress(setting.folder / "progress", end)
    progress.claim(end)
    progress.close()
    setting.spool.append(events(20, 30))
    carrier = ScriptedCarrier()
    setting.sender(carrier)
    until(lambda: len(carrier.events) == 30)
    assert carrier.ids() == ids(0, 30)
    assert carrier.resent() == ids(0, 20)


def test_one_sends_at_a_time_and_another_goes_on(setting: Setting) -> None:
    carriers = [ScriptedCarrier() for _ in range(3)]
    senders = [setting.sender(carrier) for carrier in carriers]
    sent = 0
    for _turn in range(3):
        setting.spool.append(events(sent, sent + 50))
        sent += 50
        until(lambda: sum(len(carrier.events) for carrier in carriers) == sent)  # noqa: B023
        active = next(n for n, carrier in enumerate(carriers) if carrier.events and not carrier.is_closed)
        senders[active].close(10)
        assert carriers[active].is_closed
    assert sorted(map(len, (carrier.events for carrier in carriers))) == [50, 50, 50]
    assert sorted(id for carrier in carriers for id in map(int, carrier.ids())) == list(range(150))


def test_nobody_sends_while_another_process_does(setting: Setting) -> None:
    setting.spool.append(events(0, 10))
    carrier = ScriptedCarrier()
    fd = os.open(setting.folder / "sender.lock", os.O_WRONLY | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    sender = setting.sender(carrier)
    sender.close(10)
    os.close(fd)
    assert (carrier.tries, carrier.is_closed) == (0, True)


def test_a_folder_that_is_removed_while_it_is_sent(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    setting.spool.append(events(0, 100))
    setting.sender(carrier)
    until(lambda: len(carrier.events) == 100)
    shutil.rmtree(setting.folder)
    setting.spool.append(events(100, 110))
    until(lambda: len(carrier.events) == 110)
    assert carrier.ids() == ids(0, 110)
    assert carrier.resent() == []


def test_a_shorter_spool_after_a_power_failure_is_sent_again_and_marked(setting: Setting) -> None:
    carrier = ScriptedCarrier()
    setting.spool.append(events(0, 100))
    setting.sender(carrier).close(10)
    path = segment_path(setting.folder, segment_numbers(setting.folder)[-1])
    path.write_bytes(b"".join(map(as_record, events(95, 97))))
    following = ScriptedCarrier()
    setting.sender(following)
    until(lambda: len(following.events) == 2)
    assert following.resent() == ids(95, 97)


def test_damaged_lines_are_said_and_counted(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    setting.folder.mkdir()
    segment_path(setting.folder, 1).write_bytes(b"rubbish\nmore\n" + as_record(events(0, 1)[0]))
    carrier = ScriptedCarrier()
    setting.sender(carrier)
    until(lambda: len(carrier.events) == 1)
    assert setting.counts["events.damaged"] == 2
    assert "2 damaged lines of spooled events were passed over" in caplog.text
