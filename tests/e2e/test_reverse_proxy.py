"""`serve --upstream`: one origin, whatever way the client writes it."""

from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Origin
from raw import Conversation, request


@pytest.fixture
def reverse(make_proxy: Callable[..., Proxy], origin: Origin) -> Proxy:
    for path in ("/", "/page", "/api/v1/health/"):
        origin.put(path, f"origin's {path}".encode(), cache_control="max-age=60")
    return make_proxy(arguments=["--upstream", origin.url()])


def test_paths_are_the_origins(reverse: Proxy, origin: Origin) -> None:
    for _ in range(2):
        for path in ("/", "/page", "/api/v1/health/"):
            assert reverse.get(path).body == f"origin's {path}".encode()
    assert len(origin.requests) == 3
    assert {asked.get("Host") for asked in origin.requests} == {f"127.0.0.1:{origin.port}"}
    assert f"origin: {origin.url()}" in reverse.log()


def test_prefix_is_no_way_in(reverse: Proxy, origin: Origin) -> None:
    reverse.get("/http://other.example/x")
    assert origin.requests[0].target == "/http://other.example/x"


def test_query_and_encoding_stay(reverse: Proxy, origin: Origin) -> None:
    reverse.get("/page?a=%2F&b#part")
    assert origin.requests[0].target == "/page?a=%2F&b"


def test_absolute_form_changes_nothing(reverse: Proxy, origin: Origin) -> None:
    with Conversation(reverse.address) as client:
        client.send(request("GET http://other.example/page", "Host: other.example"))
        assert client.reply().body == b"origin's /page"
    assert origin.requests[0].get("Host") == f"127.0.0.1:{origin.port}"


def test_other_methods_pass(reverse: Proxy, origin: Origin) -> None:
    assert reverse.get("/page", method="POST", body=b"form").body == b"origin's /page"
    assert origin.requests[0].body == b"form"
    with Conversation(reverse.address) as client:
        assert client.send(request("OPTIONS *")).reply().status == 200


def test_origin_with_a_path(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/files/page", b"below", cache_control="max-age=60")
    origin.put("/secret", b"above")
    proxy = make_proxy(arguments=["--upstream", origin.url("/files/")])
    assert proxy.get("/page").body == b"below"
    for path in ("/../secret", "/x/../../secret", "/..", "/%2e%2E/secret", "/..%2fx", "/x%2F../secret"):
        assert proxy.get(path).status == 400
    assert proxy.get("/page?/../secret").body == b"below"
    assert [asked.path for asked in origin.requests] == ["/files/page", "/files/page"]


def test_origin_that_is_the_proxy_itself(make_proxy: Callable[..., Proxy]) -> None:
    first = make_proxy()
    netloc = first.netloc
    first.terminate()
    first.command += ["--upstream", f"http://{netloc}/"]
    first.start()
    assert first.get("/x").status == 508
