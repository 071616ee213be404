"""References in fields, as clients of each way in are shown them."""

import time

import pytest

from pyproxycache.front.presentation import cookies
from pyproxycache.front.presentation.references import (
    Address,
    behind_prefix,
    below_upstream,
    mapped,
    through_kisscache,
)
from pyproxycache.messages import Head, Headers
from pyproxycache.rules.urls import parse_url

BASE = parse_url("http://h:81/dir/page?q")
PREFIX = behind_prefix(BASE, "")


def shown(name: str, value: str, address: Address = PREFIX) -> str:
    head = Head(200, "OK", Headers([("ETag", '"/x"'), (name, value), ("X-Other", "/x")]))
    fields = dict(mapped(head, BASE, address, cookies.none).headers)
    assert (fields["ETag"], fields["X-Other"]) == ('"/x"', "/x")
    return fields[name]


@pytest.mark.parametrize("name", ["Location", "Content-Location", "location"])
@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("http://h:81/x", "/http://h:81/x"),
        ("https://other/x?a=b#c", "/https://other/x?a=b#c"),
        ("HTTP://H:81/x", "/http://H:81/x"),
        ("//other/x", "/http://other/x"),
        ("/x", "/http://h:81/x"),
        (" /x ", "/http://h:81/x"),
        ("x", "/http://h:81/dir/x"),
        ("../../../x", "/http://h:81/x"),
        ("?r", "/http://h:81/dir/page?r"),
        ("#part", "/http://h:81/dir/page?q#part"),
        ("/a%2Fb/caf\xe9", "/http://h:81/a%2Fb/caf\xe9"),
        ("ftp://other/x", "ftp://other/x"),
        ("mailto:someone", "mailto:someone"),
        ("//[", "//["),
    ],
)
def test_location(name: str, reference: str, address: str) -> None:
    assert shown(name, reference) == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("5; url=/x", "5; url=/http://h:81/x"),
        ("0;URL='/x?a;b'", "0;URL='/http://h:81/x?a;b'"),
        ('0, url = "http://other/"', '0, url = "/http://other/"'),
        ("3 /x", "3 /http://h:81/x"),
        ("1.5;x ", "1.5;/http://h:81/dir/x"),
        ("5", "5"),
        ("5; url=", "5; url="),
        ("nonsense", "nonsense"),
    ],
)
def test_refresh(value: str, address: str) -> None:
    assert shown("Refresh", value) == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("</x>; rel=next", "</http://h:81/x>; rel=next"),
        (
            '<a>; rel="x <b>", <https://o/c,d>;rel=last',
            '</http://h:81/dir/a>; rel="x <b>", </https://o/c,d>;rel=last',
        ),
        ('<a>; title="\\"<b>"', '</http://h:81/dir/a>; title="\\"<b>"'),
        ('<a>; anchor="/c"; rel=up', '</http://h:81/dir/a>; anchor="/http://h:81/c"; rel=up'),
        ("<urn:x>; rel=type", "<urn:x>; rel=type"),
        ("<never closed", "<never closed"),
        ('<a>; title="<b>', '</http://h:81/dir/a>; title="<b>'),
    ],
)
def test_link(value: str, address: str) -> None:
    assert shown("Link", value) == address


@pytest.mark.parametrize(
    ("upstream", "reference", "address"),
    [
        ("http://h:81", "http://h:81/x?y#z", "/x?y#z"),
        ("http://h:81", "http://h:81", "/"),
        ("http://h:81", "HTTP://H:81/x", "/x"),
        ("http://h:81", "http://user:pass@h:81/x", "/x"),
        ("http://h:81", "/x", "/x"),
        ("http://h:81", "x", "/dir/x"),
        ("http://h:81", "http://h:81//evil/x", "/.//evil/x"),
        ("http://h:81/dir", "http://h:81/dir//evil/x", "/.//evil/x"),
        ("http://h:81/dir", "/dir/\\evil/x", "/./\\evil/x"),
        ("http://h:81", "https://h:81/x", "https://h:81/x"),
        ("http://h:81", "http://h:82/x", "http://h:82/x"),
        ("http://h:81", "http://other/x", "http://other/x"),
        ("http://h:81", "http://h:81:/x", "http://h:81:/x"),
        ("http://h:81/dir/", "http://h:81/dir/x", "/x"),
        ("http://h:81/dir/", "http://h:81/dir", "/"),
        ("http://h:81/dir/", "/dir?x", "/?x"),
        ("http://h:81/dir/", "http://h:81/directory/x", "http://h:81/directory/x"),
        ("http://h:81/dir/", "/x", "/x"),
    ],
)
def test_reverse_proxy(upstream: str, reference: str, address: str) -> None:
    assert shown("Location", reference, below_upstream(parse_url(upstream))) == address


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("/x", "/http://user:pass@h:81/x"),
        ("http://H:81/x", "/http://user:pass@H:81/x"),
        ("https://h:81/x", "/https://h:81/x"),
        ("http://h:81.evil/x", "/http://h:81.evil/x"),
        ("http://other@h:81/x", "/http://other@h:81/x"),
    ],
)
def test_user_and_password_go_to_no_other_origin(reference: str, address: str) -> None:
    assert shown("Location", reference, behind_prefix(BASE, "user:pass")) == address


def test_kisscache() -> None:
    address = through_kisscache("/api/v1/fetch/?ttl=60s&url=")
    expected = "/api/v1/fetch/?ttl=60s&url=http%3A%2F%2Fh%3A81%2Fa%2520b%3Fc%26d"
    assert shown("Content-Location", "/a%20b?c&d#part", address) == expected


def test_all_lines_of_a_field() -> None:
    head = Head(200, "OK", Headers([("Link", "<a>"), ("Link", "<b>")]))
    lines = mapped(head, BASE, PREFIX, cookies.none).headers.lines("link")
    assert lines == ("</http://h:81/dir/a>", "</http://h:81/dir/b>")


def test_head_without_references_is_the_same() -> None:
    head = Head(200, "OK", Headers([("ETag", '"/x"')]))
    assert mapped(head, BASE, PREFIX, cookies.none) is head


def test_a_head_full_of_links_costs_no_more_than_some() -> None:
    began = time.thread_time()
    links = shown("Link", "<a>," * 200_000).split(",")
    assert time.thread_time() - began < 1.0
    assert (links[0], links[-2]) == ("</http://h:81/dir/a>", "<a>")


@pytest.mark.parametrize("text", ["<", '"', '"\\', '\\"', ';anchor="', "; ", "1 ", " ", "1;url ="])
@pytest.mark.parametrize("name", ["Link", "Refresh", "Location"])
def test_no_value_takes_long(name: str, text: str) -> None:
    began = time.process_time()
    shown(name, text * 20_000)
    assert time.process_time() - began < 2.0
