"""Origins through the whole proxy: parents, TLS, IPv6, odd answers, and bodies that come in parts."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from certificates import Certificate
from harness import Proxy, Reply
from origin import Asked, Generated, Origin
from raw import Conversation, request

from pyproxycache.store.index.index import Index
from pyproxycache.store.sqlite.database import Database

MakeProxy = Callable[..., Proxy]
QUICK = {"fetch": {"pause": 0.01, "tries": 3}}
FRESH = {"etag": '"v1"', "cache_control": "max-age=3600"}


def status_of(reply: Reply) -> str:
    return (reply.get("Cache-Status") or "").partition("; ")[2].partition("; key=")[0]


@pytest.fixture
def secure_origin(certificate: Certificate) -> Iterator[Origin]:
    with Origin(tls=certificate.server()) as running:
        yield running


class Relay:
    """A parent proxy that knows nothing but CONNECT."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lines: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as reader:
            line = reader.readline()
            while reader.readline().strip():
                pass
            self.lines.append(line.strip())
            host, _, port = line.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as origin:
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=_pump, args=(origin, client))
                back.start()
                _pump(client, origin)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class TestWays:
    """How origins are reached."""

    def test_a_parent_for_http(self, origin: Origin, make_proxy: MakeProxy) -> None:
        origin.put("/a", b"body", **FRESH)
        proxy = make_proxy(config={"parent": {"url": origin.url(""), "except": ["127.0.0.0/8"]}})
        replies = [proxy.get("http://far.invalid:81/a") for _ in range(2)]
        assert [reply.body for reply in replies] == [b"body"] * 2
        assert [asked.target for asked in origin.requests] == ["http://far.invalid:81/a"]
        assert status_of(replies[1]).startswith("hit")
        assert proxy.get(origin.url("/a")).body == b"body"
        assert origin.requests[-1].target == "/a"

    def test_a_parent_for_https(
        self, secure_origin: Origin, make_proxy: MakeProxy, certificate: Certificate
    ) -> None:
        secure_origin.put("/a", b"body", cache_control="no-store")
        relay = Relay()
        proxy = make_proxy(
            config={"parent": {"url": relay.url}, "fetch": {"ca_file": str(certificate.certificate)}}
        )
        for _ in range(2):
            assert proxy.get(f"/{secure_origin.url('/a')}").body == b"body"
        relay.close()
        assert relay.lines == [f"CONNECT 127.0.0.1:{secure_origin.port} HTTP/1.1".encode()]
        assert secure_origin.accepted == 1

    def test_a_parent_that_is_down(self, make_proxy: MakeProxy) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            proxy = make_proxy(config={"parent": {"url": f"http://127.0.0.1:{taken.getsockname()[1]}"}})
            for target in ("http://far.invalid/", "/https://far.invalid/"):
                assert proxy.get(target).status == 502

    def test_an_https_origin_is_continued_as_any(
        self, secure_origin: Origin, make_proxy: MakeProxy, certificate: Certificate
    ) -> None:
        body = Generated(3_000_000, seed=1)
        secure_origin.put("/a", body, **FRESH, break_at=[0.4])
        proxy = make_proxy(config={"fetch": {"ca_file": str(certificate.certificate), "pause": 0.01}})
        for _ in range(2):
            client = proxy.download(f"/{secure_origin.url('/a')}", expected=body).run()
            assert (client.error, client.complete, client.correct) == (None, True, True)
        assert secure_origin.count("/a") == 2

    @pytest.mark.parametrize("known", [True, False], ids=["name", "authority"])
    def test_an_https_origin_has_to_be_the_one(
        self, secure_origin: Origin, make_proxy: MakeProxy, certificate: Certificate, known: bool
    ) -> None:
        secure_origin.put("/a", b"body", **FRESH)
        fetch = {"ca_file": str(certificate.certificate)} if known else {}
        host = "localhost" if known else "127.0.0.1"
        reply = make_proxy(config={"fetch": fetch}).get(f"/https://{host}:{secure_origin.port}/a")
        assert reply.status == 502
        told = b"its certificate is for 127.0.0.1" if known else b"which nobody vouches for"
        assert told in reply.body
        assert status_of(reply) == "fwd=uri-miss; detail=UpstreamUnreachable"
        assert secure_origin.requests == []

    def test_an_origin_by_ipv6(self, make_proxy: MakeProxy) -> None:
        with Origin("::1") as origin:
            origin.put("/a", b"body", **FRESH)
            proxy = make_proxy(host="::1")
            for target in (origin.url("/a"), f"/{origin.url('/a')}"):
                assert proxy.get(target).body == b"body"
            assert [asked.get("Host") for asked in origin.requests] == [f"[::1]:{origin.port}"]


