"""Anchors of a page, changed one by one, against Python's own reader of HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.html_anchors import Anchor, with_anchors

TEXTS = st.text(st.sampled_from("ab é&;#/:?=+'\t"), max_size=8)
QUOTES = st.sampled_from(['"', "'"])


class References(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attributes).get("href"))


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@st.composite
def pages(draw: st.DrawFn) -> str:
    text = "<!DOCTYPE html>\n<html><head><meta name=a></head><abbr>x</abbr>"
    for _ in range(draw(st.integers(0, 4))):
        quote = draw(QUOTES)
        href = draw(TEXTS).replace(quote, "")
        begin = draw(st.sampled_from(["<a ", "<A\n", '<a data-x=" href=1>" ', "<a data-href='y' ", "<a/"]))
        text += f"{begin}href={quote}{href}{quote}>{draw(TEXTS)}</a>{draw(TEXTS)}<br/>"
    return text + "</html>"


@given(pages(), st.integers(1, 9))
def test_each_anchor_is_found_and_nothing_else_changes(page: str, size: int) -> None:
    seen: list[str | None] = []

    def change(anchor: Anchor) -> str:
        seen.append(anchor.attributes.get("href"))
        return anchor.text

    assert b"".join(with_anchors(pieces(page.encode(), size), change)).decode() == page
    assert seen == References(page).found


@given(pages(), TEXTS, st.integers(1, 9))
def test_a_reference_is_replaced(page: str, new: str, size: int) -> None:
    shown = b"".join(
        with_anchors(pieces(page.encode(), size), lambda one: one.with_attribute("href", new))
    ).decode()
    assert References(shown).found == [new] * len(References(page).found)
    assert shown.count("<br/>") == page.count("<br/>")


def test_an_anchor_is_left_out() -> None:
    page = b'<a href="x">1</a>\n<a href="y">2</a>\n'
    shown = b"".join(with_anchors([page], lambda one: None if one.attributes["href"] == "x" else one.text))
    assert shown == b'\n<a href="y">2</a>\n'


BASED = b'<base target="x"><a href="a">1</a><BASE href="/b/?x&amp;y"\n><a href="c">2</a><base href=d>'


@pytest.mark.parametrize("size", [1, 2, 3, 5, 200])
def test_what_references_count_from(size: int) -> None:
    """The first base with a reference counts, for all that follow it."""
    seen: list[str] = []

    def change(anchor: Anchor) -> str:
        seen.append(anchor.base)
        return anchor.text

    assert b"".join(with_anchors(pieces(BASED, size), change)) == BASED
    assert seen == ["", "/b/?x&y"]
    shown = b"".join(with_anchors(pieces(BASED, size), change, keeps_base=False))
    assert shown == b'<a href="a">1</a><a href="c">2</a>'


def test_a_base_has_a_limit() -> None:
    endless = (b'<base href="', *(b"x" * (1 << 18) for _ in range(20)))
    with pytest.raises(DocumentError, match="1 MB"):
        list(with_anchors(endless, lambda one: one.text))


def test_an_anchor_has_a_limit() -> None:
    endless = (b'<a href="', *(b"x" * (1 << 18) for _ in range(20)))
    with pytest.raises(DocumentError, match="1 MB"):
        list(with_anchors(endless, lambda one: one.text))
