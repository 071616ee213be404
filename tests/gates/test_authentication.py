"""Credentials: which are a user's, what is remembered of them, and what wrong ones cost."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator

import pytest

from pyproxycache.errors import AuthenticationRequired, TooManyTries
from pyproxycache.gates.authentication import Authentication, pair_of
from pyproxycache.gates.verdicts import Verdict
from pyproxycache.steps import Steps, finished

HERE, THERE = "192.0.2.7", "192.0.2.8"


def basic(text: str | bytes, scheme: str = "Basic") -> str:
    data = text.encode() if isinstance(text, str) else text
    return f"{scheme} {b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        (basic("ann:s3cret"), ("ann", "s3cret")),
        (basic("ann:s3cret", "basic"), ("ann", "s3cret")),
        (basic("ann:s3cret", "BASIC  "), ("ann", "s3cret")),
        (basic("ann:a:b:"), ("ann", "a:b:")),
        (basic("ann:"), ("ann", "")),
        (basic("änn:pässword €"), ("änn", "pässword €")),
        (basic("a b:c d"), ("a b", "c d")),
        (basic("a:" + "x" * 1022), ("a", "x" * 1022)),
        (basic("a:" + "x" * 1023), None),
        (basic("a:" + "x" * 10_000), None),
        (basic(":s3cret"), None),
        (basic(":"), None),
        (basic("ann"), None),
        (basic(""), None),
        (basic("änn:x".encode("latin-1")), None),
        (basic("ann:a\0b"), None),
        (basic("ann:a\nb"), None),
        (basic("a\x7fnn:b"), None),
        (basic("ann:s3cret", "Bearer"), None),
        (basic("ann:s3cret", "Basicc"), None),
        (basic("ann:s3cret", ""), None),
        ("", None),
        ("Basic", None),
        ("Basic ann:s3cret", None),
        ("Basic YW5uOnM=M2NyZXQ=", None),
        ("Basic YW5uOnMzY3JldA", None),
        ("Basic YW5uOnMzY3JldA===", None),
        ("Basic YW5uOnMz-3JldA==", None),
        ("Basic YW5uOnMzY3JldA== x", None),
        (basic("ann:s3cret") + ", " + basic("ann:s3cret"), None),
        ('Digest username="ann", realm="x"', None),
    ],
)
def test_pairs(line: str, pair: tuple[str, str] | None) -> None:
    found = pair_of((line,))
    assert (found and (found.name.decode(), found.password.decode())) == pair


def test_one_line_alone_has_a_pair() -> None:
    line = basic("ann:s3cret")
    assert pair_of(()) is None
    assert pair_of((line, line)) is None


class Checks:
    """Compares passwords with what stands for their hashes, and notes each comparison.

    One with a password that begins with "slow" waits until `go_on` is set.
    """

    def __init__(self) -> None:
        self.made: list[tuple[bytes, bytes]] = []
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def matches(self, password: bytes, hashed: bytes) -> bool:
        self.made.append((password, hashed))
        self.begun.release()
        if password.startswith(b"slow"):
            assert self.go_on.wait(20)
        return hashed == b"hash of " + password


class Gate:
    """A gate for ann, whose password is `s3cret`, and bob, whose is `slow`, at a time of its own."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.checks = Checks()
        self.users = {b"ann": b"hash of s3cret", b"bob": b"hash of slow"}
        self.authentication = Authentication(self.users, "here", self.checks.matches, lambda: self.time)
        self._threads: list[threading.Thread] = []

    def steps(self, text: str, client: str = HERE) -> Steps[Verdict]:
        return self.authentication.verdict((basic(text),), client)

    def user(self, text: str, client: str = HERE) -> str:
        return finished(self.steps(text, client)).user

    def is_refused(self, text: str, client: str = HERE) -> bool:
        with pytest.raises(AuthenticationRequired) as refused:
            self.user(text, client)
        assert refused.value.headers == (("Proxy-Authenticate", 'Basic realm="here", charset="UTF-8"'),)
        return True

    def begin(self, text: str, client: str = HERE) -> None:
        """Has a thread check it, and returns when that has begun."""
        before = len(self.checks.made)

        def check() -> None:
            try:
                self.user(text, client)
            except AuthenticationRequired:
                pass

        self._threads.append(threading.Thread(target=check))
        self._threads[-1].start()
        while len(self.checks.made) == before:
            assert self.checks.begun.acquire(timeout=20)

    def end(self) -> None:
        """Lets all checks that have begun end."""
        self.checks.go_on.set()
        for thread in self._threads:
            thread.join(20)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.end()