class TestAnswers:
    """Odd ones."""

    def test_interim_answers_are_not_the_answer(self, origin: Origin, proxy: Proxy) -> None:
        raw = (
            b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\n"
        )
        origin.put("/a", handler=lambda _asked: raw + b"Content-Length: 4\r\n\r\nbody")
        for _ in range(2):
            reply = proxy.get(origin.url("/a"))
            assert (reply.status, reply.body, reply.get("Link")) == (200, b"body", None)
        assert origin.count("/a") == 1

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_what_is_not_http_is_a_bad_gateway(self, origin: Origin, proxy: Proxy, method: str) -> None:
        answers = {
            "/garbage": b"\x16\x03\x01\r\n\r\n",
            "/nothing": b"",
            "/cut": b"HTTP/1.1 200 OK\r\nContent-",
            "/lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
            "/split": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\nbody",
            "/coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        }
        for path, raw in answers.items():
            origin.put(path, handler=lambda _asked, raw=raw: raw)
            assert proxy.get(origin.url(path), method=method).status == 502, path
            assert origin.count(path) == 1

    @pytest.mark.parametrize("cacheable", [True, False])
    def test_chunks_that_lie_break_the_connection(
        self, origin: Origin, make_proxy: MakeProxy, cacheable: bool
    ) -> None:
        control = b"max-age=9" if cacheable else b"no-store"
        raw = b"HTTP/1.1 200 OK\r\nCache-Control: " + control + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        origin.put("/a", handler=lambda _asked: raw + b"4\r\nbody\r\n0x0\r\n\r\n")
        proxy = make_proxy(config=QUICK)
        for _ in range(2):
            assert not proxy.download(origin.url("/a")).run().complete
        assert origin.count("/a") >= 2

    def test_an_early_answer_reaches_the_one_who_uploads(self, origin: Origin, proxy: Proxy) -> None:
        def refuse() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                answered.wait(10)  # neither reads on nor closes

        answered = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=refuse, daemon=True).start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
            with Conversation(proxy.address) as client:
                client.send(request(f"POST {url}", f"Content-Length: {1 << 30}"))
                with contextlib.suppress(TimeoutError, ConnectionError):
                    client.connection.settimeout(0.2)
                    for _ in range(64):
                        client.connection.sendall(bytes(1 << 20))
                client.connection.settimeout(10)
                reply = client.reply()
            answered.set()
        assert (reply.status, reply.body) == (413, b"big")


