"""Origins that announce more than they send: tries without progress are few, those with progress go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Asked, Generated, Origin, Resource

KB = 1000
BODY = Generated(1000 * KB, seed=61)
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}
# Patient in everything else, so that only the lack of progress can be what ends it.
PATIENT = {"fetch": {"pause": 0.01, "max_pause": 0.01, "tries": 1000}}

MakeProxy = Callable[..., Proxy]


def ends_at(limit: int, step: int, *, ranges: bool = True) -> Callable[[Asked], Resource]:
    """An origin whose body has a hole at `limit`, and that sends no more than `step` bytes at once."""

    def answer(asked: Asked) -> Resource:
        resource = Resource(BODY, ranges=ranges, **FRESH)  # type: ignore[arg-type]
        start, _stop = resource.span(asked) or (0, 0)
        resource.break_at = min(start + step, limit)
        return resource

    return answer


@pytest.mark.parametrize("wanted", [None, "bytes=100000-", "bytes=100000-999999"])
@pytest.mark.parametrize("step", [10_000 * KB, 300 * KB], ids=["at-once", "in-steps"])
def test_a_body_that_is_always_short_is_given_up_soon(
    origin: Origin, make_proxy: MakeProxy, step: int, wanted: str | None
) -> None:
    limit = 900 * KB
    origin.put("/a", handler=ends_at(limit, step))
    proxy = make_proxy(config=PATIENT)
    client = proxy.download(origin.url("/a"), [("Range", wanted)] if wanted else (), expected=BODY).run()
    assert not client.complete
    assert client.received == limit - (100 * KB if wanted else 0)
    starts = [int((asked.get("Range") or "bytes=0-")[6:].partition("-")[0]) for asked in origin.asked("/a")]
    assert starts.count(limit) <= 3
    assert len(starts) <= 7
    assert "hit" not in (proxy.get(origin.url("/a")).get("Cache-Status") or "")


def test_a_body_without_validator_that_breaks_off_in_the_same_place(
    origin: Origin, make_proxy: MakeProxy
) -> None:
    origin.put("/a", BODY, cache_control="max-age=3600", break_at=0)
    assert not make_proxy(config=PATIENT).download(origin.url("/a")).run().complete
    assert origin.count("/a") == 3


def test_tries_that_get_further_go_on(origin: Origin, make_proxy: MakeProxy) -> None:
    origin.put("/a", handler=ends_at(BODY.size, 100 * KB))
    proxy = make_proxy(config={"fetch": {"pause": 0.01, "tries": 2}})
    client = proxy.download(origin.url("/a"), expected=BODY).run()
    assert (client.complete, client.correct) == (True, True)
    assert origin.count("/a") == 10


def test_tries_that_hardly_get_further_are_counted(origin: Origin, make_proxy: MakeProxy) -> None:
    origin.put("/a", handler=ends_at(BODY.size, 10))
    proxy = make_proxy(config={"fetch": {"pause": 0.01, "tries": 5}})
    assert not proxy.download(origin.url("/a")).run().complete
    assert origin.count("/a") == 5
