"""When signatures in URLs end."""

from __future__ import annotations

import pytest
from sample import NOW, URL, entry, get

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.rules.decide import on_request
from pyproxycache.rules.decisions import Fetch, Refuse, Serve
from pyproxycache.rules.policy import Policies, Policy, Rule
from pyproxycache.rules.signed_urls import redirect_end, signature_end

MAY_2026 = 1777593600.0
"""2026-05-01, 00:00 UTC."""


@pytest.mark.parametrize(
    ("query", "end"),
    [
        ("", None),
        ("a=1&b", None),
        ("X-Amz-Date=20260501T000000Z&X-Amz-Expires=300&X-Amz-Signature=ab", MAY_2026 + 300),
        ("x-amz-expires=300&x-amz-date=20260501T000000Z", MAY_2026 + 300),
        ("X-Goog-Date=20260501T000000Z&X-Goog-Expires=604800&X-Goog-Signature=ab", MAY_2026 + 604800),
        ("Expires=1777593600&Signature=ab&Key-Pair-Id=c", MAY_2026),
        ("se=2026-05-01T00%3A00%3A00Z&sp=r&sig=ab%3D", MAY_2026),
        ("se=2026-05-01&sig=ab", MAY_2026),
        ("se=2026-05-01T02:00:00%2B02:00&sig=ab", MAY_2026),
        # The first end counts, of whatever kind.
        ("Expires=1777593600&se=2026-05-02&sig=ab", MAY_2026),
        # It is signed, and nobody knows until when.
        ("sig=ab", 0.0),
        ("X-Amz-Signature=ab&X-Amz-Date=20260501T000000Z", 0.0),
        ("X-Amz-Signature=ab&X-Amz-Date=20260501T000000Z&X-Amz-Expires=-5", 0.0),
        ("X-Amz-Signature=ab&X-Amz-Date=99999999T999999Z&X-Amz-Expires=5", 0.0),
        ("Expires=soon&Signature=ab", 0.0),
        ("Expires=" + "9" * 5000 + "&Signature=ab", 0.0),
        ("se=0001-01-01T00:00:00%2B23:59&sig=ab", -62135683140.0),
        # Neither is of any signature.
        ("Expires=Thu", None),
        ("se=men", None),
        ("&" * 100000, None),
    ],
)
def test_ends(query: str, end: float | None) -> None:
    assert signature_end(f"https://blobs.test/file?{query}#se=1") == end


def test_only_redirects_end() -> None:
    headers = Headers([("Location", "https://blobs.test/file?Expires=5")])
    assert [redirect_end(Head(status, "", headers)) for status in (200, 201, 302, 307)] == [
        None,
        None,
        5,
        5,
    ]
    assert redirect_end(Head(302)) is None


def redirect(end: float, *lines: str, age: float = 0.0) -> Entry:
    return entry(f"Location: /blob?sig=a&Expires={end:.0f}", *lines, status=302, age=age)


@pytest.mark.parametrize("policy", [Policy(), Policy(fresh=1e6), Policy(immutable=True)])
@pytest.mark.parametrize(("end", "is_fresh"), [(NOW + 10, True), (NOW, False), (NOW - 10, False)])
def test_a_redirect_is_not_fresh_beyond_its_signature(policy: Policy, end: float, is_fresh: bool) -> None:
    stored = redirect(end, "Cache-Control: public, max-age=1000000", age=100)
    decision = on_request(get(), [stored], Policies((Rule(policy=policy),)).about(URL), NOW)
    assert isinstance(decision, Serve) == is_fresh
    if isinstance(decision, Serve):
        assert decision.ttl == 10


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("lines", [[], ["Cache-Control: max-stale"], ["Cache-Control: only-if-cached"]])
def test_what_has_ended_is_neither_served_nor_validated(offline: bool, lines: list[str]) -> None:
    cached = "Cache-Control: max-age=60, stale-while-revalidate=600"
    stored = redirect(NOW - 1, 'ETag: "a"', cached, age=50)
    decision = on_request(get(*lines), [stored], Policies(offline=offline).about(URL), NOW)
    assert isinstance(decision, Refuse | Fetch)
    assert not isinstance(decision, Fetch) or decision.stale is None


def test_what_is_not_redirected_to_is_as_it_was() -> None:
    stored = entry("Location: /blob?Expires=1", "Cache-Control: max-age=60", status=200)
    assert isinstance(on_request(get(), [stored], Policies().about(URL), NOW), Serve)
