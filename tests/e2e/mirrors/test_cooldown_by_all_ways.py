"""Releases that are not given, also of crates, Go modules and conda packages, by all ways of asking."""

from __future__ import annotations

import functools
import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from archives import tarred
from certificates import Certificate
from commands import run
from harness import Proxy, Reply
from language_clients import put_validated, ran, require, sha256, words, write
from origin import Origin
from package_shelf import npm, pip
from python_clients import run_python
from test_cargo_mirror import config as crate_config
from test_cargo_mirror import crate as packed_crate
from test_cargo_mirror import unpacked
from test_conda_mirror import INSTALL
from test_cooldown import archive, archive_of, put_javascript, put_python, wheel, wheel_of
from test_go_mirror import module
from waiting import until

from pyproxycache.tls.certificate_authority import CertificateAuthority

MakeProxy = Callable[..., Proxy]
DAY = 86400.0
JSON = "application/vnd.pypi.simple.v1+json"
WAYS = pytest.mark.parametrize("way", ["mirror", "proxy", "prefix", "kisscache"])
MODULE = "example.test/%21tiny"
NAME = "example.test/Tiny"
_RUST = os.environ.get("RUSTUP_HOME") or str(Path("~/.rustup").expanduser())


@functools.cache
def crate(name: str, version: str) -> bytes:
    """The crate, which has the time when it was packed, always the same."""
    return packed_crate(name, version)


def at(days: float) -> str:
    """The time so many days ago."""
    moment = datetime.fromtimestamp(time.time() - days * DAY, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def put_crate(origin: Origin, files: Origin, name: str, ages: dict[str, float | None]) -> None:
    lines = []
    for version, age in ages.items():
        body = crate(name, version)
        files.put(f"/crates/{name}/{name}-{version}.crate", body, etag=f'"{sha256(body)[:16]}"')
        told: dict[str, Any] = {"name": name, "vers": version, "deps": [], "cksum": sha256(body)}
        told |= {"features": {}, "yanked": False}
        lines.append(json.dumps(told if age is None else {**told, "pubtime": at(age)}))
    put_validated(origin, f"/rs/{name[:2]}/{name[2:4]}/{name}", "\n".join(lines).encode() + b"\n")


def put_module(origin: Origin, ages: dict[str, float | None], latest: str) -> None:
    for version, age in ages.items():
        told = {"Version": version} if age is None else {"Version": version, "Time": at(age)}
        parts = {
            "info": json.dumps(told).encode(),
            "mod": f"module {NAME}\n".encode(),
            "zip": module(version),
        }
        for ending, content in parts.items():
            put_validated(origin, f"/go/{MODULE}/@v/{version}.{ending}", content)
    put_validated(origin, f"/go/{MODULE}/@v/list", "".join(f"{version}\n" for version in ages).encode())
    told = {"Version": latest, "Time": at(ages[latest] or 0)}
    put_validated(origin, f"/go/{MODULE}/@latest", json.dumps(told).encode())


def conda_package(name: str, version: str) -> bytes:
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": []}
    about = {"info/index.json": json.dumps({**index, "noarch": "generic", "subdir": "noarch"}).encode()}
    about |= {"info/paths.json": b'{"paths": [], "paths_version": 1}', "info/files": b""}
    return tarred(about, "bzip2")


def put_conda(origin: Origin, name: str, ages: dict[str, float | None]) -> None:
    records = {}
    for version, age in ages.items():
        body = conda_package(name, version)
        file = f"{name}-{version}-0.tar.bz2"
        origin.put(f"/conda/noarch/{file}", body, etag=f'"{sha256(body)[:16]}"')
        told: dict[str, Any] = {"name": name, "version": version, "build": "0", "build_number": 0}
        told |= {"depends": [], "noarch": "generic", "subdir": "noarch", "sha256": sha256(body)}
        records[file] = (
            told if age is None else {**told, "timestamp": int((time.time() - age * DAY) * 1000)}
        )
    text = json.dumps({"info": {"subdir": "noarch"}, "packages": records, "packages.conda": {}}).encode()
    put_validated(origin, "/conda/noarch/repodata.json", text, "application/json")
    put_validated(origin, "/conda/noarch/current_repodata.json", text, "application/json")


AGES: dict[str, float | None] = {"1.0.0": 400, "1.0.1": None, "2.0.0": 30, "2.1.0": 1.02}


@pytest.fixture
def files() -> Iterator[Origin]:
    """The host of crates, which is not that of the index."""
    with Origin() as running:
        yield running


def mirrors(origin: Origin) -> dict[str, Any]:
    rules: dict[str, Any] = {"min_age": "7d"}
    own = {
        "py": {"ecosystem": "pypi", "block": ["tiny==1.0.0"]},
        "js": {"ecosystem": "npm", "block": ["tiny==1.0.0"]},
        "rs": {"ecosystem": "cargo", "block": ["tiny==1.0.0"], "file_hosts": ["localhost"]},
        "go": {"ecosystem": "go", "block": [f"{NAME}==1.0.0"]},
        "conda": {"ecosystem": "conda", "block": ["tiny==1.0.0"]},
    }
    return {name: {**rules, **told, "upstream": origin.url(f"/{name}/")} for name, told in own.items()}


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin, files: Origin) -> Proxy:
    put_python(origin, "tiny", AGES)
    put_javascript(origin, "tiny", AGES)
    dl = f"http://localhost:{files.port}/crates/{{crate}}/{{crate}}-{{version}}.crate"
    put_validated(origin, "/rs/config.json", json.dumps({"dl": dl}).encode())
    put_crate(origin, files, "tiny", AGES)
    put_module(origin, {f"v{version}": age for version, age in AGES.items()}, "v2.1.0")
    put_conda(origin, "tiny", AGES)
    return make_proxy(config={"mirrors": mirrors(origin)})


