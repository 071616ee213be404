"""What works without any rule, and what the log says of what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Origin

MakeProxy = Callable[..., Proxy]
PATH = "/crates/a/1.0.0/download"


@pytest.mark.parametrize("defaults", [True, False])
def test_what_never_changes_is_kept_without_a_rule(
    origin: Origin, make_proxy: MakeProxy, defaults: bool
) -> None:
    proxy = make_proxy(workers=1, config={} if defaults else {"defaults": False})
    origin.put(PATH, b"index")
    for fields in ([], [], [("Cache-Control", "max-age=0")], [("Cache-Control", "max-age=0")]):
        assert proxy.get(origin.url(PATH), fields).body == b"index"
    assert origin.count(PATH) == (1 if defaults else 4)


def test_a_third_partys_package_is_validated(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(workers=1)
    path = "/pool/a_1.0.deb"
    origin.put(path, b"old", etag='"1"')
    proxy.get(origin.url(path))
    origin.put(path, b"new", etag='"2"')
    assert proxy.get(origin.url(path)).body == b"new"


def test_the_log_says_once_how_to_keep_what_says_nothing(origin: Origin, make_proxy: MakeProxy) -> None:
    proxy = make_proxy(workers=1)
    for number in range(3):
        origin.put(f"/a/{number}", b"body")
        proxy.get(origin.url(f"/a/{number}"), [("X", str(number))])
    assert proxy.log().count("a rule with `fresh`") == 1