def test_users_alone(gate: Gate) -> None:
    assert gate.user("ann:s3cret") == "ann"
    assert gate.is_refused("ann:other")
    assert gate.is_refused("eve:s3cret")
    with pytest.raises(AuthenticationRequired, match="asks for a user name"):
        finished(gate.authentication.verdict((), HERE))


def test_a_name_has_a_character_for_each_byte() -> None:
    authentication = Authentication({"ä".encode(): b"x"}, "", lambda _password, _hashed: True)
    assert finished(authentication.verdict((basic("ä:x"),), HERE)).user == "Ã¤"


@pytest.mark.parametrize(("realm", "shown"), [("", '""'), ('a "b"', '"a \\"b\\""'), ("a\\b", '"a\\\\b"')])
def test_the_realm_is_quoted(realm: str, shown: str) -> None:
    with pytest.raises(AuthenticationRequired) as refused:
        finished(Authentication({}, realm, lambda *_pair: True).verdict((), HERE))
    assert refused.value.headers == (("Proxy-Authenticate", f'Basic realm={shown}, charset="UTF-8"'),)


def test_as_much_work_for_who_is_no_user(gate: Gate) -> None:
    users = {b"ann": b"$2y$12$abc"}
    authentication = Authentication(users, "", gate.checks.matches)
    with pytest.raises(AuthenticationRequired):
        finished(authentication.verdict((basic("eve:x"),), HERE))
    assert gate.checks.made == [(b"x", b"$2b$12$" + b"." * 53)]


def test_what_was_found_is_remembered_for_a_while(gate: Gate) -> None:
    for _ in range(3):
        assert gate.user("ann:s3cret") == "ann"
        assert gate.user("ann:s3cret", THERE) == "ann"
        assert gate.is_refused("ann:other")
    assert len(gate.checks.made) == 2
    gate.time += 61
    assert gate.user("ann:s3cret") == "ann"
    assert len(gate.checks.made) == 2
    assert gate.is_refused("ann:other")
    assert len(gate.checks.made) == 3
    gate.time += 3600
    assert gate.user("ann:s3cret") == "ann"
    assert len(gate.checks.made) == 4


def test_memory_is_bounded() -> None:
    users = {str(number).encode(): b"x" for number in range(10_100)}
    checks: list[bytes] = []

    def matches(password: bytes, _hashed: bytes) -> bool:
        checks.append(password)
        return True

    authentication = Authentication(users, "", matches, lambda: 0.0)
    first = authentication.known((basic("0:x"),))
    for name in users:
        finished(authentication.verdict((basic(name + b":x"),), HERE))
    assert first is None
    assert authentication.known((basic("0:x"),)) is None
    assert authentication.known((basic("10099:x"),)) is not None
    assert len(checks) == 10_100


def test_only_the_right_are_known(gate: Gate) -> None:
    right, wrong = (basic("ann:s3cret"),), (basic("ann:other"),)
    assert gate.authentication.known(right) is None
    assert gate.user("ann:s3cret") == "ann"
    assert gate.is_refused("ann:other")
    known = gate.authentication.known(right)
    assert known is not None
    assert (known.user, known.until) == ("ann", gate.time + 3600)
    for lines in (wrong, (), (*right, *right), (basic("eve:x"),)):
        assert gate.authentication.known(lines) is None
    assert len(gate.checks.made) == 2


def test_a_user_who_changes_counts_no_more(gate: Gate) -> None:
    gate.checks.go_on.set()
    assert gate.user("ann:s3cret") == "ann"
    assert gate.user("bob:slow") == "bob"
    ann, bob = (gate.authentication.known((basic(text),)) for text in ("ann:s3cret", "bob:slow"))
    assert gate.is_refused("ann:new")
    assert gate.is_refused("eve:new")
    gate.authentication.adopt({b"ann": b"hash of new", b"bob": b"hash of slow", b"eve": b"hash of new"})
    assert ann is not None
    assert ann.until < gate.time
    assert bob is not None
    assert bob.until > gate.time
    assert gate.is_refused("ann:s3cret")
    assert gate.user("ann:new") == "ann"
    assert gate.user("eve:new") == "eve"
    made = len(gate.checks.made)
    assert gate.user("bob:slow") == "bob"
    assert len(gate.checks.made) == made
    gate.authentication.adopt({b"bob": b"hash of slow"})
    assert gate.is_refused("ann:new")