def asked(cache: Proxy, way: str, url: str, place: str, accept: str = "*/*") -> Reply:
    """The answer to a request by this way; `place` is the path of the mirror."""
    target = {
        "mirror": place,
        "proxy": url,
        "prefix": f"/{url}",
        "kisscache": f"/api/v1/fetch/?url={quote(url)}",
    }[way]
    return cache.get(target, [("Accept", accept)])


def file_of(origin: Origin, files: Origin, ecosystem: str, version: str) -> tuple[str, str]:
    """The URL of a version's file, and its path of the mirror."""
    if ecosystem == "rs":
        path = f"/crates/tiny/tiny-{version}.crate"
        return f"http://localhost:{files.port}{path}", f"/rs/~/http/localhost:{files.port}{path}"
    path = {
        "py": wheel("tiny", version),
        "js": archive("tiny", version),
        "go": f"/go/{MODULE}/@v/v{version}.zip",
        "conda": f"/conda/noarch/tiny-{version}-0.tar.bz2",
    }[ecosystem]
    return origin.url(path), path


ECOSYSTEMS = pytest.mark.parametrize("ecosystem", ["py", "js", "rs", "go", "conda"])


@WAYS
@ECOSYSTEMS
def test_files(cache: Proxy, origin: Origin, files: Origin, ecosystem: str, way: str) -> None:
    bodies = {
        "py": wheel_of("tiny", "2.0.0"),
        "js": archive_of("tiny", "2.0.0"),
        "rs": crate("tiny", "2.0.0"),
        "go": module("v2.0.0"),
        "conda": conda_package("tiny", "2.0.0"),
    }
    for _ in range(2):
        assert asked(cache, way, *file_of(origin, files, ecosystem, "2.0.0")).body == bodies[ecosystem]
    for version, why in (
        ("1.0.0", b"is in mirrors."),
        ("1.0.1", b"the upstream does not tell the age of"),
        ("2.1.0", b"is 1 d old, and mirrors."),
    ):
        url, place = file_of(origin, files, ecosystem, version)
        reply = asked(cache, way, url, place)
        assert (reply.status, why in reply.body) == (403, True), reply
        served = files if ecosystem == "rs" else origin
        assert served.count(url.partition(str(served.port))[2]) == 0


