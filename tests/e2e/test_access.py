"""Who may ask, and for what: clients of this machine and from elsewhere, and requests that come back."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Proxy, Reply, fetch
from namespaces import HERE, HERE6, INSIDE, NETWORK, NETWORK6, Elsewhere, elsewhere
from origin import Origin
from raw import Conversation, request

ALLOW = ["127.0.0.0/8", "::1/128", NETWORK, NETWORK6]


@pytest.fixture(scope="module")
def outside() -> Iterator[Elsewhere]:
    with elsewhere() as host:
        yield host


@pytest.fixture(scope="module")
def inner() -> Iterator[Origin]:
    """An origin on loopback."""
    with Origin() as running:
        running.put("/secret", b"inner", cache_control="max-age=60")
        running.put("/slow", b"x" * 100_000, cache_control="max-age=60")
        yield running


@pytest.fixture(scope="module")
def outer(outside: Elsewhere) -> Iterator[Origin]:
    """An origin that is not on loopback."""
    with Origin(HERE) as running:
        running.put("/page", b"outer", cache_control="max-age=60")
        yield running


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, outside: Elsewhere) -> Iterator[Proxy]:
    """A proxy on every address, IPv4 and IPv6, that answers the network of `outside`."""
    folder = tmp_path_factory.mktemp("access")
    with Proxy(folder, host="::", workers=2, config={"allow": ALLOW}) as running:
        yield running


@pytest.fixture(scope="module")
def ask(outside: Elsewhere, cache: Proxy) -> Callable[..., Reply]:
    """A request from elsewhere, over IPv4 unless said otherwise."""

    def asking(url: str, host: str = HERE) -> Reply:
        return outside.call(fetch, (host, cache.address[1]), url)

    return asking


# Who may ask.


def test_only_loopback_is_answered_unless_told_otherwise(
    tmp_path_factory: pytest.TempPathFactory, outside: Elsewhere, inner: Origin
) -> None:
    with Proxy(tmp_path_factory.mktemp("closed"), host="::") as proxy:
        for host in (HERE, HERE6):
            for target in (inner.url("/secret"), "/api/v1/health/", "/"):
                reply = outside.call(fetch, (host, proxy.address[1]), target)
                assert reply.status == 403
                assert b"allow" in reply.body
        for host in ("127.0.0.1", "::1"):
            assert fetch((host, proxy.address[1]), inner.url("/secret")).body == b"inner"


def test_loopback_is_no_exception_where_it_is_not_allowed(
    make_proxy: Callable[..., Proxy], inner: Origin
) -> None:
    proxy = make_proxy(config={"allow": "192.0.2.0/24"})
    assert proxy.get(inner.url("/secret")).status == 403


def test_a_client_is_named_by_the_address_that_allow_takes(tmp_path: Path, inner: Origin) -> None:
    """On a socket for both, an IPv4 client has an IPv6 address."""
    config = {"allow": "192.0.2.0/24", "log": {"access": str(tmp_path / "log")}}
    with Proxy(tmp_path / "proxy", host="::", config=config) as proxy:
        reply = fetch(("127.0.0.1", proxy.address[1]), inner.url("/secret"))
        assert reply.body.startswith(b"127.0.0.1 is not among the networks")
        proxy.terminate()
    assert (tmp_path / "log").read_text().split()[2] == "127.0.0.1"


@pytest.mark.parametrize("host", [HERE, HERE6])
def test_allowed_network_is_answered(ask: Callable[..., Reply], outer: Origin, host: str) -> None:
    assert ask(outer.url("/page"), host).body == b"outer"


# For what.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.255.0.9",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ],
)
@pytest.mark.parametrize("way", ["{url}", "/{url}", "/api/v1/fetch/?url={url}"])
def test_loopback_behind_the_proxy_is_not_reached_from_elsewhere(
    ask: Callable[..., Reply], inner: Origin, host: str, way: str
) -> None:
    inner.forget()
    reply = ask(way.format(url=f"http://{host}:{inner.port}/secret"))
    assert reply.status == 403
    assert b"guard" in reply.body
    assert inner.requests == []


@pytest.mark.parametrize("stored", [False, True])
def test_no_redirect_leads_inward(
    cache: Proxy, ask: Callable[..., Reply], inner: Origin, outer: Origin, stored: bool
) -> None:
    """Each step of those that the cache follows for KissCache's clients is judged, as are their own."""
    path = f"/secret?{stored}"
    inner.put(path, b"inner", cache_control="max-age=60")
    if stored:
        cache.get(inner.url(path))
    inner.forget()
    outer.put("/lure", status=302, headers=[("Location", inner.url(path))])
    reply = ask(f"/api/v1/fetch/?url={outer.url('/lure')}")
    assert (reply.status, b"guard" in reply.body) == (403, True)
    location = ask(f"/{outer.url('/lure')}").get("Location")
    assert location == f"/{inner.url(path)}"
    assert ask(location).status == 403
    assert inner.requests == []
    assert cache.get(f"/api/v1/fetch/?url={outer.url('/lure')}").body == b"inner"


