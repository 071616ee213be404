"""What a pool does with requests: who gets them, what is sent again, and when nobody is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from pyproxycache.errors import (
    BadRequest,
    ClientGone,
    NoMemberLeft,
    ProxyError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pyproxycache.messages import ByPool, Head, Headers, Request
from pyproxycache.upstream.pools.health import HealthState, HealthTerms
from pyproxycache.upstream.pools.member import Member, NoteSent
from pyproxycache.upstream.pools.pool import Pool, PoolTerms
from pyproxycache.url import Url

HOSTS = ("a", "b", "c")


class Given:
    """An answer that is given by a test."""

    def __init__(self, status: int) -> None:
        self.head = Head(status)
        self.is_closed = False
        self._ended: Callable[[], None] = lambda: None

    def at_end(self, call: Callable[[], None]) -> None:
        self._ended = call

    def close(self) -> None:
        self.is_closed = True
        self._ended()


Said = int | ProxyError
UNSENT = UpstreamUnreachable("no connection")


class Members:
    """Sends to members whose answers are set: a status, an error once it is sent, or UNSENT before."""

    def __init__(self, **said: Said) -> None:
        self.said = dict.fromkeys(HOSTS, 200) | said
        self.asked: list[str] = []
        self.answers: list[Given] = []

    def send(self, request: Request, note_sent: NoteSent) -> Given:
        host = request.url.host
        self.asked.append(host)
        said = self.said[host]
        if said is UNSENT:
            raise UNSENT
        note_sent()
        if isinstance(said, ProxyError):
            raise said
        self.answers.append(Given(said))
        return self.answers[-1]


def pool_of(hosts: Iterable[str] = HOSTS, failures: int | None = 3, retries: float = 1.0) -> Pool:
    members = [Member(Url("http", host, 80, "/")) for host in hosts]
    terms = PoolTerms("turns", HealthTerms(failures, 3600.0, 3600.0), frozenset({502, 503}), retries)
    return Pool(members, terms, len(members) - 1)  # whose first request goes to the first member


def asked_for(
    pool: Pool, members: Members, method: str = "GET", body: Iterable[bytes] | None = None
) -> int | str:
    request = Request(method, Url("http", "a", 80, "/x"), body=body, pool=ByPool("p"))
    try:
        return pool.sent(request, None, members.send).head.status
    except ProxyError as error:
        return type(error).__name__


TIMEOUT = UpstreamTimeout("silent")


@pytest.mark.parametrize(
    ("method", "said", "expected", "asked"),
    [
        ("GET", {"a": UNSENT}, 200, "ab"),
        ("GET", {"a": TIMEOUT}, 200, "ab"),
        ("GET", {"a": 503}, 200, "ab"),
        ("HEAD", {"a": 502}, 200, "ab"),
        ("GET", {"a": 500}, 500, "a"),
        ("GET", {"a": 404}, 404, "a"),
        ("GET", {"a": 503, "b": 502}, 502, "ab"),
        ("GET", {"a": UNSENT, "b": UNSENT, "c": 200}, "UpstreamUnreachable", "ab"),
        ("POST", {"a": UNSENT}, 200, "ab"),
        ("POST", {"a": TIMEOUT}, "UpstreamTimeout", "a"),
        ("POST", {"a": 503}, 503, "a"),
        ("PUT", {"a": 503}, 503, "a"),
        ("DELETE", {"a": TIMEOUT}, "UpstreamTimeout", "a"),
        ("GET", {"a": BadRequest("x")}, "BadRequest", "a"),
        ("GET", {"a": ClientGone("x")}, "ClientGone", "a"),
    ],
)
def test_what_is_sent_to_another_member(
    method: str, said: dict[str, Said], expected: int | str, asked: str
) -> None:
    members = Members(**said)
    assert asked_for(pool_of(), members, method) == expected
    assert "".join(members.asked) == asked
    assert [one.is_closed for one in members.answers[:-1]] == [True] * (len(members.answers) - 1)


def test_content_that_was_read_is_not_sent_again() -> None:
    members = Members(a=503)
    assert asked_for(pool_of(), members, "GET", [b"content"]) == 503
    assert members.asked == ["a"]


def test_a_member_that_fails_again_and_again_is_out() -> None:
    pool, members = pool_of(), Members(a=503)
    for _ in range(20):
        assert asked_for(pool, members) == 200
    assert members.asked.count("a") == 3


def test_when_all_are_out_nobody_is_asked() -> None:
    pool, members = pool_of(), Members(a=UNSENT, b=UNSENT, c=UNSENT)
    for _ in range(20):
        asked_for(pool, members)
    assert len(members.asked) == 9
    with pytest.raises(NoMemberLeft) as raised:
        pool.sent(Request("GET", Url("http", "a", 80, "/x"), pool=ByPool("p")), None, members.send)
    ((name, seconds),) = raised.value.headers
    assert (name, 0 < int(seconds) <= 3600, raised.value.status) == ("Retry-After", True, 503)


def test_clients_that_leave_and_bad_requests_say_nothing_of_a_member() -> None:
    pool, members = pool_of("a"), Members(a=ClientGone("x"))
    for error in (ClientGone("x"), BadRequest("x")):
        members.said["a"] = error
        for _ in range(9):
            assert asked_for(pool, members) == type(error).__name__
    members.said["a"] = 200
    assert asked_for(pool, members) == 200


@pytest.mark.parametrize(("retries", "most"), [(0.0, 0), (0.2, 50), (1.0, 210)])
def test_a_dead_api_is_not_asked_twice_as_often(retries: float, most: int) -> None:
    pool, members = pool_of(failures=None, retries=retries), Members(a=503, b=503, c=503)
    for _ in range(200):
        assert asked_for(pool, members) == 503
    assert len(members.asked) <= 200 + most


def test_after_the_deadline_there_is_no_second_try() -> None:
    pool, members = pool_of(), Members(a=TIMEOUT)
    request = Request("GET", Url("http", "a", 80, "/x"), pool=ByPool("p"))
    with pytest.raises(UpstreamTimeout):
        pool.sent(request, 0.0, members.send)
    assert members.asked == ["a"]


def test_one_request_tries_a_member_that_was_out() -> None:
    members, fellows = Members(a=503), Members()
    terms = PoolTerms("turns", HealthTerms(1, 1e-9, 1e-9), frozenset({503}), 1.0)
    pool = Pool([Member(Url("http", host, 80, "/")) for host in HOSTS], terms, 2)
    assert asked_for(pool, members) == 200
    assert not pool.members[0].health.is_in

    def send(request: Request, note_sent: NoteSent) -> Given:
        if request.url.host == "a":  # others come while it is tried
            for method in ("GET", "POST") * 3:
                asked_for(pool, fellows, method)
        return members.send(request, note_sent)

    members.said["a"], members.asked[:] = 200, []
    while "a" not in members.asked:
        for _ in range(3):  # what cannot be sent again does not try it
            asked_for(pool, fellows, "POST")
        pool.sent(Request("GET", Url("http", "a", 80, "/x"), pool=ByPool("p")), None, send)
    assert "a" not in fellows.asked
    assert pool.members[0].health.is_in


def test_answers_count_until_they_are_over() -> None:
    pool, members = pool_of("a"), Members()
    request = Request("GET", Url("http", "a", 80, "/x"), pool=ByPool("p"))
    answered = [pool.sent(request, None, members.send) for _ in range(3)]
    assert len(pool.members[0].answering) == 3
    answered[0].close()
    assert len(pool.members[0].answering) == 2
    members.answers.clear()
    answered.clear()
    assert not pool.members[0].answering


def test_logins_stay_at_one_member() -> None:
    members = Members()
    pool = pool_of()
    for _ in range(6):
        request = Request(
            "GET", Url("http", "a", 80, "/x"), Headers([("Authorization", "NTLM x")]), pool=ByPool("p")
        )
        pool.sent(request, None, members.send)
    assert set(members.asked) == {"a"}


class Watched:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def became(self, member: Url, state: HealthState) -> None:
        self.told.append(f"{member.host} {state}")

    def answered(self, member: Url, *, has_failed: bool) -> None:
        self.told.append(f"{member.host} {'failed' if has_failed else 'answered'}")

    def was_checked(self, member: Url, *, is_well: bool) -> None:
        self.told.append(f"{member.host} {'well' if is_well else 'not well'}")

    def sent_again(self) -> None:
        self.told.append("again")

    def none_left(self) -> None:
        self.told.append("none")


def test_who_watches_is_told_of_members_and_requests() -> None:
    watched, members = Watched(), Members(a=503)
    terms = PoolTerms("turns", HealthTerms(1, 0.0, 0.0), frozenset({503}), 1.0)
    pool = Pool([Member(Url("http", host, 80, "/")) for host in "ab"], terms, 1, watched)

    def told() -> list[str]:
        found, watched.told[:] = list(watched.told), []
        return found

    assert told() == ["a in", "b in"]
    assert asked_for(pool, members) == 200
    assert told() == ["a failed", "a out", "again", "b answered"]
    # A pause of nothing is over: the next request tries the member, and brings it in if that succeeds.
    assert asked_for(pool, members) == 200
    assert told() == ["a tried", "a failed", "a out", "again", "b answered"]
    members.said["a"] = 200
    assert asked_for(pool, members) == 200
    assert told() == ["a tried", "a answered", "a in"]
    for member in pool.members:
        pool.checked(member, is_well=False)
        pool.checked(member, is_well=False)
    assert told() == ["a not well", "a ill", "a not well", "b not well", "b ill", "b not well"]
    assert asked_for(pool, members) == "NoMemberLeft"
    pool.checked(pool.members[0], is_well=True)
    assert told() == ["none", "a well", "a in"]