@WAYS
def test_documents(cache: Proxy, origin: Origin, way: str) -> None:
    def shown(path: str, accept: str = "*/*") -> bytes:
        reply = asked(cache, way, origin.url(path), path, accept)
        assert (reply.status, reply.complete) == (200, True), reply
        return reply.body

    assert json.loads(shown("/py/simple/tiny/", JSON))["versions"] == ["2.0.0"]
    page = shown("/py/simple/tiny/", "text/html").decode()
    assert page.count("<a ") == 1
    assert list(json.loads(shown("/js/tiny"))["versions"]) == ["2.0.0"]
    lines = shown("/rs/ti/ny/tiny").splitlines()
    assert [json.loads(line)["vers"] for line in lines] == ["2.0.0"]
    assert shown(f"/go/{MODULE}/@v/list") == b"v2.0.0\n"
    assert json.loads(shown(f"/go/{MODULE}/@latest"))["Version"] == "v2.0.0"
    for name in ("repodata", "current_repodata"):
        left = json.loads(shown(f"/conda/noarch/{name}.json"))
        assert list(left["packages"]) == ["tiny-2.0.0-0.tar.bz2"]
    # Links stay as they are where they lead to the origin, or through a prefix.
    references = {"mirror": f"{cache.url}{wheel('tiny', '2.0.0')}"}.get(
        way, f"../../files/{wheel('tiny', '2.0.0')[10:]}"
    )
    assert f'href="{references}#sha256=' in page


@WAYS
def test_documents_are_validated(cache: Proxy, origin: Origin, way: str) -> None:
    for path in ("/rs/ti/ny/tiny", "/conda/noarch/repodata.json", "/js/tiny"):
        url = origin.url(path)
        first = asked(cache, way, url, path)
        tag = first.get("ETag") or ""
        assert "~" in tag
        target = {"mirror": path, "proxy": url, "prefix": f"/{url}"}.get(way, f"/api/v1/fetch/?url={url}")
        again = cache.get(target, [("If-None-Match", tag)])
        assert (again.status, again.body) == (304, b"")
        head = cache.get(target, method="HEAD")
        assert (head.status, head.get("ETag"), head.body) == (200, tag, b"")


def test_what_leads_round_the_gate_by_proxy(cache: Proxy, origin: Origin) -> None:
    young = wheel("tiny", "2.1.0")[3:]
    for path, status in (
        (f"/py/x/..{young}", 400),
        (f"/x/../py{young}", 400),
        (f"/x/%2e%2e/py{young}", 400),
        (f"/%70y{young}", 400),
        (f"//py{young}", 400),
        (f"/py/{young}", 404),
        (f"/py{young}?x", 404),
        (f"/py{young[:-4]}%2Ewhl", 404),
    ):
        assert cache.get(origin.url(path)).status == status, path
    upgrade = [("Connection", "upgrade"), ("Upgrade", "websocket")]
    assert cache.get(origin.url(f"/py{young}"), upgrade).status == 403
    host = f"http://127.0.0.1.:{origin.port}"
    assert cache.get(f"{host}/py{young}").status in (400, 403, 404)
    other = f"/py/~/http/{origin.host}:{origin.port}/js/tiny/-/tiny-2.1.0.tgz"
    assert cache.get(other).status == 404
    assert [one.target for one in origin.requests if one.target.endswith((".whl", ".tgz", "whl?x"))] == []


@pytest.mark.parametrize("way", ["mirror", "proxy", "prefix"])
@ECOSYSTEMS
def test_other_methods_than_get_give_no_file(
    cache: Proxy, origin: Origin, files: Origin, ecosystem: str, way: str
) -> None:
    """Servers of files give them to POST, too, and some to any method."""
    for version in ("1.0.0", "2.1.0"):
        url, place = file_of(origin, files, ecosystem, version)
        target = {"mirror": place, "proxy": url, "prefix": f"/{url}"}[way]
        for method in ("POST", "QUERY", "OPTIONS", "get", "REPORT"):
            assert cache.get(target, method=method).status == 403, method
        served = files if ecosystem == "rs" else origin
        assert served.count(url.partition(str(served.port))[2]) == 0
    if ecosystem in ("py", "js", "conda"):
        url, place = file_of(origin, files, ecosystem, "9.0.0")
        origin.put(place, b"named by no document")
        target = {"mirror": place, "proxy": url, "prefix": f"/{url}"}[way]
        assert [cache.get(target, method=one).status for one in ("GET", "POST")] == [404, 404]
        assert origin.count(place) == 0


def test_what_publishes_is_passed_on(cache: Proxy, origin: Origin) -> None:
    for path in ("/py/legacy/", "/js/-/user/org.couchdb.user:me", "/conda/upload"):
        origin.put(path, b"taken")
        assert cache.get(path, method="POST", body=b"x").body == b"taken"
        assert cache.get(origin.url(path), method="POST", body=b"x").body == b"taken"
    for method in ("PUT", "DELETE"):
        assert cache.get("/js/tiny", method=method, body=b"{}").status == 200
    assert [one.method for one in origin.asked("/js/tiny")] == ["PUT", "DELETE"]


