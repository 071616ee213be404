"""Five hundred clients install the same packages from mirrors, all at once and on two workers."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Origin

CLIENTS = 500
PACKAGES = [f"p{number}" for number in range(6)]
PAGE = "application/vnd.pypi.simple.v1+json"

MakeProxy = Callable[..., Proxy]


def content(package: str, kind: str) -> bytes:
    return random.Random(f"{package} {kind}").randbytes(40_000)


def put_all(origin: Origin) -> list[str]:
    """A wheel and an archive of each package, with what names them; gives all paths."""
    for package in PACKAGES:
        wheel, archive = content(package, "wheel"), content(package, "archive")
        name = f"{package}-1.0-py3-none-any.whl"
        file = {"filename": name, "url": f"../../files/{name}", "hashes": {"sha256": sha256(wheel)}}
        page = json.dumps({"name": package, "files": [file]}).encode()
        origin.put(
            f"/simple/{package}/", page, headers=[("Content-Type", PAGE)], etag='"p"', head_delay=0.2
        )
        origin.put(f"/files/{name}", wheel, etag='"w"', head_delay=0.2)
        path = f"/npm/{package}/-/{package}-1.0.0.tgz"
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(archive).digest()).decode()}"
        version = {"name": package, "dist": {"tarball": origin.url(path), "integrity": integrity}}
        document = json.dumps({"name": package, "versions": {"1.0.0": version}}).encode()
        fields = [("Content-Type", "application/json")]
        origin.put(f"/npm/{package}", document, headers=fields, etag='"d"', head_delay=0.2)
        origin.put(path, archive, etag='"a"', head_delay=0.2)
    return [
        path
        for one in PACKAGES
        for path in (
            f"/simple/{one}/",
            f"/files/{one}-1.0-py3-none-any.whl",
            f"/npm/{one}",
            f"/npm/{one}/-/{one}-1.0.0.tgz",
        )
    ]


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def installed(cache: Proxy, package: str, kind: str) -> str:
    """What becomes of one package: the index is read, and then the file that it names."""
    if kind == "wheel":
        page = cache.get(f"/pypi/simple/{package}/", [("Accept", PAGE)], timeout=120.0)
        url = json.loads(page.body)["files"][0]["url"] if page.complete else ""
    else:
        page = cache.get(f"/npm/{package}", timeout=120.0)
        url = json.loads(page.body)["versions"]["1.0.0"]["dist"]["tarball"] if page.complete else ""
    if not url.startswith(f"{cache.url}/"):
        return f"index: {page.status} {page.error} {url}"
    file = cache.get(url.removeprefix(cache.url), timeout=120.0)
    return "good" if file.body == content(package, kind) else f"file: {file.status} {file.error}"


@pytest.mark.timeout(400)
def test_each_file_is_fetched_once(origin_process: Origin, make_proxy: MakeProxy) -> None:
    paths = put_all(origin_process)
    mirrors = {
        "pypi": {"ecosystem": "pypi", "upstream": origin_process.url("/")},
        "npm": {"ecosystem": "npm", "upstream": origin_process.url("/npm/")},
    }
    cache = make_proxy(workers=2, threads=100, config={"mirrors": mirrors})
    became: Counter[str] = Counter()
    lock, begin = threading.Lock(), threading.Barrier(CLIENTS)

    def client(number: int) -> None:
        order = [(package, kind) for package in PACKAGES for kind in ("wheel", "archive")]
        random.Random(number // 100).shuffle(order)  # a hundred want the same one at a time
        begin.wait()
        for package, kind in order:
            try:
                what = installed(cache, package, kind)
            except (OSError, ValueError) as error:
                what = f"{type(error).__name__}: {error}"
            with lock:
                became[what] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert became == {"good": CLIENTS * len(PACKAGES) * 2}
    assert {path: origin_process.count(path) for path in paths} == dict.fromkeys(paths, 1)