def test_purge_is_for_this_machine_unless_told_otherwise(
    cache: Proxy, outside: Elsewhere, outer: Origin
) -> None:
    def purge(host: str) -> int:
        return fetch((host, cache.address[1]), outer.url("/page"), method="PURGE").status

    cache.get(outer.url("/page"))
    assert outside.call(purge, HERE) == 403
    assert [purge("127.0.0.1"), purge("127.0.0.1")] == [200, 404]


def test_other_addresses_of_this_machine_are_not_reached_from_elsewhere(
    tmp_path: Path, cache: Proxy, ask: Callable[..., Reply], outside: Elsewhere
) -> None:
    with Origin(INSIDE) as origin:
        origin.put("/page", b"inside", cache_control="max-age=60")
        for _ in range(2):
            assert cache.get(origin.url("/page")).body == b"inside"
        for host in (HERE, HERE6):
            reply = ask(origin.url("/page"), host)
            assert (reply.status, b"guard.permit" in reply.body) == (403, True)
        config = {"allow": ALLOW, "guard": {"permit": INSIDE}}
        with Proxy(tmp_path, host="::", config=config) as permitting:
            address = (HERE, permitting.address[1])
            assert outside.call(fetch, address, origin.url("/page")).body == b"inside"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200"])
def test_metadata_is_not_reached_from_elsewhere(ask: Callable[..., Reply], host: str) -> None:
    assert ask(f"http://{host}/latest/meta-data/").status == 403


def test_what_loopback_has_cached_stays_there(
    cache: Proxy, ask: Callable[..., Reply], inner: Origin
) -> None:
    url = inner.url("/secret")
    assert cache.get(url).body == b"inner"
    for target in (url, f"/{url}", f"/api/v1/fetch/x?url={url}"):
        reply = ask(target)
        assert (reply.status, b"inner\n" in reply.body) == (403, False)
    assert cache.get(url, [("Cache-Control", "only-if-cached")]).body == b"inner"


def test_flight_of_loopback_is_not_followed_from_elsewhere(
    cache: Proxy, ask: Callable[..., Reply], inner: Origin
) -> None:
    gate = inner.gate("/slow", at=0.5)
    with cache.download(inner.url("/slow")) as leading:
        leading.take(1000)
        for _ in range(4):  # on either worker, then
            reply = ask(inner.url("/slow"))
            assert (reply.status, b"xxx" in reply.body) == (403, False)
        gate.open()
        leading.take(1 << 20)
    assert leading.received == 100_000


def test_connection_kept_for_loopback_is_not_used_from_elsewhere(
    cache: Proxy, ask: Callable[..., Reply], inner: Origin
) -> None:
    for _ in range(4):
        assert cache.get(inner.url("/secret"), method="POST").status == 200
        inner.forget()
        assert ask(f"{inner.url('/secret')}?uncached").status == 403
        assert inner.requests == []