SPELLINGS = (";x=1", "/", "%00", "%0A", "%20", "/.", "//", "%5C", ";x/")


@pytest.mark.parametrize(
    ("ecosystem", "block", "path"),
    [
        ("rubygems", "a==1.0", "gems/a-1.0.gem"),
        ("maven", "g:a==1", "g/a/1/a-1.jar"),
        ("apt", "a==1.0", "pool/a_1.0_all.deb"),
        ("dnf", "a==1.0", "p/a-1.0-3.x86_64.rpm"),
        ("apk", "a==1.0", "x86_64/a-1.0-r3.apk"),
        ("oci", "library/a==1", "v2/library/a/manifests/1"),
        ("github", "o/n==v1", "o/n/releases/download/v1/x.zip"),
        ("huggingface", "o/n==main", "o/n/resolve/main/x"),
    ],
)
def test_a_blocked_file_is_refused_with_what_origins_leave_out(
    make_proxy: MakeProxy, origin: Origin, ecosystem: str, block: str, path: str
) -> None:
    folder, _, name = path.rpartition("/")
    before = [f"{folder}{between}{name}" for between in ("//", "/./", "%5C", ";x/", "%2F")]
    behind = [f"{path}{spelling}" for spelling in SPELLINGS]
    for spelt in (*before, *behind):
        origin.put(f"/up/{spelt}", b"file")
    mirror = {"ecosystem": ecosystem, "upstream": origin.url("/up/"), "block": [block]}
    cache = make_proxy(config={"mirrors": {"m": mirror}})
    for spelt in (*before, *behind):
        for target in (f"/m/{spelt}", origin.url(f"/up/{spelt}")):
            assert cache.get(target).status in (400, 403), target
    assert not origin.requests


@pytest.mark.parametrize("ecosystem", ["py", "js", "go", "conda"])
def test_a_presets_young_file_is_refused_with_what_origins_leave_out(
    make_proxy: MakeProxy, origin: Origin, ecosystem: str
) -> None:
    """Paths of nothing known are open there."""
    put_javascript(origin, "tiny", AGES)
    put_python(origin, "tiny", AGES)
    put_conda(origin, "tiny", AGES)
    put_module(origin, {f"v{version}": age for version, age in AGES.items()}, "v2.1.0")
    names = {"py": "pypi", "js": "npm"}
    told = {"ecosystem": names.get(ecosystem, ecosystem), "hosts": ["127.0.0.1"], "min_age": "7d"}
    cache = make_proxy(config={"use": [{**told, "path": f"/{ecosystem}/"}]})
    url, path = file_of(origin, origin, ecosystem, "2.1.0")
    for spelling in SPELLINGS:
        origin.put(f"{path}{spelling}", b"young")
        assert cache.get(f"{url}{spelling}").status in (400, 403, 404), spelling
        assert origin.count(f"{path}{spelling}") == 0, spelling
    origin.put(f"/{ecosystem}/other", b"{}")
    assert cache.get(origin.url(f"/{ecosystem}/other")).body == b"{}" or ecosystem == "js"


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"])
def test_an_address_is_judged_however_it_is_written(cache: Proxy, origin: Origin, host: str) -> None:
    young = wheel("tiny", "2.1.0")
    for lead in ("", "/", "/api/v1/fetch/?url="):
        assert cache.get(f"{lead}http://{host}:{origin.port}{young}").status == 403, lead
    assert origin.count(young) == 0


def test_what_is_open_by_proxy(cache: Proxy, origin: Origin) -> None:
    origin.put("/elsewhere/tiny-2.1.0.zip", b"x")
    assert cache.get(origin.url("/elsewhere/tiny-2.1.0.zip")).body == b"x"
    assert cache.get(origin.url("/rs/config.json")).status == 200


