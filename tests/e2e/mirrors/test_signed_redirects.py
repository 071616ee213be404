"""Redirects to addresses that are good for a while: followed inside, asked for again, never kept longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from harness import Proxy
from origin import Generated, Origin
from signing import SigningHost

MakeProxy = Callable[..., Proxy]
PATH = "/files/a.bin"
FILE = Generated(3_000_000, seed=5)
FIELDS = [
    ("X-Repo-Commit", "c" * 40),
    ("X-Linked-Etag", '"l"'),
    ("X-Linked-Size", str(FILE.size)),
    ("X-Xet-Hash", "x"),
    ("Vary", "Origin, Accept-Encoding"),
    ("ETag", '"redirect"'),
]


@pytest.fixture
def signing(origin: Origin) -> Iterator[SigningHost]:
    with Origin() as blobs:
        yield SigningHost(origin, blobs)


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    return make_proxy(config={"mirrors": {"m": {"ecosystem": "generic", "upstream": origin.url("/")}}})


def test_a_download_goes_on_by_a_new_address(cache: Proxy, signing: SigningHost) -> None:
    """The origin breaks off; the address has ended by then, so the first one is asked again."""
    signing.put(PATH, FILE, etag='"f"', cache_control="max-age=600", break_at=[1_000_000, None])
    reply = cache.get(f"/m{PATH}")
    assert (reply.status, reply.complete, FILE.startswith(reply.body, 0)) == (200, True, True)
    assert len(reply.body) == FILE.size
    first, second = signing.blobs.asked(f"/blob{PATH}")
    assert (first.get("Range"), second.get("If-Range")) == (None, '"f"')
    assert (second.get("Range") or "").startswith("bytes=")
    assert [one.partition("&")[0] for one in signing.signatures(PATH)] == ["sig=1", "sig=2"]
    assert cache.get(f"/m{PATH}").body == reply.body
    assert signing.front.count(PATH) == 2


def test_an_address_that_has_ended_already_is_asked_for_again(cache: Proxy, signing: SigningHost) -> None:
    signing.put(PATH, b"file", etag='"f"', by="/files/moved")
    signing.outdated = 1
    assert cache.get(f"/m{PATH}").body == b"file"
    assert (signing.front.count(PATH), len(signing.signatures(PATH))) == (2, 2)


def test_a_refusal_stays_one(cache: Proxy, signing: SigningHost) -> None:
    signing.put(PATH, b"file", etag='"f"')
    signing.outdated = 5
    assert cache.get(f"/m{PATH}").status == 403
    assert signing.front.count(PATH) == 2


def test_what_a_redirect_tells_of_the_file_is_kept(cache: Proxy, signing: SigningHost) -> None:
    signing.put(PATH, b"file", headers=FIELDS, etag='"f"', cache_control="max-age=600")
    for method in ("HEAD", "GET", "HEAD", "GET"):
        reply = cache.get(f"/m{PATH}", method=method)
        assert (reply.status, reply.body) == (200, b"file" if method == "GET" else b"")
        told = {name: reply.get(name) for name, _value in FIELDS}
        assert told == {**dict(FIELDS), "X-Xet-Hash": None, "ETag": '"f"', "Vary": "Origin"}
        assert reply.get("Content-Length") == "4"
    assert signing.front.count(PATH) == 2  # the first HEAD and GET


def test_the_redirects_vary_selects_the_answer(cache: Proxy, signing: SigningHost) -> None:
    """An API that answers JSON, or redirects to the file, by Accept."""
    signing.put(PATH, b"file", headers=[("Vary", "Accept")], cache_control="max-age=600")
    assert cache.get(f"/m{PATH}", [("Accept", "application/octet-stream")]).body == b"file"
    signing.front.put(PATH, b"{}", headers=[("Vary", "Accept")], cache_control="max-age=600")
    assert cache.get(f"/m{PATH}", [("Accept", "application/json")]).body == b"{}"
    assert cache.get(f"/m{PATH}", [("Accept", "application/octet-stream")]).body == b"file"


def test_a_redirect_is_kept_no_longer_than_its_address(proxy: Proxy, origin: Origin) -> None:
    """By proxy, where clients follow redirects themselves."""
    for name, seconds in (("/ended", -1), ("/good", 600)):
        end = time.strftime("%Y-%m-%dT%XZ", time.gmtime(time.time() + seconds))
        location = f"http://blobs.test/a?sig=1&se={end}"
        origin.put(
            name, status=302, headers=[("Location", location)], etag='"r"', cache_control="max-age=9999"
        )
        for _ in range(2):
            assert proxy.get(origin.url(name)).get("Location") == location
    assert (origin.count("/ended"), origin.count("/good")) == (2, 1)
    assert [asked.get("If-None-Match") for asked in origin.asked("/ended")] == [None, None]


def test_what_is_sent_is_not_sent_again(cache: Proxy, signing: SigningHost) -> None:
    signing.put(PATH, b"file")
    reply = cache.get(f"/m{PATH}", method="POST", body=b"content")
    assert (reply.status, signing.front.requests[-1].body) == (302, b"content")
    assert signing.blobs.requests == []
