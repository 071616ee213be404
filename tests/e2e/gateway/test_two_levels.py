"""The two levels of a route: a hit from a worker's memory is checked against the store by its version."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from harness import Proxy
from origin import Origin
from raw import Conversation

ASKED = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"


def test_memory_knows_the_version_without_the_value(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    """Values are gone from the store and hits go on; one purge, and no worker has an old answer."""
    old, new = b"o" * 20_000, b"n" * 20_000  # more than the index has itself, and less than memory keeps
    origin.put("/x", old)
    routes = {"/": {"upstream": origin.url("/"), "cache": {"ttl": "1h", "key": {"headers": []}}}}
    proxy = make_proxy(config={"routes": routes}, workers=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(Conversation(proxy.address)) for _ in range(20)]
        for client in clients * 3:
            assert client.send(ASKED).reply().body == old
        (value,) = [found for found in (proxy.cache_dir / "blobs").rglob("*") if found.is_file()]
        value.unlink()
        for client in clients:
            assert client.send(ASKED).reply().body == old
        origin.put("/x", new)
        assert proxy.get("/x", method="PURGE").status == 200
        for client in clients:
            assert client.send(ASKED).reply().body == new
    assert origin.count("/x") == 2