def test_guard_is_configurable(
    tmp_path_factory: pytest.TempPathFactory, outside: Elsewhere, inner: Origin, outer: Origin
) -> None:
    guard = {"permit": "127.0.0.0/8", "deny": ["127.0.0.0/8", NETWORK]}
    config = {"allow": ALLOW, "guard": guard}
    with Proxy(tmp_path_factory.mktemp("guard"), host="0.0.0.0", config=config) as proxy:
        address = (HERE, proxy.address[1])
        assert outside.call(fetch, address, inner.url("/secret")).body == b"inner"
        assert outside.call(fetch, address, outer.url("/page")).status == 403
        assert proxy.get(outer.url("/page")).body == b"outer"


def test_reverse_proxy_gives_everyone_its_origin(
    tmp_path_factory: pytest.TempPathFactory, outside: Elsewhere, inner: Origin
) -> None:
    folder, arguments = tmp_path_factory.mktemp("reverse"), ["--upstream", inner.url()]
    with Proxy(folder, host="0.0.0.0", config={"allow": ALLOW}, arguments=arguments) as proxy:
        assert outside.call(fetch, (HERE, proxy.address[1]), "/secret").body == b"inner"


# Requests that come back.


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.0.0.77", "[::1]", "[::]", HERE])
@pytest.mark.parametrize("way", ["{url}", "/{url}", "/api/v1/fetch/?url={url}"])
def test_proxy_on_all_addresses_does_not_ask_itself(cache: Proxy, host: str, way: str) -> None:
    reply = cache.get(way.format(url=f"http://{host}:{cache.address[1]}/x"))
    assert (reply.status, b"this proxy itself" in reply.body) == (508, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_proxy_on_one_address_does_not_ask_itself(proxy: Proxy, host: str) -> None:
    reply = proxy.get(f"http://{host}:{proxy.address[1]}/x")
    assert (reply.status, b"this proxy itself" in reply.body) == (508, True)


def test_address_beside_its_own_is_asked(proxy: Proxy) -> None:
    assert proxy.get(f"http://127.0.0.77:{proxy.address[1]}/x").status == 502


def test_listener_may_be_named(make_proxy: Callable[..., Proxy], inner: Origin) -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        address = reserved.getsockname()
        make_proxy(arguments=["--listen", f"localhost:{address[1]}"])
        assert fetch(address, inner.url("/secret")).body == b"inner"
        assert fetch(address, f"http://127.0.0.1:{address[1]}/").status == 508


def test_proxy_knows_itself_in_via(cache: Proxy, inner: Origin) -> None:
    via = cache.get(inner.url("/secret")).get("Via") or ""
    inner.forget()
    for value in (via, f"1.0 other, {via}", f"{via} (comment), 1.1 other"):
        assert cache.get(f"{inner.url('/secret')}?new", [("Via", value)]).status == 508
    assert inner.requests == []
    assert cache.get(f"{inner.url('/secret')}?new", [("Via", f"{via}x")]).status == 200


def test_ipv6(make_proxy: Callable[..., Proxy]) -> None:
    with Origin("::1") as origin:
        origin.put("/page", b"six", cache_control="max-age=60")
        proxy = make_proxy(host="::1")
        for target in (origin.url("/page"), f"/{origin.url('/page')}", origin.url("/page")):
            assert proxy.get(target).body == b"six"
        assert origin.count("/page") == 1
        assert origin.requests[0].get("Host") == f"[::1]:{origin.port}"
        assert f"listens on {proxy.netloc}" in proxy.log()
        assert proxy.get(f"http://[::1]:{proxy.address[1]}/").status == 508


def test_unix_socket_is_this_machine(
    make_proxy: Callable[..., Proxy], tmp_path: Path, inner: Origin
) -> None:
    path = tmp_path / "proxy.sock"
    make_proxy(arguments=["--listen", f"unix:{path}"])
    with Conversation(str(path)) as client:
        assert client.send(request(f"GET {inner.url('/secret')}")).reply().body == b"inner"
        assert client.send(b"nonsense\r\n\r\n").reply().status == 400
