"""Paths of package ecosystems whose content never changes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sample import NOW, get, head

from pyproxycache.messages import Entry, Head
from pyproxycache.outcome import Forward
from pyproxycache.rules import decide
from pyproxycache.rules.decisions import Fetch, Pass, Serve, Store
from pyproxycache.rules.policy import Match, Policies, Policy, Rule
from pyproxycache.url import Url

SHA256 = "0123456789abcdef" * 4
YEAR = 365 * 86400
DEFAULTS = Policies()

IMMUTABLE = [
    f"/debian/dists/stable/main/binary-amd64/by-hash/SHA256/{SHA256}",
    f"/dists/x/by-hash/MD5Sum/{SHA256[:32]}",
    f"/v2/library/name/blobs/sha256:{SHA256}",
    f"/packages/ab/cd/{SHA256[:60]}/name-1.0-py3-none-any.whl",
    f"/packages/ab/cd/{SHA256[:60]}/name-1.0-py3-none-any.whl.metadata",
    "/packages/source/n/name/name-1.0.tar.gz",
    "/packages/py3/n/name/name-1.0-py3-none-any.whl",
    "/crates/name/name-1.2.3.crate",
    "/api/v1/crates/name/1.2.3-rc.1/download",
    "/example.org/mod/@v/v1.2.3.zip",
    "/example.org/mod/@v/v1.2.3-0.20200101000000-abcdef012345+incompatible.info",
    "/name/-/name-1.2.3.tgz",
    "/@scope/name/-/name-1.2.3-beta.1.tgz",
    f"/nar/{'0123456789abcdfghijklmnpqrsvwxyz'[:26] * 2}.nar.xz",
]
MUTABLE = [
    "/pool/main/n/name/name_1.0_amd64.deb",
    "/dists/stable/InRelease",
    "/by-hash/SHA256/abc",
    f"/by-hash/SHA256/{SHA256}/more",
    "/packages/list.html",
    "/packages/name-1.0.zip",
    "/simple/name/",
    "/v2/library/name/manifests/latest",
    f"/{SHA256}",
    "/name.crate",
    "/example.org/mod/@v/list",
    "/example.org/mod/@v/main.info",
    "/example.org/mod/@latest",
    "/name",
    "/name/-/name-latest.tgz",
    "/nar/abc.nar",
]


def judged(path: str, answer: Head, policies: Policies = DEFAULTS, *asked: str) -> object:
    """Whether the answer is stored, and then what a request a month later gets."""
    request = replace(get(*asked), url=Url("http", "origin.example", 80, path))
    fetch = Fetch(request.headers, None, Forward.MISS)
    rules = policies.about(request.url)
    decision = decide.on_response(request, answer, fetch, rules, NOW, NOW)
    if not isinstance(decision, Store):
        return decision
    entry = Entry(str(request.url), decision.head, NOW, NOW)
    return decide.on_request(request, [entry], rules, NOW + 30 * 86400)


@pytest.mark.parametrize("path", IMMUTABLE)
@pytest.mark.parametrize("line", ["X: 1", "Cache-Control: max-age=60", "Set-Cookie: a=b"])
def test_they_are_fresh_for_long(path: str, line: str) -> None:
    served = judged(path, head(line))
    assert isinstance(served, Serve)
    assert served.ttl == YEAR - 30 * 86400
    assert "set-cookie" not in served.entry.headers


@pytest.mark.parametrize("path", MUTABLE)
def test_others_are_not(path: str) -> None:
    assert judged(path, head("X: 1")) == Pass("no-freshness", True)
    assert isinstance(judged(path, head("Cache-Control: max-age=60")), Fetch)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Cache-Control: no-store"], 200),
        (["Cache-Control: private"], 200),
        (["Cache-Control: no-cache"], 200),
        (["Content-Type: text/html; charset=utf-8"], 200),
        ([], 404),
        ([], 302),
    ],
)
def test_what_is_no_such_content_is_left_to_http(lines: list[str], status: int) -> None:
    assert isinstance(judged(IMMUTABLE[0], head(*lines, status=status)), Pass)


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        ("X: 1", False),
        ('ETag: "a"', False),
        ("Cache-Control: max-age=60", False),
        ("Cache-Control: public", True),
        ("Cache-Control: s-maxage=60", True),
    ],
)
def test_what_a_client_with_a_cookie_got_may_be_its_own(line: str, stored: bool) -> None:
    """Many sites answer /account/-/x-1.2.3.tgz with the account: a link there would store it for all."""
    for path in IMMUTABLE:
        decision = judged(path, head("Content-Type: application/json", line), DEFAULTS, "Cookie: session=1")
        assert isinstance(decision, Serve) is stored
        assert stored or decision == Pass("request", remember=False)
    assert isinstance(judged(MUTABLE[0], head("Cache-Control: max-age=60"), DEFAULTS, "Cookie: a=b"), Fetch)


@pytest.mark.parametrize(("asked", "served"), [("max-age=0", True), ("no-cache", False)])
def test_only_no_cache_has_it_validated(asked: str, served: bool) -> None:
    decision = judged(IMMUTABLE[0], head('ETag: "a"'), DEFAULTS, f"Cache-Control: {asked}")
    assert isinstance(decision, Serve if served else Fetch)


@pytest.mark.parametrize(
    ("policies", "fresh"),
    [
        (Policies(defaults=False), False),
        (Policies((Rule(Match(), Policy(fresh=60)),)), False),
        (Policies((Rule(Match(), Policy(stale_if_error=60)),)), True),
    ],
    ids=["switched-off", "a-rule-says-how-long", "a-rule-says-something-else"],
)
def test_what_the_operator_says_of_them(policies: Policies, fresh: bool) -> None:
    assert isinstance(judged(IMMUTABLE[0], head('ETag: "a"'), policies), Serve if fresh else Fetch)


@pytest.mark.parametrize(
    "path",
    [
        "/-/a-1.1." + "1" * 80_000 + ".tgz" * 5_000 + "x",
        "/-/a" + ("-1.1." + "1" * 3_000) * 30,
        "/v2/" * 20_000 + "/blobs/sha256:" * 5_000,
        "/crates/a" * 20_000,
    ],
)
def test_no_path_takes_long(path: str) -> None:
    began = time.thread_time()
    judged(path, head("ETag: x"))
    assert time.thread_time() - began < 1.0
