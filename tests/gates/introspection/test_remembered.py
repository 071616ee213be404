"""How much is remembered of valid tokens."""

from __future__ import annotations

from pyproxycache.gates.introspection.remembered import RememberedTokens
from pyproxycache.gates.introspection.token_findings import TokenFindings

MEGABYTE = 1 << 20


def test_those_not_asked_for_the_longest_go_first() -> None:
    tokens = RememberedTokens(60.0, lambda: 0.0, lambda: 0.0)
    for number in range(15):
        tokens.add(b"%d" % number, TokenFindings({"n": number}), MEGABYTE)
    assert tokens.find(b"0") is not None
    for number in range(15, 18):
        tokens.add(b"%d" % number, TokenFindings({"n": number}), MEGABYTE)
    gone = [number for number in range(18) if tokens.find(b"%d" % number) is None]
    assert gone == [1, 2, 3]


def test_what_is_found_anew_takes_the_place_of_what_was_known() -> None:
    tokens = RememberedTokens(60.0, lambda: 0.0, lambda: 0.0)
    for number in range(100):
        tokens.add(b"a", TokenFindings({"n": number}), MEGABYTE)
    tokens.add(b"b", TokenFindings(), MEGABYTE)
    known = tokens.find(b"a")
    assert known is not None
    assert known.body == {"n": 99}


def test_findings_do_not_show_the_body() -> None:
    assert "s3cret" not in repr(TokenFindings({"sub": "s3cret"}))
