"""Answers found again by the bytes of a head, or by what decides in it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repeated import BORN, arriving, refusal, stored

from pyproxycache.body import FileSlice
from pyproxycache.front.memory.memory import DECIDING_FIELDS, Known, Memory, is_plain
from pyproxycache.front.requests.ingress import PLAIN, SECURED, standing_in_for
from pyproxycache.outcome import Outcome
from pyproxycache.report.formats import Lines
from pyproxycache.url import Url

MB = 1 << 20


def head(*fields: str, line: str = "GET http://o/ HTTP/1.1") -> bytes:
    return "".join(f"{text}\r\n" for text in (line, "Host: o", *fields, "")).encode("latin-1")


def told(outcome: Outcome) -> str:
    return f"{outcome.user_agent} {outcome.referer} {outcome.ttl} {outcome.head_bytes}"


def memory(limit: int = MB, *, by_agent: bool = False, **options: int) -> Memory:
    return Memory(limit, Lines(lambda *_values: "", told, by_agent), **options)


def line_of(memory: Memory, raw: bytes) -> str:
    known = memory.find(raw)
    assert known is not None
    assert not hasattr(known.answer, "join")
    memory.tell(known, known.answer)  # type: ignore[arg-type]
    return known.line


# Found by what decides.


def test_each_ingress_has_its_own_answer() -> None:
    """An origin that is told by which one a client comes may answer with it, without a word in Vary."""
    kept = memory()
    elsewhere = standing_in_for(Url("https", "origin.example", 443, "/"))
    by_ingress = {ingress: stored() for ingress in (PLAIN, SECURED, elsewhere)}
    assert kept.find(head(), SECURED) is None
    for ingress, answer in by_ingress.items():
        kept.learn(head(), answer, ingress)
    for _ in range(3):
        for ingress, answer in by_ingress.items():
            for raw in (head(), head("User-Agent: other")):
                known = kept.find(raw, ingress)
                assert known is not None
                assert (known.answer, known.ingress) == (answer, ingress)
                assert kept.heads[raw] is known
    kept.learn(head("User-Agent: third"), stored(), SECURED)
    assert kept.find(head(), PLAIN) is not None, "the other ingress's is no longer the same answer"


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("User-Agent: other",),
        ("Cookie: a=b", "Accept: */*", "X-Range: bytes=0-1", "Not-Host: h"),
        ("Accept-Encoding: gzip", "accept-language: de"),
        ("X: Range: bytes=0-1", "Y: Cache-Control: no-cache"),
    ],
)
def test_what_differs_in_nothing_that_decides_is_found(fields: tuple[str, ...]) -> None:
    kept = memory()
    one = stored()
    kept.learn(head("User-Agent: first"), one)
    known = kept.find(head(*fields))
    assert known is not None
    assert known.answer is one
    assert kept.heads[head(*fields)] is known


@pytest.mark.parametrize("name", sorted(DECIDING_FIELDS))
def test_what_differs_in_what_decides_is_not_found(name: str) -> None:
    kept = memory()
    kept.learn(head(), stored())
    for field in (f"{name}: x", f"{name.title()}:x", f"{name.upper()}: "):
        assert kept.find(head(field)) is None
    other = memory()
    other.learn(head(f"{name}: x"), stored())
    for fields in ((), (f"{name}: y",), (f"{name}: x", f"{name}: x"), (f"{name}:x",)):
        assert other.find(head(*fields)) is None
    # What content comes behind a head is no part of it.
    has_content = name in ("content-length", "transfer-encoding", "expect")
    assert (other.find(head(f"{name}: x", "Accept: z")) is None) == has_content


@pytest.mark.parametrize(
    "line", ["GET http://o/? HTTP/1.1", "GET http://o/ HTTP/1.0", "HEAD http://o/ HTTP/1.1"]
)
def test_another_line_is_another_request(line: str) -> None:
    kept = memory()
    kept.learn(head(), stored())
    assert kept.find(head(line=line)) is None


def test_what_vary_names_decides_too() -> None:
    kept = memory()
    varies = ("accept-encoding", "x-kind")
    plain, zipped = stored(varies=varies), stored(varies=varies)
    kept.learn(head(), plain)
    kept.learn(head("Accept-Encoding: gzip", "X-Kind: 1"), zipped)
    for fields, expected in (
        (("Accept: a",), plain),
        (("accept: b", "Accept-Encoding: gzip", "X-Kind: 1"), zipped),
        (("Accept-Encoding: gzip",), None),
        (("Accept-Encoding: br", "X-Kind: 1"), None),
        (("accept-encoding: gzip", "X-Kind: 1"), None),  # the same, but who knows
        (("X-Kind: 1", "Accept-Encoding: gzip"), None),
    ):
        known = kept.find(head(*fields))
        assert (known and known.answer) is expected


def test_other_names_in_vary_replace_what_was_selected_by_the_old() -> None:
    kept = memory()
    first, second, third = stored(varies=("x",)), stored(varies=("x", "y")), stored()
    kept.learn(head("X: 1"), first)
    kept.learn(head("X: 2"), second)
    assert (first.is_kept, second.is_kept) == (False, True)
    assert kept.find(head("X: 1", "Z: 1")) is None
    kept.learn(head("X: 3"), third)
    assert (second.is_kept, third.is_kept) == (False, True)
    known = kept.find(head("X: 2", "Z: 1"))
    assert known is not None
    assert known.answer is third


MALFORMED = [
    b"",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",  # without Host it is for the parser
    head(line="GET  http://o/ HTTP/1.1"),
    head(line="GET http://o/ HTTP/1.2"),
    head(line="GET http://o/ HTTP/1.1 "),
    head(line="get http://o/ HTTP/1.1"),
    head(line="GET http://o/\x80 HTTP/1.1"),
    head(" folded: x"),
    head("X : y"),
    head("X"),
    head(": y"),
    head("X: a\x00b"),
    head("X: a\x7fb"),
    head("X: a\rb"),
    head("X: a\nY: b"),
    head("\x80: y"),
    head().replace(b"\r\n", b"\n"),
    b"\r\n" + head(),
    head()[:-2],
    head() + head(),
    head(*["X: y"] * 100),
    head("X: " + "y" * 8192),
]


@pytest.mark.parametrize("raw", MALFORMED)
def test_what_is_not_simple_is_neither_learned_nor_found(raw: bytes) -> None:
    kept = memory()
    kept.learn(head(), stored())
    assert kept.find(raw) is None
    assert not is_plain(raw)
    one = stored()
    kept.learn(raw, one)
    assert raw not in kept.heads
    assert not one.is_kept


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 5))
def test_no_damage_makes_a_head_of_another(noise: bytes, place: int, cut: int) -> None:
    """What is found has the line, and each line of a field that decides, of what was learned."""
    good = head("Range: bytes=0-1", "X: y")
    kept = memory()
    kept.learn(good, stored())
    raw = good[:place] + noise + good[place + cut :]
    if kept.find(raw) is not None:
        lines = raw[:-4].split(b"\r\n")
        assert lines[0] == good.split(b"\r\n")[0]
        deciding = [
            line for line in lines[1:] if line.partition(b":")[0].lower().decode() in DECIDING_FIELDS
        ]
        assert deciding == [b"Host: o", b"Range: bytes=0-1"]


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (head("Accept: x", "Connection: keep-alive"), True),
        (head("Range: bytes=0-1"), False),
        (head("Cache-Control: no-cache"), False),
        (head("If-None-Match: x"), False),
        (head(line="POST / HTTP/1.1"), False),
    ],
)
def test_who_may_wait_for_another(raw: bytes, plain: bool) -> None:
    assert is_plain(raw) is plain


# Lines.


def test_a_line_is_of_its_own_client() -> None:
    kept = memory(by_agent=True)
    kept.learn(head("User-Agent: one"), stored())
    assert line_of(kept, head("User-Agent: one")).startswith("one  ")
    assert line_of(kept, head("user-agent:  two  ", "Referer: r")).startswith("two r ")
    assert line_of(kept, head("Referer: a", "Referer: b")).startswith(" b ")
    assert line_of(kept, head("User-Agent: one")).startswith("one  ")


@pytest.mark.parametrize("by_agent", [False, True])
def test_a_line_tells_the_time_to_live_and_the_size_of_its_second(by_agent: bool) -> None:
    kept = memory(by_agent=by_agent)
    one = stored()
    kept.learn(head(), one)
    for now, ttl in ((BORN, 3600), (BORN + 3595, 5)):
        one.renew(now)
        size = len(one.data) - len(b"body")
        assert line_of(kept, head()).endswith(f" {ttl} {size}")


# Forgotten.


def test_what_is_forgotten_is_found_by_no_head() -> None:
    kept = memory()
    one = stored()
    kept.learn(head(), one)
    other = kept.find(head("A: b"))
    assert other is not None
    kept.forget(kept.heads[head()])
    assert kept.find(head("C: d")) is None
    # Who knows it still finds a version that no key has.
    assert other.answer.version == -1


def test_what_takes_its_place_is_found_instead() -> None:
    kept = memory()
    old, new = stored(), stored()
    kept.learn(head(), old)
    kept.find(head("A: b"))
    kept.learn(head("C: d"), new)
    assert (old.version, old.is_kept) == (-1, False)
    for raw in (head(), head("C: d"), head("E: f")):
        known = kept.find(raw)
        assert known is not None
        assert known.answer is new


def test_an_arriving_answer_is_for_the_same_head_alone() -> None:
    kept = memory()
    one = arriving()
    kept.learn(head("A: b"), one)
    assert kept.heads[head("A: b")].answer is one
    assert kept.find(head("A: c")) is None


# Bounds.


def room(kept: Memory) -> int:
    """How many heads it has when it was given more than it may have."""
    one = stored()
    for number in range(1000):
        kept.learn(head(f"R: {number:04}"), one)
    return len(kept.heads)


def test_forgetting_twice_is_counted_once() -> None:
    """As when many wait for an answer that is purged meanwhile."""
    kept = memory()
    kept.learn(head(), arriving())
    known = kept.heads[head()]
    for _ in range(5):
        kept.forget(known)
    assert kept.heads == {}
    assert room(kept) == room(memory())


def test_nothing_is_kept_where_nothing_may_be() -> None:
    kept = memory(0)
    kept.learn(head(), stored())
    kept.learn(head("A: b"), arriving())
    assert (kept.heads, kept.find(head()), room(kept)) == ({}, None, 0)


def test_memory_stays_within_its_bounds() -> None:
    kept = memory(8 * MB)
    learned = []
    tracemalloc.start()
    for number in range(3000):
        raw = head(f"X: {number}", line=f"GET http://o/{number} HTTP/1.1")
        one = stored(body=b"%08d" % number * 2000)
        one.renew(BORN)
        kept.learn(raw, one)
        learned.append(raw)
        kept.find(head(f"Y: {'y' * 1000}", line=f"GET http://o/{number} HTTP/1.1"))
        del one
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 10 * MB
    assert sum(kept.find(raw) is not None for raw in learned) > 100


@pytest.mark.parametrize(
    ("line", "varies"),
    [
        pytest.param("GET http://o/{} HTTP/1.1", ("x",) * 4000, id="many-names-in-vary"),
        pytest.param("GET http://o/{} HTTP/1.1", ("x",) * 700, id="names-in-vary"),
        pytest.param("GET http://o/{} HTTP/1.1", ("x" * 3000, "y"), id="long-names-in-vary"),
        pytest.param(f"GET http://o/{'a' * 7000}{{}} HTTP/1.1", (), id="long-targets"),
        pytest.param(f"GET http://o/{'a' * 7000}{{}} HTTP/1.1", ("x",), id="long-targets-that-vary"),
    ],
)
def test_what_origins_and_clients_choose_is_counted(line: str, varies: tuple[str, ...]) -> None:
    kept = memory(4 * MB)
    tracemalloc.start()
    for number in range(200 if len(varies) > 2 else 2000):
        raw = head(f"X: {number}", line=line.format(number))
        one = stored(varies=tuple(f"{name}{number}" for name in varies))
        one.renew(BORN)
        kept.learn(raw, one)
        kept.find(raw)
        del one
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 6 * MB


def test_downloads_with_large_heads_are_counted() -> None:
    kept = memory(4 * MB)
    tracemalloc.start()
    for number in range(300):
        kept.learn(head(f"X: {number}"), arriving(fields=[(f"X-{number}", "x" * 100_000)]))
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 4 * MB
    assert len(kept.heads) >= 1


def test_answers_that_are_replaced_take_no_room() -> None:
    kept = memory(8 * MB)
    tracemalloc.start()
    for _ in range(1000):
        one = stored(body=b"x" * 30_000)
        one.renew(BORN)
        kept.learn(head(), one)
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 2 * MB


def test_downloads_that_are_over_are_let_go() -> None:
    """Each holds its download: what it had in memory, and its place among the flights."""
    kept = memory()
    counters = memoryview(bytearray(80)).cast("Q")
    counters[1], counters[2] = 2, 9
    kept.learn(head("A: running"), arriving())
    kept.learn(head("A: over"), arriving(slot=2, version=8))
    kept.sweep(counters)
    assert list(kept.heads) == [head("A: running")]
    for number in range(5000):
        kept.learn(head(f"B: {number}"), arriving())
    assert len(kept.heads) <= 1024
    assert room(kept) == room(memory())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[FileSlice]:
    path = tmp_path / "blob"
    path.write_bytes(b"x" * MB)
    fd = os.open(path, os.O_RDONLY)
    yield FileSlice(fd, 0, MB)
    os.close(fd)


def test_files_are_let_go_when_their_version_changes(blob: FileSlice) -> None:
    kept = memory(64 * MB)
    counters = memoryview(bytearray(80)).cast("Q")
    counters[1] = 2
    one = stored(file=blob)
    kept.learn(head(), one)
    kept.sweep(counters)
    assert one.is_kept
    assert one.file is not None
    counters[1] = 4
    kept.sweep(counters)
    assert (one.is_kept, one.file) == (False, None)


def test_a_scan_of_large_bodies_leaves_room_for_those_that_are_used(blob: FileSlice) -> None:
    most = 200
    kept = memory(16 * MB, most_files=most)
    before = open_files()

    def ask(number: int) -> bool:
        raw = head(line=f"GET http://o/{number} HTTP/1.1")
        known: Known | None = kept.find(raw)
        if known is None:
            kept.learn(raw, stored(file=blob))
            return False
        known.answer.uses += 1  # type: ignore[union-attr]
        return True

    for number in range(300):
        ask(number)
    for _ in range(2):
        for number in range(5000, 5010):
            ask(number)
    for number in range(300, 600):
        ask(number)
    assert all(ask(number) for number in range(5000, 5010))
    assert open_files() - before <= most


# Refusals.


def test_a_refusal_takes_the_place_of_an_answer_until_it_is_forgotten() -> None:
    kept, answer = memory(), stored()
    kept.learn(head(), answer)
    kept.learn(head(), refusal())
    assert kept.heads[head()].answer is not answer
    kept.forget(kept.heads[head()])
    known = kept.find(head())
    assert known is not None
    assert known.answer is answer


def test_a_refusal_is_for_the_one_head_that_was_refused() -> None:
    kept = memory()
    kept.learn(head(), refusal())
    assert kept.find(head("User-Agent: other")) is None


def test_refusals_of_many_heads_take_no_more_memory_than_there_is() -> None:
    kept = memory(MB)
    kept.learn(head(), stored())
    for number in range(5000):
        kept.learn(head(f"X: {number}"), refusal(text="x" * 2000))
    assert 10 < len(kept.heads) < MB // 4 // 4000
    assert kept.find(head("User-Agent: other")) is not None, "what is stored stays"