class TestParts:
    """Bodies that come in more answers than one."""

    BODY = bytes(range(250)) * 12

    def test_an_origin_may_give_less_of_the_rest_than_asked_for(
        self, origin: Origin, make_proxy: MakeProxy
    ) -> None:
        def piecemeal(asked: Asked) -> bytes:
            found = re.fullmatch(r"bytes=(\d+)-", asked.get("Range") or "bytes=0-")
            assert found is not None
            start = int(found[1])
            part = self.BODY[start : start + 1000]
            head = f"Content-Range: bytes {start}-{start + len(part) - 1}/{len(self.BODY)}\r\n"
            length = len(part) if start else len(self.BODY)
            status = "206 Partial Content" if start else "200 OK"
            fields = 'ETag: "v1"\r\nCache-Control: max-age=9\r\n' + (head if start else "")
            return f"HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n".encode() + part

        origin.put("/a", handler=piecemeal)
        proxy = make_proxy(config={"fetch": {"pause": 0.01}})
        for _ in range(2):
            reply = proxy.get(origin.url("/a"))
            assert (reply.body, reply.complete) == (self.BODY, True)
        assert [asked.get("Range") for asked in origin.asked("/a")] == [None, "bytes=1000-", "bytes=2000-"]

    @pytest.mark.parametrize(
        "rest",
        [
            b"Content-Range: bytes 1000-1999/*\r\nContent-Length: 1000\r\n",
            b"Content-Range: bytes 1000-2999/3000\r\nTransfer-Encoding: chunked\r\n",
        ],
        ids=["no-total", "overlong"],
    )
    def test_a_rest_whose_end_is_unsure_is_not_glued_on(
        self, origin: Origin, make_proxy: MakeProxy, rest: bytes
    ) -> None:
        def answer(asked: Asked) -> bytes:
            fields = b'ETag: "v1"\r\nCache-Control: max-age=9\r\n'
            if asked.get("Range"):
                return (
                    b"HTTP/1.1 206 Partial Content\r\n"
                    + fields
                    + rest
                    + b"\r\n"
                    + (b"bb8\r\n" if b"chunked" in rest else b"")
                    + self.BODY
                    + b"\r\n0\r\n\r\n"
                )
            return (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                + fields
                + b"\r\n3e8\r\n"
                + self.BODY[:1000]
            )

        origin.put("/a", handler=answer)
        proxy = make_proxy(config=QUICK)
        for _ in range(2):
            assert not proxy.download(origin.url("/a")).run().complete

    def test_what_begins_anew_is_judged_anew(self, origin: Origin, make_proxy: MakeProxy) -> None:
        origin.put("/a", self.BODY, cache_control="max-age=3600", break_at=0)
        gate = origin.gate("/a", at=0)
        proxy = make_proxy(config=QUICK)
        client = proxy.download(origin.url("/a")).start()
        gate.wait_reached()
        origin.put("/a", self.BODY, cache_control="private")
        gate.open()
        assert not client.join().complete
        origin.forget()
        for _ in range(2):
            assert proxy.get(origin.url("/a")).body == self.BODY
        assert origin.count("/a") == 2

    def test_trouble_on_going_on_costs_nothing_of_what_is_there(
        self, origin: Origin, make_proxy: MakeProxy
    ) -> None:
        body = Generated(1_000_000, seed=3)
        origin.put("/a", body, **FRESH, break_at=0.5)
        proxy = make_proxy(config={"fetch": {"tries": 1}})
        assert not proxy.download(origin.url("/a")).run().complete
        origin.put("/a", b"trouble", status=503)
        assert proxy.get(origin.url("/a")).status == 503
        origin.put("/a", body, **FRESH)
        client = proxy.download(origin.url("/a"), expected=body).run()
        assert (client.complete, client.correct) == (True, True)
        assert [asked.get("Range") for asked in origin.asked("/a")] == [
            None,
            "bytes=500000-",
            "bytes=500000-",
        ]


class TestOutcomes:
    """Cache-Status tells the truth."""

    def test_who_leads_was_no_hit_however_quick_it_went(self, origin: Origin, proxy: Proxy) -> None:
        for number in range(50):
            origin.put(f"/{number}", b"body", cache_control="max-age=0", etag='"1"')
            assert status_of(proxy.get(origin.url(f"/{number}"))) == "fwd=uri-miss; fwd-status=200; stored"
        assert len(origin.requests) == 50

    def test_who_has_it_all_finds_it_stored(self, origin: Origin, make_proxy: MakeProxy) -> None:
        proxy = make_proxy(workers=2)
        for number in range(50):
            origin.put(f"/{number}", b"body", **FRESH)
            proxy.get(origin.url(f"/{number}"))
            assert status_of(proxy.get(origin.url(f"/{number}"))).startswith("hit")

    def test_who_had_to_ask_alone_shared_nothing(self, origin: Origin, make_proxy: MakeProxy) -> None:
        origin.put("/a", b"body", **FRESH, headers=[("Vary", "X-Kind")])
        gate = origin.gate("/a")
        proxy = make_proxy(threads=8)
        clients = [proxy.download(origin.url("/a"), [("X-Kind", kind)]).start() for kind in ("one", "two")]
        gate.wait_reached()
        gate.open()
        for client in clients:
            assert "collapsed" not in (client.join().get("Cache-Status") or "")
        assert origin.count("/a") == 2

    def test_what_comes_after_the_client_left_is_counted(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/a", bytes(2_000_000), **FRESH)
        gate = origin.gate("/a", at=1_000_000)
        client = proxy.download(origin.url("/a")).begun(1000)
        client.close()
        gate.open()
        proxy.terminate()
        database = Database(proxy.cache_dir / "index.sqlite")
        counters = Index(database).counters()
        database.close()
        assert counters["bytes.received"] == 2_000_000

    def test_what_was_received_is_counted(self, origin: Origin, proxy: Proxy) -> None:
        origin.put("/kept", bytes(10_000), **FRESH)
        origin.put("/passed", bytes(500), cache_control="no-store")
        for path in ("/kept", "/kept", "/passed"):
            proxy.get(origin.url(path))
        proxy.terminate()
        database = Database(proxy.cache_dir / "index.sqlite")
        counters = Index(database).counters()
        database.close()
        assert (counters["bytes.received"], counters["bytes.sent"]) == (10_500, 20_500)