def test_no_verdict_outlives_that_which_takes_its_place(gate: Gate) -> None:
    """Two clients may have the same pair checked at the same time."""
    gate.begin("bob:slow", HERE)
    gate.begin("bob:slow", THERE)
    gate.end()
    known = gate.authentication.known((basic("bob:slow"),))
    assert known is not None
    gate.authentication.adopt({})
    assert known.until < gate.time


def test_a_user_who_changes_during_the_check_is_checked_again() -> None:
    changed = {b"ann": b"new"}

    def matches(_password: bytes, hashed: bytes) -> bool:
        authentication.adopt(changed)
        return hashed == b"old"

    authentication = Authentication({b"ann": b"old"}, "", matches)
    with pytest.raises(AuthenticationRequired):
        finished(authentication.verdict((basic("ann:x"),), HERE))


def test_equal_requests_wait_for_one_check(gate: Gate) -> None:
    gate.begin("bob:slow")
    waiting = [gate.steps("bob:slow") for _ in range(5)]
    awaited = [next(steps) for steps in waiting]
    gate.end()
    for steps, turn in zip(waiting, awaited, strict=True):
        turn.wait()  # type: ignore[union-attr]
        assert finished(steps).user == "bob"
    assert len(gate.checks.made) == 1


def test_one_check_at_a_time_for_each_client(gate: Gate) -> None:
    gate.begin("ann:slow")
    waiting = gate.steps("ann:s3cret")
    turn = next(waiting)
    assert gate.user("ann:s3cret", THERE) == "ann"
    assert not turn.is_there()  # type: ignore[union-attr]
    gate.end()
    turn.wait()  # type: ignore[union-attr]
    assert finished(waiting).user == "ann"


def test_a_network_of_ipv6_is_one_client(gate: Gate) -> None:
    gate.begin("ann:slow", "2001:db8::1")
    waiting = gate.steps("ann:s3cret", "2001:db8::2")
    next(waiting)
    assert gate.user("ann:s3cret", "2001:db8:0:1::1") == "ann"
    waiting.close()


def test_a_client_that_leaves_gives_its_turn_away(gate: Gate) -> None:
    gate.begin("ann:slow")
    waiting = [gate.steps(text) for text in ("ann:x", "ann:y", "ann:s3cret", "ann:s3cret")]
    turns = [next(steps) for steps in waiting]
    waiting[0].close()
    gate.end()
    turns[1].wait()  # type: ignore[union-attr]
    waiting[1].close()  # which had its turn, and has not used it
    turns[2].wait()  # type: ignore[union-attr]
    waiting[2].close()
    turns[3].wait()  # type: ignore[union-attr]
    assert finished(waiting[3]).user == "ann"
    assert [password for password, _hashed in gate.checks.made] == [b"slow", b"s3cret"]


def test_who_fails_often_is_refused_for_a_while(gate: Gate) -> None:
    assert gate.user("ann:s3cret") == "ann"
    for number in range(10):
        assert gate.is_refused(f"ann:wrong {number}")
    with pytest.raises(TooManyTries) as refused:
        gate.user("ann:wrong 10")
    assert refused.value.headers == (("Retry-After", "6"),)
    assert gate.user("ann:s3cret") == "ann"  # known
    assert gate.is_refused("ann:wrong 3")  # known too
    assert gate.is_refused("ann:wrong", THERE)
    assert len(gate.checks.made) == 12
    gate.time += 6
    assert gate.is_refused("ann:wrong 11")
    with pytest.raises(TooManyTries):
        gate.user("ann:wrong 12")
    gate.time += 3600
    for number in range(10):
        assert gate.is_refused(f"ann:again {number}")


def test_who_waits_is_refused_with_the_others(gate: Gate) -> None:
    for number in range(9):
        assert gate.is_refused(f"ann:wrong {number}")
    gate.begin("ann:slow")
    waiting = [gate.steps(f"ann:more {number}") for number in range(20)]
    turns = [next(steps) for steps in waiting]
    gate.end()
    for steps, turn in zip(waiting, turns, strict=True):
        turn.wait()  # type: ignore[union-attr]
        with pytest.raises(TooManyTries):
            finished(steps)
    assert len(gate.checks.made) == 10