def test_a_mirror_without_rules_is_no_way_round(
    make_proxy: MakeProxy, origin: Origin, files: Origin
) -> None:
    put_validated(origin, "/rs/config.json", crate_config(files))
    put_javascript(origin, "tiny", AGES)
    other = {"ecosystem": "generic", "upstream": origin.url("/otherwise/")}
    cache = make_proxy(config={"mirrors": {**mirrors(origin), "other": other}})
    young = archive("tiny", "2.1.0")
    assert cache.get(f"/other/~/http/{origin.host}:{origin.port}{young}").status == 403
    for path in (f"/otherwise/..{young}", f"/otherwise/%2e%2e{young}"):
        assert cache.get(origin.url(path)).status == 400
    origin.put("/otherwise/x", b"open")
    assert cache.get(origin.url("/otherwise/x")).body == b"open"


@pytest.mark.parametrize("above", [{"ecosystem": "generic"}, {"ecosystem": "apt", "block": ["other"]}])
def test_a_mirror_above_is_no_way_round(
    make_proxy: MakeProxy, origin: Origin, above: dict[str, Any]
) -> None:
    """It may be one of a whole server, of which another one has a part; its own rules are for the rest."""
    put_javascript(origin, "tiny", AGES)
    whole = {**above, "upstream": origin.url("/")}
    js = {"ecosystem": "npm", "upstream": origin.url("/js/"), "min_age": "7d"}
    cache = make_proxy(config={"mirrors": {"all": whole, "js": js}})
    young, there = archive("tiny", "2.1.0"), f"/all/~/http/{origin.host}:{origin.port}"
    for method in ("GET", "HEAD", "POST"):
        for target in (f"/all{young}", f"{there}{young}"):
            assert cache.get(target, method=method).status == 403, target
    for spelt in (f"/all//js{young[3:]}", f"/all/%6as{young[3:]}"):
        assert cache.get(spelt).status == 400
    assert b"2.1.0" not in cache.get("/all/js/tiny").body
    assert origin.count(young) == 0
    assert cache.get(f"/all{archive('tiny', '2.0.0')}").body == archive_of("tiny", "2.0.0")
    origin.put("/js.txt", b"open")
    assert cache.get("/all/js.txt").body == b"open"
    assert cache.get(f"{there}/pool/other_1_all.deb").status == (403 if "block" in above else 404)


@pytest.mark.parametrize("way", ["proxy", "prefix"])
def test_presets(make_proxy: MakeProxy, origin: Origin, way: str) -> None:
    """Rules of hosts that clients ask by themselves, without a mirror."""
    put_javascript(origin, "tiny", AGES)
    put_python(origin, "tiny", AGES)
    put_conda(origin, "tiny", AGES)
    put_module(origin, {f"v{version}": age for version, age in AGES.items()}, "v2.1.0")
    use = [
        {"ecosystem": ecosystem, "hosts": ["127.0.0.1"], "path": f"/{name}/", "min_age": "7d"}
        for name, ecosystem in (("py", "pypi"), ("js", "npm"), ("go", "go"), ("conda", "conda"))
    ]
    cache = make_proxy(config={"use": use})
    for ecosystem in ("py", "js", "go", "conda"):
        url, _ = file_of(origin, origin, ecosystem, "2.1.0")
        reply = asked(cache, way, url, "")
        assert (reply.status, b"and use.min_age of" in reply.body) == (403, True), reply
        assert asked(cache, way, file_of(origin, origin, ecosystem, "2.0.0")[0], "").status == 200
    assert asked(cache, way, origin.url(f"/go/{MODULE}/@v/list"), "").body == b"v1.0.0\nv2.0.0\n"
    given = ("--cache-dir", str(cache.cache_dir), "-c", str(cache.config_file))
    done = run("mirror", "allow", "use:npm", "tiny", "2.1.0", *given)
    assert done.status == 0, done.stderr
    url, _ = file_of(origin, origin, "js", "2.1.0")
    until(lambda: asked(cache, way, url, "").status == 200)
    done = run("mirror", "disallow", "use:npm", "tiny", "2.1.0", *given)
    assert done.status == 0, done.stderr
    until(lambda: asked(cache, way, url, "").status == 403)


