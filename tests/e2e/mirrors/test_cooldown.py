"""Mirrors that do not give young or blocked releases: documents, files, real clients, allowances."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from commands import run
from harness import Proxy
from origin import Origin
from package_shelf import archive_of as packed
from package_shelf import integrity, npm, pip, ran, wheel_of
from waiting import until

MakeProxy = Callable[..., Proxy]
JSON = "application/vnd.pypi.simple.v1+json"
ABBREVIATED = "application/vnd.npm.install-v1+json"
DAY = 86400.0


@functools.cache
def archive_of(name: str, version: str) -> bytes:
    """The archive, which has the time when it was made, always the same."""
    return packed(name, version)


def ago(days: float) -> str:
    moment = datetime.fromtimestamp(time.time() - days * DAY, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def put_python(
    origin: Origin, name: str, ages: dict[str, float | None], read: int = 0, **options: str
) -> None:
    """The page of a package with wheels that are so many days old (None: it tells no time).

    `read` is how many seconds ago another cache has read it.
    """
    files = []
    for version, age in ages.items():
        stem = name.replace("-", "_")
        file, body = f"{stem}-{version}-py3-none-any.whl", wheel_of(stem, version)
        told = {"filename": file, "url": f"../../files/{file}", "hashes": {"sha256": digest(body)}}
        files.append(told if age is None else {**told, "upload-time": ago(age)})
        origin.put(f"/py/files/{file}", body, etag=f'"{version}"')
    page = {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": list(ages)}
    fields = [("Content-Type", JSON), ("Vary", "Accept"), ("Age", str(read))]
    origin.put(
        f"/py/simple/{name}/", json.dumps(page).encode(), headers=fields, **{"etag": '"p"', **options}
    )


def put_javascript(origin: Origin, name: str, ages: dict[str, float | None], **options: Any) -> None:
    """The document of a package with versions that are so many days old; the last one is the latest."""
    versions, times = {}, {"created": ago(1000), "modified": ago(0)}
    for version, age in ages.items():
        path, body = f"/js/{name}/-/{name.rpartition('/')[2]}-{version}.tgz", archive_of(name, version)
        origin.put(path, body, etag=f'"{version}"')
        dist = {"tarball": origin.url(path), "integrity": integrity(body)}
        versions[version] = {"name": name, "version": version, "dist": dist, "scripts": {"install": "true"}}
        if age is not None:
            times[version] = ago(age)
    latest = list(ages)[-1]
    document = {
        "name": name,
        "dist-tags": {"latest": latest, "old": next(iter(ages)), "next": latest},
        "versions": versions,
        "time": times,
        "readme": "x",
    }
    fields = [("Content-Type", "application/json")]
    text = json.dumps(document).encode()
    for place in (name, name.replace("/", "%2f")):
        origin.put(f"/js/{place}", text, headers=fields, **{"etag": '"d"', **options})


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    put_python(origin, "tiny", {"1.0": 400, "2.0": 30, "3.0": 1})
    put_python(origin, "ours-tool", {"1.0": 0.1})
    put_python(origin, "bad", {"1.0": 400})
    put_javascript(origin, "tiny", {"1.0.0": 400, "2.0.0": 30, "3.0.0": 1})
    put_javascript(origin, "@ours/tool", {"1.0.0": 0.1})
    put_javascript(origin, "bad", {"1.0.0": 400})
    rules: dict[str, Any] = {"min_age": "7d"}
    python = {"min_age_except": ["Ours_*"], "block": ["bad", "tiny==1.0.0"]}
    javascript = {"min_age_except": ["@ours/*"], "block": ["BAD", "tiny==1.0.0"]}
    return make_proxy(
        config={
            "mirrors": {
                "py": {"ecosystem": "pypi", "upstream": origin.url("/py/"), **rules, **python},
                "js": {"ecosystem": "npm", "upstream": origin.url("/js/"), **rules, **javascript},
            }
        }
    )


def page(cache: Proxy, path: str, accept: str = JSON) -> Any:
    reply = cache.get(path, [("Accept", accept)])
    assert (reply.status, reply.get("Content-Type")) == (200, accept)
    return json.loads(reply.body)


def wheel(name: str, version: str) -> str:
    return f"/py/files/{name}-{version}-py3-none-any.whl"


def archive(name: str, version: str) -> str:
    return f"/js/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"


def test_documents_lack_what_is_not_given(cache: Proxy) -> None:
    shown = page(cache, "/py/simple/tiny/")
    assert [file["url"] for file in shown["files"]] == [f"{cache.url}{wheel('tiny', '2.0')}"]
    assert shown["versions"] == ["2.0"]
    assert page(cache, "/py/simple/ours-tool/")["versions"] == ["1.0"]
    for accept in ("application/json", ABBREVIATED):
        package = page(cache, "/js/tiny", accept)
        assert list(package["versions"]) == ["2.0.0"]
        assert package["versions"]["2.0.0"]["dist"]["tarball"] == f"{cache.url}{archive('tiny', '2.0.0')}"
        assert package["dist-tags"] == {"latest": "2.0.0"}
        assert "1.0.0" not in package.get("time", {})
        assert ("scripts" in package["versions"]["2.0.0"]) == (accept != ABBREVIATED)
    assert list(page(cache, "/js/@ours%2ftool", ABBREVIATED)["versions"]) == ["1.0.0"]


@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/vnd.pypi.simple.v1+html"])
def test_a_page_in_html_is_made_of_that_in_json(cache: Proxy, accept: str) -> None:
    reply = cache.get("/py/simple/tiny/", [("Accept", accept)])
    body = digest(wheel_of("tiny", "2.0"))
    assert reply.get("Content-Type") == ("text/html" if accept == "*/*" else accept)
    assert f'href="{cache.url}{wheel("tiny", "2.0")}#sha256={body}"' in reply.body.decode()
    assert reply.body.count(b"<a ") == 1


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (wheel("tiny", "3.0"), "tiny 3.0 is 1 d"),
        (wheel("tiny", "1.0"), "tiny 1.0 is in mirrors.py.block"),
        (wheel("bad", "1.0"), "bad is in mirrors.py.block"),
        ("/py/simple/bad/", "bad is in mirrors.py.block"),
        ("/py/simple/BAD/", "bad is in mirrors.py.block"),
        (archive("tiny", "3.0.0"), "tiny 3.0.0 is 1 d"),
        (archive("tiny", "1.0.0"), "tiny 1.0.0 is in mirrors.js.block"),
        ("/js/bad", "bad is in mirrors.js.block"),
        (archive("bad", "1.0.0"), "bad is in mirrors.js.block"),
        # The same by other spellings.
        ("/js/tiny%2f-%2ftiny-3.0.0.tgz", "tiny 3.0.0 is 1 d"),
        ("/js/tiny%2F-/tiny-3.0.0.tgz", "tiny 3.0.0 is 1 d"),
        ("/js/tiny/-/tiny-3%2E0.0.tgz", "tiny 3.0.0 is 1 d"),
        ("/js/tiny/3.0.0", "tiny 3.0.0 is 1 d"),
        ("/py/files/tiny-3.0-py3-none-any%2Ewhl", "no document of tiny names"),
        ("/py/files/Tiny-3.0-py3-none-any.whl", "no document of tiny names"),
        ("/py/files/%74iny-3.0-py3-none-any.whl", "no document of tiny names"),
        ("/py/files//tiny-3.0-py3-none-any.whl", "no document of tiny names"),
        ("/py/files/tiny-3.0-py3-none-any.whl?x", "no document of tiny names"),
        ("/py/files/x", "no package is known of"),
        ("/js/tiny//-/tiny-3.0.0.tgz", "no document of tiny names"),
        ("/js/tiny/-/tiny-3.0.0.tgz?x=/-/tiny-2.0.0.tgz", "no document of tiny names"),
        ("/js/tiny/-/other-2.0.0.tgz", "no document of tiny names"),
        ("/js/tiny/nothing", "no document of tiny names"),
        ("/js/tiny/next", "tiny 3.0.0 is 1 d"),
        ("/js/bad/latest", "bad is in mirrors.js.block"),
        ("/py/pypi/tiny/3/json", "tiny 3.0 is 1 d"),
        ("/py/pypi/tiny/4.0/json", "no document of tiny names"),
        ("/py/pypi/bad/json", "bad is in mirrors.py.block"),
        ("/py/pypi/none/json", "no document of none"),
    ],
)
def test_files_are_refused_with_a_reason(cache: Proxy, origin: Origin, path: str, why: str) -> None:
    reply = cache.get(path)
    told = json.loads(reply.body)
    assert (reply.status, why in told["error"], told["error"] == told["detail"]) == (
        404 if why.startswith("no ") else 403,
        True,
        True,
    ), told
    assert [one.target for one in origin.requests if one.target.endswith((".whl", ".tgz"))] == []


def test_files_that_are_old_enough_are_given_once_and_again(cache: Proxy, origin: Origin) -> None:
    for _ in range(3):
        assert cache.get(wheel("tiny", "2.0")).body == wheel_of("tiny", "2.0")
        assert cache.get(archive("tiny", "2.0.0")).body == archive_of("tiny", "2.0.0")
    assert cache.get(wheel("ours_tool", "1.0")).status == 200
    assert cache.get(archive("@ours/tool", "1.0.0")).status == 200
    assert origin.count(wheel("tiny", "2.0")) == origin.count(archive("tiny", "2.0.0")) == 1
    assert origin.count("/py/simple/tiny/") == origin.count("/js/tiny") == 1


def test_a_release_that_came_after_its_document_was_stored(cache: Proxy, origin: Origin) -> None:
    """Who has its file in a lock file gets it, though the document is fresh for those who look for one."""
    put_python(origin, "new", {"1.0": 400}, read=100, etag='"1"')
    assert page(cache, "/py/simple/new/")["versions"] == ["1.0"]
    put_python(origin, "new", {"1.0": 400, "2.0": 300}, read=100, etag='"2"')
    assert page(cache, "/py/simple/new/")["versions"] == ["1.0"]
    assert cache.get(wheel("new", "2.0")).body == wheel_of("new", "2.0")
    # Not each request for what is not there asks for the document anew.
    put_python(origin, "new", {"1.0": 400, "2.0": 300, "3.0": 200}, etag='"3"')
    asked = origin.count("/py/simple/new/")
    for _ in range(3):
        assert cache.get(wheel("new", "4.0")).status == 404
    assert origin.count("/py/simple/new/") == asked + 1


def test_an_index_that_is_its_own_upstream(make_proxy: MakeProxy, origin: Origin) -> None:
    """Its pages are not below simple/."""
    files = {version: f"/whl/tiny-{version}-py3-none-any.whl" for version in ("1.0", "2.0")}
    text = "".join(f'<a href="{path}">x</a>' for path in files.values())
    origin.put("/whl/tiny/", text.encode(), headers=[("Content-Type", "text/html")], etag='"1"')
    for version, path in files.items():
        origin.put(path, wheel_of("tiny", version))
    mirror = {"ecosystem": "pypi", "upstream": origin.url("/whl"), "block": ["tiny==1.0"]}
    cache = make_proxy(config={"mirrors": {"flat": mirror}})
    for _ in range(2):
        shown = cache.get("/flat/tiny/").body
        assert (b"tiny-1.0" in shown, b"tiny-2.0" in shown) == (False, True)
        assert cache.get("/flat/tiny-2.0-py3-none-any.whl").body == wheel_of("tiny", "2.0")
        assert cache.get("/flat/tiny-1.0-py3-none-any.whl").status == 403
    assert cache.get("/flat/other-1.0-py3-none-any.whl").status == 404
    assert origin.count("/whl/tiny/") == origin.count("/whl/simple/tiny/") == 1


def told_of(origin: Origin, *versions: str) -> dict[str, Any]:
    """What an index says of the last of these versions of tiny, and of the files of all."""
    files = {
        version: [{"url": origin.url(wheel("tiny", version)), "packagetype": "bdist_wheel"}]
        for version in versions
    }
    info = {"name": "tiny", "version": versions[-1]}
    return {"info": info, "releases": files, "urls": files[versions[-1]], "vulnerabilities": []}


@pytest.mark.parametrize("way", ["mirror", "proxy"])
def test_documents_about_one_release(cache: Proxy, origin: Origin, way: str) -> None:
    """They are those of the newest that is given, as the upstream has it."""
    for path, versions in (
        ("/py/pypi/tiny/json", ("1.0", "2.0", "3.0")),
        ("/py/pypi/tiny/2.0/json", ("1.0", "2.0")),
    ):
        text = json.dumps(told_of(origin, *versions)).encode()
        origin.put(path, text, headers=[("Content-Type", "application/json")], etag=f'"{path}"')

    def shown(path: str, *fields: tuple[str, str]) -> Any:
        return cache.get(path if way == "mirror" else origin.url(path), fields)

    def place(path: str) -> str:
        return cache.url + path if way == "mirror" else origin.url(path)

    for path in ("/py/pypi/tiny/json", "/py/pypi/Tiny/2.0.0/json"):
        reply = shown(path)
        told = json.loads(reply.body)
        wanted = {"url": place(wheel("tiny", "2.0")), "packagetype": "bdist_wheel"}
        assert (told["info"]["version"], told["urls"]) == ("2.0", [wanted])
        assert told["releases"] == {"2.0": [wanted]}
        assert shown(path, ("If-None-Match", reply.get("ETag"))).status == 304
    for path, version in (("/js/tiny/latest", "2.0.0"), ("/js/tiny/2.0.0", "2.0.0")):
        told = json.loads(shown(path).body)
        assert (told["name"], told["version"]) == ("tiny", version)
        assert told["dist"]["tarball"] == place(archive("tiny", version))
    assert json.loads(shown("/js/@ours%2ftool/latest").body)["version"] == "1.0.0"


def test_the_document_about_the_newest_is_the_upstreams_own(cache: Proxy, origin: Origin) -> None:
    put_python(origin, "tiny", {"2.0": 30, "2.1rc1": 20})
    text = json.dumps({**told_of(origin, "1.0", "2.0"), "last_serial": 5}).encode()
    origin.put("/py/pypi/tiny/json", text, headers=[("Content-Type", "application/json")])
    told = json.loads(cache.get("/py/pypi/tiny/json").body)
    assert (told["info"]["version"], list(told["releases"]), told["last_serial"]) == ("2.0", ["2.0"], 5)


def test_tags_of_views(cache: Proxy, origin: Origin) -> None:
    first = cache.get("/js/tiny", [("Accept", ABBREVIATED)])
    tag = first.get("ETag") or ""
    assert tag not in ("", '"d"')
    again = cache.get("/js/tiny", [("Accept", ABBREVIATED), ("If-None-Match", tag)])
    assert (again.status, again.body, again.get("ETag")) == (304, b"", tag)
    for other in ('"d"', '"d~00000000"'):
        fields = [("Accept", ABBREVIATED), ("If-None-Match", other)]
        assert cache.get("/js/tiny", fields).status == 200
    assert cache.get("/js/tiny", [("If-None-Match", tag)]).status == 200
    head = cache.get("/js/tiny", [("Accept", ABBREVIATED)], method="HEAD")
    assert (head.status, head.body, head.get("ETag")) == (200, b"", tag)


def test_what_tells_no_age_or_a_wrong_one(make_proxy: MakeProxy, origin: Origin) -> None:
    ages = {"1.0": None, "2.0": -400, "3.0": 60 * 365.0, "4.0": 30}
    put_python(origin, "odd", ages)
    put_javascript(origin, "odd", {f"{version}.0": age for version, age in ages.items()})
    origin.put(
        "/py/simple/html/",
        b'<a href="../../files/html-1.0.zip">x</a>',
        headers=[("Content-Type", "text/html")],
    )
    mirrors = {
        name: {"ecosystem": ecosystem, "upstream": origin.url(f"/{name}/"), "min_age": "7d"}
        for name, ecosystem in (("py", "pypi"), ("js", "npm"))
    }
    cache = make_proxy(config={"mirrors": mirrors})
    assert page(cache, "/py/simple/odd/")["versions"] == ["4.0"]
    assert list(page(cache, "/js/odd", ABBREVIATED)["versions"]) == ["4.0.0"]
    for path in (wheel("odd", "1.0"), wheel("odd", "3.0"), archive("odd", "1.0.0")):
        reply = cache.get(path)
        assert (reply.status, b"does not tell the age" in reply.body) == (403, True)
    reply = cache.get("/py/simple/html/")
    assert (reply.status, b"nothing of html is shown" in reply.body) == (403, True)


def test_a_document_that_names_what_is_not_its_own(cache: Proxy, origin: Origin) -> None:
    stolen = {"filename": "tiny-3.0-py3-none-any.whl", "url": "../../files/tiny-3.0-py3-none-any.whl"}
    files = [{**stolen, "hashes": {}, "upload-time": ago(400)}]
    put_python(origin, "evil", {"1.0": 400})
    document = {"name": "evil", "files": files}
    origin.put("/py/simple/evil/", json.dumps(document).encode(), headers=[("Content-Type", JSON)])
    reply = cache.get("/py/simple/evil/", [("Accept", JSON)])
    assert (reply.status, b"does not belong to it" in reply.body) == (403, True)
    assert cache.get(wheel("tiny", "3.0")).status == 403


@pytest.mark.parametrize("upward", ["../", "%2e%2E/", "..%2f", "..;/", "..%5C"])
@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_no_way_round_by_paths_that_are_open(
    cache: Proxy, origin: Origin, upward: str, is_elsewhere: bool
) -> None:
    """Searches (/-/) are open to all, and origins read what leads out of them in their own ways."""
    path = f"-/{upward}tiny/-/tiny-3.0.0.tgz"
    origin.put(f"/js/{path}", b"young")
    place = f"/js/~/http/{origin.host}:{origin.port}/js" if is_elsewhere else "/js"
    assert cache.get(f"{place}/{path}").status == 400
    assert origin.count(f"/js/{path}") == 0


def test_files_elsewhere(make_proxy: MakeProxy, origin: Origin) -> None:
    with Origin() as files:
        body = wheel_of("far", "1.0")
        told = []
        for version, age in (("1.0", 30), ("2.0", 1)):
            url = files.url(f"/p/far-{version}-py3-none-any.whl")
            files.put(f"/p/far-{version}-py3-none-any.whl", body)
            files.put(f"/p/far-{version}-py3-none-any.whl.metadata", b"m")
            told.append({"url": url, "hashes": {}, "upload-time": ago(age), "core-metadata": True})
        files.put("/q/far-1.0-py3-none-any.whl", b"another")
        fields = [("Content-Type", JSON)]
        origin.put("/simple/far/", json.dumps({"name": "far", "files": told}).encode(), headers=fields)
        mirror = {"ecosystem": "pypi", "upstream": origin.url("/"), "min_age": "7d"}
        cache = make_proxy(config={"mirrors": {"py": mirror}})
        place = f"/py/~/http/{files.host}:{files.port}"
        assert cache.get(f"{place}/p/far-1.0-py3-none-any.whl").body == body
        assert cache.get(f"{place}/p/far-1.0-py3-none-any.whl.metadata").body == b"m"
        assert cache.get(f"{place}/p/far-2.0-py3-none-any.whl").status == 403
        assert cache.get(f"{place}/p/far-2.0-py3-none-any.whl.metadata").status == 403
        assert cache.get(f"{place}/q/far-1.0-py3-none-any.whl").status == 404


def test_without_its_document_no_file_is_given(cache: Proxy, origin: Origin) -> None:
    put_python(origin, "lost", {"1.0": 400})
    origin.put("/py/simple/lost/", b"", status=503)
    reply = cache.get(wheel("lost", "1.0"))
    assert (reply.status, b"the document of lost cannot be had" in reply.body) == (503, True)
    assert origin.count(wheel("lost", "1.0")) == 0
    origin.put("/js/lost", b'{"versions": [}', headers=[("Content-Type", "application/json")])
    assert cache.get("/js/lost").status == 502
    assert cache.get(archive("lost", "1.0.0")).status == 502


def test_allowances(cache: Proxy, origin: Origin) -> None:
    given = ("--cache-dir", str(cache.cache_dir), "-c", str(cache.config_file))
    assert cache.get(wheel("tiny", "3.0")).status == 403
    done = run("mirror", "allow", "py", "Tiny", "3.0.0", *given)
    assert (done.status, done.stdout) == (0, "py lets tiny 3 through at any age\n"), done.stderr
    until(lambda: cache.get(wheel("tiny", "3.0")).status == 200)
    assert page(cache, "/py/simple/tiny/")["versions"] == ["2.0", "3.0"]
    assert cache.get(archive("tiny", "3.0.0")).status == 403
    done = run("mirror", "allowed", "--json", *given)
    assert json.loads(done.stdout) == [{"mirror": "py", "package": "tiny", "version": "3"}]
    for arguments, status in (
        (("allow", "py", "bad", "1.0"), 1),
        (("allow", "no", "tiny", "3.0"), 2),
        (("allow", "py", "tiny", ""), 2),
        (("allow", "py", "a tiny one", "3.0"), 2),
        (("disallow", "py", "tiny", "2.0"), 1),
        (("disallow", "py", "tiny", "3.0"), 0),
    ):
        done = run("mirror", *arguments, *given)
        assert done.status == status, done.stderr
    until(lambda: cache.get(wheel("tiny", "3.0")).status == 403)


@pytest.mark.parametrize("rest", [{}, {"py": {"ecosystem": "pypi", "upstream": "http://x.test/"}}])
def test_what_is_allowed_is_taken_back_without_its_mirror(
    cache: Proxy, tmp_path: Path, rest: dict[str, Any]
) -> None:
    """Or where the mirror has no rules any more."""
    given = ("--cache-dir", str(cache.cache_dir), "-c")
    assert run("mirror", "allow", "py", "Tiny", "3.0.0", *given, str(cache.config_file)).status == 0
    later = tmp_path / "later.yaml"
    later.write_text(json.dumps({"mirrors": rest}))
    for arguments, status in (
        (("allow", "py", "tiny", "3.0"), 1 if rest else 2),
        (("disallow", "py", "tiny", "2.0"), 1),
        (("disallow", "other", "tiny", "3.0"), 1),
        (("disallow", "py", "Tiny", "3.0.0"), 0),
        (("disallow", "py", "Tiny", "3.0.0"), 1),
    ):
        done = run("mirror", *arguments, *given, str(later))
        assert done.status == status, done.stderr
    assert run("mirror", "allowed", "--json", *given, str(later)).stdout.strip() == "[]"


def test_pip(cache: Proxy, tmp_path: Path) -> None:
    index = f"{cache.url}/py/simple/"
    done = pip(tmp_path / "newest", index, "tiny")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (tmp_path / "newest/got").glob("*.dist-info")] == ["tiny-2.0.dist-info"]
    locked = pip(tmp_path / "locked", index, f"{cache.url}{wheel('tiny', '3.0')}")
    assert locked.returncode != 0
    assert "tiny 3.0 is 1 d" in locked.stderr
    assert "pyproxycache mirror allow py tiny 3.0" in locked.stderr


def test_uv(cache: Proxy, tmp_path: Path) -> None:
    uv = shutil.which("uv") or shutil.which(str(Path(sys.prefix) / "clients" / "python" / "bin" / "uv"))
    if uv is None:
        pytest.skip("uv is not installed: make clients")
    options = ["--no-cache", "--no-config", "--python", sys.executable, "--target", "got"]
    install = [uv, "pip", "install", "--default-index", f"{cache.url}/py/simple/", *options]
    done = ran([*install, "tiny"], tmp_path / "newest")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (tmp_path / "newest/got").glob("*.dist-info")] == ["tiny-2.0.dist-info"]
    pinned = ran([*install, "tiny==3.0"], tmp_path / "pinned")
    assert (pinned.returncode, "there is no version of tiny==3.0" in pinned.stderr) == (1, True)
    locked = ran([*install, f"tiny @ {cache.url}{wheel('tiny', '3.0')}"], tmp_path / "locked")
    assert locked.returncode != 0
    assert "tiny 3.0 is 1 d" in locked.stderr


def test_npm(cache: Proxy, tmp_path: Path) -> None:
    registry = f"{cache.url}/js/"
    done = npm(tmp_path / "newest", registry, "install", "tiny")
    assert done.returncode == 0, done.stderr
    got = json.loads((tmp_path / "newest/node_modules/tiny/package.json").read_text())
    assert got["version"] == "2.0.0"
    version, body = "3.0.0", archive_of("tiny", "3.0.0")
    resolved = f"{cache.url}{archive('tiny', version)}"
    lock = {
        "name": "user",
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "user", "dependencies": {"tiny": version}},
            "node_modules/tiny": {"version": version, "resolved": resolved, "integrity": integrity(body)},
        },
    }
    files = {"package.json": {"name": "user", "dependencies": {"tiny": version}}, "package-lock.json": lock}
    locked = npm(tmp_path / "locked", registry, "ci", files=files)
    assert locked.returncode != 0
    assert "tiny 3.0.0 is 1 d" in locked.stderr


def test_documents_are_asked_for_with_the_upstreams_own_credentials(
    make_proxy: MakeProxy, origin: Origin, tmp_path: Path
) -> None:
    put_javascript(origin, "tiny", {"1.0.0": 30})
    secret = tmp_path / "secret"
    secret.write_text("me:s3cret")
    secret.chmod(0o600)
    upstream = {"url": origin.url("/js/"), "credentials": str(secret)}
    mirror = {"ecosystem": "npm", "upstream": [upstream], "min_age": "7d"}
    cache = make_proxy(config={"mirrors": {"js": mirror}})
    place = f"/js/~/http/{origin.host}:{origin.port}"
    assert cache.get(archive("tiny", "1.0.0")).status == 200
    assert {one.get("Authorization") for one in origin.requests} == {"Basic bWU6czNjcmV0"}
    assert cache.get(f"{place}/tiny/-/tiny-1.0.0.tgz", [("Authorization", "Bearer x")]).status == 404
    assert {one.get("Authorization") for one in origin.requests} == {"Basic bWU6czNjcmV0"}


def test_many_at_once(cache: Proxy, origin: Origin) -> None:
    paths = [wheel("tiny", "2.0"), archive("tiny", "2.0.0"), wheel("tiny", "3.0"), "/js/tiny"] * 10
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda path: cache.get(path).status, paths))
    assert statuses == [200, 200, 403, 200] * 10
    assert origin.count(wheel("tiny", "2.0")) == origin.count(archive("tiny", "2.0.0")) == 1
    assert origin.count("/py/simple/tiny/") == origin.count("/js/tiny") == 1


def test_offline(make_proxy: MakeProxy, origin: Origin) -> None:
    """What is stored is given by the documents that are stored, whatever their age."""
    put_javascript(origin, "tiny", {"1.0.0": 30, "2.0.0": 1}, cache_control="max-age=0")
    mirrors = {"js": {"ecosystem": "npm", "upstream": origin.url("/js/"), "min_age": "7d"}}
    first = make_proxy(config={"mirrors": mirrors})
    assert first.get(archive("tiny", "1.0.0")).status == 200
    first.terminate()
    offline = {"mirrors": mirrors, "fetch": {"offline": True}}
    cache = make_proxy(config=offline, cache_dir=first.cache_dir)
    assert cache.get(archive("tiny", "1.0.0")).body == archive_of("tiny", "1.0.0")
    assert cache.get(archive("tiny", "2.0.0")).status == 403
    assert list(page(cache, "/js/tiny", ABBREVIATED)["versions"]) == ["1.0.0"]
