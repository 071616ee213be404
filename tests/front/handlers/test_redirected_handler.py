"""Who is answered out of what all share, on a connection that was made to an address."""

from __future__ import annotations

import io

import pytest

from pyproxycache import clock
from pyproxycache.errors import Forbidden, LoopDetected, Misdirected
from pyproxycache.facts import Facts
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.handlers.redirected import Redirected
from pyproxycache.front.requests.ingress import Ingress, redirected_from, standing_in_for
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted, Way
from pyproxycache.gates.access import Guard
from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.net.names import Names
from pyproxycache.net.recent_addresses import RecentAddresses
from pyproxycache.options import GuardOptions
from pyproxycache.response import Response, ReuseTerms
from pyproxycache.steps import Asks, Steps, finished
from pyproxycache.url import Authority, Url

ORIGIN = Authority("192.0.2.1", 80)
TERMS = ReuseTerms(Entry("k", Head(200), 0, 0), 0, 0, 0.0, 1e12, 0.0, 1e12, ())


class Noting:
    """Answers, and notes the way in of each request."""

    def __init__(self) -> None:
        self.ways_in: list[Ingress] = []

    def answer(self, received: RawRequest, _target: Wanted, _facts: Facts) -> Steps[Answered]:
        self.ways_in.append(received.ingress)
        yield from ()
        return Answered(Response(Head(200), reuse_terms=TERMS), is_of_cache=True)


class Handled:
    """The handler between two that note, where a.test has the origin's address until in 60 seconds."""

    def __init__(self, *, has_parent: bool = False, client: str = "198.51.100.1") -> None:
        recent = RecentAddresses(60.0)
        recent.note("a.test", [ORIGIN.host], clock.steady())
        self.shared, self.alone, self.client = Noting(), Noting(), client
        guard = Guard(GuardOptions(), [("127.0.0.1", 3129), ("127.0.0.1", 3128)])
        names, ports = Names(recent=recent), frozenset([3129])
        self._handler = Redirected(self.shared, self.alone, guard, names, ports, has_parent=has_parent)

    def steps(self, ingress: Ingress, url: Url, target: str = "/") -> Steps[Answered]:
        received = RawRequest("GET", target, (1, 1), Headers(), self.client, io.BytesIO(), ingress=ingress)
        return self._handler.answer(received, Wanted(url, way=Way.INSTEAD), Facts())

    def answer(self, ingress: Ingress, url: Url, target: str = "/") -> Answered:
        return finished(self.steps(ingress, url, target))


def url(host: str = "a.test", port: int = 80) -> Url:
    return Url("http", host, port, "/")


def test_where_the_client_has_named_the_host_nothing_is_checked() -> None:
    handled, ingress = Handled(), standing_in_for(Url("https", "no-such.invalid", 443, "/"))
    assert handled.answer(ingress, url()).response.reuse_terms is TERMS
    assert handled.shared.ways_in == [ingress]


@pytest.mark.parametrize(
    ("ingress", "wanted", "is_shared"),
    [
        (redirected_from(ORIGIN), url(), True),
        (redirected_from(ORIGIN), url(ORIGIN.host), True),
        (redirected_from(ORIGIN), url("b.invalid"), False),
        (redirected_from(ORIGIN), url("192.0.2.2"), False),
        (redirected_from(ORIGIN), url(port=8080), False),
        (redirected_from(Authority("192.0.2.2", 80)), url("127.0.0.1"), False),
        (redirected_from(Authority("192.0.2.1", 8080)), url(port=8080), True),
        (
            standing_in_for(Url("https", "a.test", 443, "/"), destination=Authority("192.0.2.1", 443)),
            url(port=443),
            True,
        ),
        (
            standing_in_for(Url("https", "a.test", 443, "/"), destination=Authority("192.0.2.2", 443)),
            url(port=443),
            False,
        ),
    ],
)
def test_what_is_shared(ingress: Ingress, wanted: Url, is_shared: bool) -> None:
    handled = Handled()
    handled.answer(ingress, wanted)
    assert (handled.shared.ways_in, handled.alone.ways_in) == (
        ([ingress], []) if is_shared else ([], [ingress])
    )


def test_memory_gives_an_answer_no_longer_than_the_host_counts_as_having_the_address() -> None:
    terms = Handled().answer(redirected_from(ORIGIN), url()).response.reuse_terms
    assert terms is not None
    assert clock.wall() + 30 < terms.until <= clock.wall() + 61


def test_a_look_up_waits_for_its_turn_at_the_address() -> None:
    handled = Handled()
    assert next(handled.steps(redirected_from(ORIGIN), url("b.invalid"))) == Asks("192.0.2.1:80")


def test_a_parent_is_asked_by_host_for_what_is_shared() -> None:
    handled = Handled(has_parent=True)
    handled.answer(redirected_from(ORIGIN), url())
    handled.answer(redirected_from(ORIGIN), url("b.invalid"))
    assert [way.destination for way in handled.shared.ways_in] == [None]
    assert [way.destination for way in handled.alone.ways_in] == [ORIGIN]


@pytest.mark.parametrize(
    ("destination", "target", "error"),
    [
        (Authority("127.0.0.1", 80), "/", Forbidden),
        (Authority("169.254.169.254", 80), "/", Forbidden),
        (Authority("127.0.0.1", 3128), "/", LoopDetected),
        (Authority("127.0.0.1", 3129), "/", Forbidden),
        (Authority("192.0.2.2", 80), "http://a.test/", Misdirected),
    ],
)
@pytest.mark.parametrize("wanted", [url(), url("127.0.0.1"), url("169.254.169.254")])
def test_what_is_refused(destination: Authority, target: str, error: type[Exception], wanted: Url) -> None:
    handled = Handled()
    with pytest.raises(error):
        handled.answer(redirected_from(destination), wanted, target)
    assert handled.shared.ways_in == handled.alone.ways_in == []


def test_this_machine_reaches_its_own_services() -> None:
    handled = Handled(client="127.0.0.1")
    handled.answer(redirected_from(Authority("127.0.0.1", 80)), url("127.0.0.1"))
    assert len(handled.shared.ways_in) == 1