def test_files_of_hosts_that_a_preset_names(make_proxy: MakeProxy, origin: Origin) -> None:
    """They are those of the mirror of the same ecosystem, whose documents name them."""
    with Origin() as elsewhere:
        body, told = wheel_of("far", "1.0"), []
        for version, age in (("1.0", 30), ("2.0", 1)):
            url = f"http://localhost:{elsewhere.port}/p/far-{version}-py3-none-any.whl"
            elsewhere.put(f"/p/far-{version}-py3-none-any.whl", body)
            told.append({"url": url, "hashes": {}, "upload-time": at(age)})
        page = json.dumps({"name": "far", "files": told}).encode()
        put_validated(origin, "/simple/far/", page, JSON)
        config = {
            "mirrors": {"py": {"ecosystem": "pypi", "upstream": origin.url("/"), "min_age": "7d"}},
            "use": [{"ecosystem": "pypi", "hosts": ["localhost"]}],
        }
        cache = make_proxy(config=config)
        assert cache.get(told[0]["url"]).body == body
        assert cache.get(told[1]["url"]).status == 403
        assert cache.get(f"http://localhost:{elsewhere.port}/help").status == 404
        assert elsewhere.count("/p/far-2.0-py3-none-any.whl") == 0


def test_by_interception(make_proxy: MakeProxy, certificate: Certificate, tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    CertificateAuthority.create(folder, time.time())
    with Origin(tls=certificate.server()) as origin:
        put_javascript(origin, "tiny", AGES)
        mirror = {"ecosystem": "npm", "upstream": origin.url("/js/"), "min_age": "7d"}
        cache = make_proxy(
            config={
                "mirrors": {"js": mirror},
                "connect": {"ports": [origin.port]},
                "intercept": {"hosts": ["*"], "ca": str(folder)},
                "fetch": {"ca_file": str(certificate.certificate)},
            }
        )
        trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        client = http.client.HTTPSConnection(*cache.address, timeout=20, context=trusted)
        client.set_tunnel(origin.host, origin.port)
        statuses = []
        for path in (archive("tiny", "2.1.0"), archive("tiny", "2.0.0"), "/js/tiny"):
            client.request("GET", path)
            answer = client.getresponse()
            body = answer.read()
            statuses.append(answer.status)
        client.close()
        assert statuses == [403, 200, 200]
        assert list(json.loads(body)["versions"]) == ["1.0.0", "2.0.0"]


def test_a_go_list_asks_little(cache: Proxy, origin: Origin) -> None:
    """For the newest of each minor version, until one is old enough."""
    ages: dict[str, float | None] = {f"v1.2.{n}": 400 - n for n in range(50)}
    ages |= {"v1.2.50": 2, "v1.3.0": 1, "v1.1.0": 500}
    put_module(origin, ages, "v1.3.0")
    listed = cache.get(f"/go/{MODULE}/@v/list").body.decode().split()
    assert sorted(listed) == sorted(version for version, age in ages.items() if (age or 0) > 7)
    assert len([one for one in origin.requests if one.target.endswith(".info")]) == 4
    assert json.loads(cache.get(f"/go/{MODULE}/@latest").body)["Version"] == "v1.2.49"


def test_a_go_branch_is_judged_by_what_it_means(cache: Proxy, origin: Origin) -> None:
    for name, age in (("main", 1), ("old", 30)):
        told = {"Version": f"v0.0.0-2024-{name}", "Time": at(age)}
        put_validated(origin, f"/go/{MODULE}/@v/{name}.info", json.dumps(told).encode())
    assert cache.get(f"/go/{MODULE}/@v/main.info").status == 403
    assert cache.get(f"/go/{MODULE}/@v/old.info").status == 200
    origin.put(f"/go/{MODULE}/@v/v9.0.0.info", b"", status=404)
    assert cache.get(f"/go/{MODULE}/@v/v9.0.0.zip").status == 404
    origin.put(f"/go/{MODULE}/@v/v9.1.0.info", b"", status=500)
    assert cache.get(f"/go/{MODULE}/@v/v9.1.0.zip").status == 502
    assert cache.get("/go/sumdb/sum.test/latest").status == 404


def test_shards_are_not_given(cache: Proxy, origin: Origin) -> None:
    """So that clients take repodata.json, which can be shown in part."""
    for path in ("repodata_shards.msgpack.zst", f"shards/{'0' * 64}.msgpack.zst", "repodata.jlap"):
        origin.put(f"/conda/noarch/{path}", b"x")
        reply = cache.get(f"/conda/noarch/{path}")
        assert (reply.status, b"repodata.json has those" in reply.body) == (404, True)
        assert origin.count(f"/conda/noarch/{path}") == 0
    origin.put("/conda/channeldata.json", b"{}")
    assert cache.get("/conda/channeldata.json").status == 200


def test_without_its_index_no_package_is_given(cache: Proxy, origin: Origin) -> None:
    file = "/conda/linux-64/tiny-2.0.0-0.tar.bz2"
    origin.put(file, b"x")
    assert cache.get(file).status == 404
    origin.put("/conda/linux-64/repodata.json.zst", b"", status=500)
    assert cache.get("/conda/osx-64/tiny-2.0.0-0.tar.bz2").status == 404
    origin.put("/conda/osx-arm64/repodata.json", b'{"packages": {')
    assert cache.get("/conda/osx-arm64/tiny-2.0.0-0.tar.bz2").status == 502
    origin.put("/rs/config.json", b"", status=500)
    assert cache.get("/rs/ti/ny/tiny").status in (500, 502)


@pytest.mark.parametrize(
    ("ecosystem", "block", "refused", "given"),
    [
        ("rubygems", "a-b==1.0", ["gems/a-b-1.0.gem", "gems/a-b-1.0-java.gem"], ["gems/a-b-1.1.gem"]),
        ("rubygems", "a-b", ["gems/a-b-1.1.gem", "info/a-b"], ["gems/a-1.1.gem", "info/a"]),
        ("maven", "g.h:a==1", ["g/h/a/1/a-1.jar", "g/h/a/1/a-1.pom.sha1"], ["g/h/a/2/a-2.jar"]),
        ("maven", "g.h:a", ["g/h/a/2/a-2.jar", "g/h/a/maven-metadata.xml"], ["h/a/2/a-2.jar"]),
        ("apt", "a==1.0-1", ["pool/a/a_1.0-1_amd64.deb", "pool/a/a_1.0-1.dsc"], ["pool/a/a_1.0-2_all.deb"]),
        ("apt", "libstdc++6==1:2", ["pool/libstdc++6_2_amd64.deb"], ["pool/libstdc++6_3_amd64.deb"]),
        ("dnf", "a-b==1.0", ["p/a-b-1.0-3.x86_64.rpm"], ["p/a-b-1.1-3.x86_64.rpm"]),
        ("dnf", "a-b==1.0-3", ["p/a-b-1.0-3.x86_64.rpm"], ["p/a-b-1.0-4.x86_64.rpm"]),
        ("apk", "a==1.0", ["main/x86_64/a-1.0-r3.apk"], ["main/x86_64/a-1.1-r3.apk"]),
        ("oci", "library/a==1", ["v2/library/a/manifests/1"], ["v2/library/a/manifests/2"]),
        (
            "oci",
            "library/a",
            ["v2/library/a/blobs/sha256:0", "v2/Library/a/tags/list"],
            ["v2/b/a/tags/list"],
        ),
        (
            "github",
            "o/n==v1",
            ["o/n/releases/download/v1/x.zip", "O/N/archive/refs/tags/v1.tar.gz"],
            ["o/n/releases/download/v2/x.zip"],
        ),
        ("github", "o/n", ["o/n/archive/main.zip", "repos/o/n/releases"], ["o/m/archive/main.zip"]),
        ("huggingface", "o/n==main", ["o/n/resolve/main/x"], ["o/n/resolve/v2/x"]),
        ("huggingface", "o/n", ["datasets/o/n/resolve/v2/x", "api/models/o/n"], ["api/models/o/m"]),
        ("go", "a.test/B", ["a.test/!b/@v/v1.0.0.mod", "a.test/%21b//@v/list"], ["a.test/c/@v/v1.0.0.mod"]),
        ("conda", "_a-b", ["noarch/_a-b-1-0.conda"], ["noarch/a-1-0.conda"]),
        ("cargo", "a-b", ["a_/b/a_b", "x"], []),
    ],
)
@pytest.mark.parametrize("way", ["mirror", "proxy"])
def test_block_lists_of_all_ecosystems(
    make_proxy: MakeProxy,
    origin: Origin,
    ecosystem: str,
    block: str,
    refused: list[str],
    given: list[str],
    way: str,
) -> None:
    for path in (*refused, *given):
        origin.put(f"/up/{path}", b"{}")
    origin.put("/up/noarch/repodata.json", b'{"packages": {}}')
    mirror = {"ecosystem": ecosystem, "upstream": origin.url("/up/"), "block": [block]}
    cache = make_proxy(config={"mirrors": {"m": mirror}})

    def status(path: str) -> int:
        return cache.get(f"/m/{path}" if way == "mirror" else origin.url(f"/up/{path}")).status

    if ecosystem == "cargo":
        assert [status(path) for path in refused] == [404, 404]
        return
    assert [status(path) for path in refused] == [403] * len(refused)
    assert [status(path) for path in given] == [200] * len(given)


def test_cargo(cache: Proxy, files: Origin, tmp_path: Path) -> None:
    require("cargo")

    def cargo(folder: Path, version: str, lock: str = "") -> Any:
        write(
            folder,
            {
                "Cargo.toml": '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2018"\n'
                f'[dependencies]\ntiny = "{version}"\n',
                "src/lib.rs": "",
                ".cargo/config.toml": '[source.crates-io]\nreplace-with = "mirror"\n'
                f'[source.mirror]\nregistry = "sparse+{cache.url}/rs/"\n[net]\nretry = 0\n',
                **({"Cargo.lock": lock} if lock else {}),
            },
        )
        return ran(["cargo", "fetch"], folder, CARGO_HOME=str(folder / "home"), RUSTUP_HOME=_RUST)

    done = cargo(tmp_path / "newest", "*")
    assert done.returncode == 0, words(done)
    assert unpacked(tmp_path / "newest") == ["tiny-2.0.0"]
    pinned = cargo(tmp_path / "pinned", "=2.1.0")
    assert (pinned.returncode != 0, "tiny" in pinned.stderr) == (True, True), words(pinned)
    lock = (tmp_path / "newest" / "Cargo.lock").read_text().replace("2.0.0", "2.1.0")
    lock = lock.replace(sha256(crate("tiny", "2.0.0")), sha256(crate("tiny", "2.1.0")))
    locked = cargo(tmp_path / "locked", "*", lock)
    assert unpacked(tmp_path / "locked") in ([], ["tiny-2.0.0"]), words(locked)
    assert files.count("/crates/tiny/tiny-2.1.0.crate") == 0


def test_go(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    require("go")

    def go(folder: Path, *command: str) -> Any:
        write(folder, {"go.mod": "module example.test/user\n\ngo 1.18\n"})
        own = {"GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local"}
        flags = {"GOFLAGS": "-modcacherw -mod=mod", "GONOSUMDB": "*", "GOPROXY": f"{cache.url}/go"}
        return ran(["go", *command], folder, **own, **flags)

    newest = go(tmp_path / "newest", "list", "-m", f"{NAME}@latest")
    assert newest.stdout == f"{NAME} v2.0.0\n" or "v2" in words(newest), words(newest)
    pinned = go(tmp_path / "pinned", "mod", "download", f"{NAME}@v2.1.0")
    assert (pinned.returncode != 0, "v2.1.0 is 1 d" in words(pinned)) == (True, True), words(pinned)
    assert origin.count(f"/go/{MODULE}/@v/v2.1.0.zip") == 0


@pytest.mark.parametrize("way", ["mirror", "prefix"])
def test_rattler(cache: Proxy, origin: Origin, tmp_path: Path, way: str) -> None:
    """It looks for shards first, and then takes the index of the platform."""
    channel = f"{cache.url}/conda" if way == "mirror" else f"{cache.url}/{origin.url('/conda')}"
    done = run_python("rattler", INSTALL, tmp_path, channel, "shards")
    assert done.stdout.split() == [f"{channel}/noarch/tiny-2.0.0-0.tar.bz2"], words(done)
    assert origin.count("/conda/noarch/tiny-2.1.0-0.tar.bz2") == 0


def test_pip_and_npm_by_proxy(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    proxy = ("--proxy", cache.url)
    done = pip(tmp_path / "newest", origin.url("/py/simple/"), *proxy, "tiny")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (tmp_path / "newest/got").glob("*.dist-info")] == ["tiny-2.0.0.dist-info"]
    young = origin.url(wheel("tiny", "2.1.0"))
    locked = pip(tmp_path / "locked", origin.url("/py/simple/"), *proxy, young)
    assert (locked.returncode != 0, "tiny 2.1.0 is 1 d" in locked.stderr) == (True, True), locked.stderr
    done = npm(tmp_path / "js", origin.url("/js/"), "install", "tiny", *proxy, "--noproxy=")
    assert done.returncode == 0, done.stderr
    got = json.loads((tmp_path / "js/node_modules/tiny/package.json").read_text())
    assert got["version"] == "2.0.0"
