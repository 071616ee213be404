"""`serve --offline`: mirrors show what is stored at any age, and say what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness import Proxy
from origin import Origin
from package_shelf import PackageShelf, npm, pip

MakeProxy = Callable[..., Proxy]


def test_clients_install_what_is_stored(origin: Origin, make_proxy: MakeProxy, tmp_path: Path) -> None:
    shelf = PackageShelf(origin)
    shelf.put_wheels("tiny", "1.0")
    shelf.put_wheels("other", "1.0")
    shelf.put_archive("small", "1.0.0")
    cache = make_proxy(workers=2, config={"mirrors": shelf.mirrors})
    for time in ("online", "offline"):
        done = pip(tmp_path / time / "pip", f"{cache.url}/py/simple/", "tiny")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / time / "pip" / "got" / "tiny.py").exists()
        done = npm(tmp_path / time / "npm", f"{cache.url}/js/", "install", "small")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / time / "npm" / "node_modules" / "small" / "package.json").exists()
        if time == "online":
            cache.command += ["--offline"]
            cache.restart()
            origin.stop()
    assert "offline: what is stored answers at any age" in cache.log()
    for path in ("/py/simple/other/", "/js/left-pad", "/py/files/other-1.0-py3-none-any.whl"):
        missing = cache.get(path)
        assert missing.status == 504
        assert f"{origin.url(path)} is not stored, and this cache is offline" in missing.body.decode()
    assert pip(tmp_path / "missing", f"{cache.url}/py/simple/", "other").returncode != 0
