"""Several addresses of one name: raced, judged, remembered where they are silent."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Certificate, make_certificate
from scripted import OK, Scripted, get, upstream

from pyproxycache import clock
from pyproxycache.errors import Forbidden, UpstreamTimeout, UpstreamUnreachable
from pyproxycache.facts import Facts
from pyproxycache.messages import Request
from pyproxycache.net.names import Address, Names
from pyproxycache.net.racing import Suspects, race
from pyproxycache.url import Url

LONG = 40.0
"""Seconds that a silent address would cost; what waits for it takes half of them at least."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"), "DNS:many.test")


@contextmanager
def silent(port: int, host: str = "127.0.0.2") -> Iterator[Address]:
    """An address that does not answer: a listener whose queue is full drops what comes."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
            waiting = select.poll()
            waiting.register(filler, select.POLLOUT)
            waiting.poll(50)
        yield ipv4(host, port)


def ipv4(host: str, port: int) -> Address:
    return Address(socket.AF_INET, (host, port))


def ipv6(host: str, port: int) -> Address:
    return Address(socket.AF_INET6, (host, port, 0, 0))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have every name resolve to these, which no name of the tests' machine does; gives those asked for."""
    asked = []

    def resolve(host: str, port: int, flags: int = 0, **_options: object) -> list[object]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror("a name")
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


class TestRace:
    """RFC 8305 section 5."""

    def test_a_silent_address_costs_little(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as good:
            port = good.getsockname()[1]
            with silent(port) as dead:
                before = descriptors()
                raced = race([dead, ipv4("127.0.0.1", port)], clock.steady() + LONG)
                assert raced.winner is not None
                address, sock = raced.winner
                with sock:
                    assert (address.host, sock.getpeername()[0]) == ("127.0.0.1", "127.0.0.1")
                assert [(a, type(error)) for a, error in raced.failed.items()] == [(dead, TimeoutError)]
                assert descriptors() == before

    def test_a_refusal_has_the_next_one_tried_at_once(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as good:
            port = good.getsockname()[1]
            closed = ipv4("127.0.0.3", port)
            raced = race([closed, ipv4("127.0.0.1", port)], clock.steady() + LONG)
            assert raced.winner is not None
            raced.winner[1].close()
            assert [type(raced.failed[closed])] == [ConnectionRefusedError]

    def test_nobody_wins(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with silent(port) as dead:
                before = clock.steady()
                raced = race([ipv4("127.0.0.3", port), dead], before + 0.4)
                assert raced.winner is None
                kinds = {type(error) for error in raced.failed.values()}
                assert kinds == {ConnectionRefusedError, TimeoutError}
                assert clock.steady() - before < LONG / 2

    def test_no_time_is_no_time(self) -> None:
        assert race([ipv4("127.0.0.1", 9)], clock.steady()).winner is None


class TestSuspects:
    """In which order addresses are tried."""

    ONE, TWO, THREE = ipv4("192.0.2.1", 1), ipv4("192.0.2.2", 1), ipv4("192.0.2.3", 1)
    SIX, SEVEN = ipv6("2001:db8::6", 1), ipv6("2001:db8::7", 1)

    @pytest.mark.parametrize(
        ("found", "suspect", "tried"),
        [
            ([ONE, TWO, THREE], [], [ONE, TWO, THREE]),
            ([SIX, SEVEN, ONE, TWO, THREE], [], [SIX, ONE, SEVEN, TWO, THREE]),
            ([ONE, SIX, SEVEN], [], [ONE, SIX, SEVEN]),
            ([SIX, SEVEN, ONE], [SIX], [ONE, SEVEN, SIX]),
            ([ONE, TWO], [ONE, TWO], [ONE, TWO]),
            ([ONE], [ONE], [ONE]),
        ],
    )
    def test_families_take_turns_and_suspects_come_last(
        self, found: list[Address], suspect: list[Address], tried: list[Address]
    ) -> None:
        suspects = Suspects()
        suspects.note(suspect)
        assert suspects.last(found) == tried
        for address in suspect:
            suspects.clear(address)
        assert suspects.last(found) == Suspects().last(found)

    def test_there_is_an_end_to_how_many(self) -> None:
        suspects = Suspects()
        suspects.note(ipv4("192.0.2.1", port) for port in range(5000))
        assert suspects.last([ipv4("192.0.2.1", 4999), ipv4("192.0.2.1", 1)])[0].where[1] == 1


class TestDialling:
    """What a request has of it."""

    def test_a_dead_address_is_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Scripted([OK], [OK], [OK]) as origin, silent(origin.port):
            asked = resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
            client = upstream(connect_timeout=LONG)
            begun = time.monotonic()
            for _ in range(3):
                exchange = client.send(get(origin.url(host="many.test")), Facts())
                assert (exchange.peer, b"".join(exchange)) == ("127.0.0.1", b"right")
                exchange.close()
            assert time.monotonic() - begun < LONG / 2
            assert asked == ["many.test"]

    def test_one_that_says_nothing_in_tls_leaves_the_others_time(
        self, monkeypatch: pytest.MonkeyPatch, certificate: Certificate
    ) -> None:
        with Scripted([OK], [OK], tls=certificate.server()) as origin, socket.socket() as mute:
            mute.bind(("127.0.0.2", origin.port))
            mute.listen(10)  # the kernel connects
            resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
            client = upstream(connect_timeout=1.0, ca_file=Path(certificate.certificate))
            for _ in range(2):
                exchange = client.send(get(origin.url(host="many.test")), Facts())
                assert (exchange.peer, b"".join(exchange)) == ("127.0.0.1", b"right")

    def test_one_without_tls_leaves_it_to_the_others(
        self, monkeypatch: pytest.MonkeyPatch, certificate: Certificate
    ) -> None:
        with Scripted([OK], tls=certificate.server()) as origin, socket.socket() as plain:
            plain.bind(("127.0.0.2", origin.port))
            plain.listen(10)
            thread = threading.Thread(target=lambda: plain.accept()[0].close())
            thread.start()
            resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
            client = upstream(connect_timeout=LONG, ca_file=Path(certificate.certificate))
            assert b"".join(client.send(get(origin.url(host="many.test")), Facts())) == b"right"
            thread.join(10)

    def test_each_address_is_judged_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        judged = []

        def admit(client: str, address: str, _port: int) -> None:
            judged.append((client, address))
            if client != "127.0.0.1":
                raise Forbidden(address)

        # A kept connection's address would be judged once more.
        last = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        with Scripted([last], [OK]) as origin:
            resolving(monkeypatch, "127.0.0.1")
            client = upstream(admit=admit)
            request = get(origin.url(host="many.test"))
            assert b"".join(client.send(request, Facts())) == b"right"
            stranger = Request("GET", request.url, client="192.0.2.1")
            with pytest.raises(Forbidden):
                client.send(stranger, Facts())
        assert judged == [("127.0.0.1", "127.0.0.1"), ("192.0.2.1", "127.0.0.1")]


class TestNames:
    """Look-ups, within the time there is."""

    def test_one_that_hangs_costs_no_more_than_the_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hung, asked = threading.Event(), []

        def resolve(host: str, port: int, flags: int = 0, **_options: object) -> list[object]:
            if flags & socket.AI_NUMERICHOST:
                raise socket.gaierror("a name")
            asked.append(host)
            hung.wait(LONG)
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        names, begun = Names(), clock.steady()
        for _ in range(2):
            with pytest.raises(UpstreamTimeout, match="not looked up") as raised:
                names.addresses("slow.test", 80, clock.steady() + 0.1)
            assert raised.value.proxy_error == "dns_timeout"
        assert clock.steady() - begun < LONG / 2
        hung.set()
        assert names.addresses("slow.test", 80, clock.steady() + LONG) == (ipv4("192.0.2.1", 80),)
        assert asked == ["slow.test"]  # all wait for one

    def test_names_that_take_long_for_one_client_hold_up_no_other(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hung = threading.Event()

        def resolve(host: str, port: int, flags: int = 0, **_options: object) -> list[object]:
            if flags & socket.AI_NUMERICHOST:
                raise socket.gaierror("a name")
            if host.startswith("slow"):
                hung.wait(10 * LONG)
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        names = Names()
        try:
            for number in range(300):
                with pytest.raises(UpstreamTimeout):
                    names.addresses(f"slow{number}.test", 80, clock.steady(), "192.0.2.9")
            with pytest.raises(UpstreamTimeout):
                names.addresses("a.test", 80, clock.steady() + 0.1, "192.0.2.9")
            assert names.addresses("a.test", 80, clock.steady() + LONG, "192.0.2.8")
        finally:
            hung.set()
        assert names.addresses("b.test", 80, clock.steady() + LONG, "192.0.2.9")

    @pytest.mark.parametrize(("remembered", "again"), [(LONG, False), (0.0, True)])
    def test_what_was_found_is_remembered_for_a_while(
        self, monkeypatch: pytest.MonkeyPatch, remembered: float, again: bool
    ) -> None:
        asked = resolving(monkeypatch, "192.0.2.1")
        names = Names(remembered)
        for _ in range(2):
            assert names.addresses("a.test", 80, clock.steady() + LONG) == (ipv4("192.0.2.1", 80),)
        assert asked == ["a.test"] * (1 + again)
        names.forget("a.test", 80)
        names.addresses("a.test", 80, clock.steady() + LONG)
        assert asked == ["a.test"] * (2 + again)

    def test_what_lets_nobody_in_is_looked_up_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = resolving(monkeypatch, "127.0.0.1")
        client = upstream()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = Url("http", "a.test", closed.getsockname()[1], "/")
            for _ in range(2):
                with pytest.raises(UpstreamUnreachable):
                    client.send(get(url), Facts())
        assert asked == ["a.test"] * 2

    @pytest.mark.parametrize("host", ["no.invalid", "a" * 70 + ".test", "a..b", ""])
    def test_names_that_are_none(self, host: str) -> None:
        with pytest.raises((UpstreamUnreachable, UpstreamTimeout)):
            Names().addresses(host, 80, clock.steady() + 5)

    @pytest.mark.parametrize(
        "failure", [socket.gaierror("none"), MemoryError(), RuntimeError("odd")], ids=repr
    )
    def test_a_look_up_that_fails_in_any_way_is_told_and_over(
        self, monkeypatch: pytest.MonkeyPatch, failure: Exception
    ) -> None:
        failures = [failure]

        def resolve(host: str, port: int, flags: int = 0, **_options: object) -> list[object]:
            if flags & socket.AI_NUMERICHOST:
                raise socket.gaierror("a name")
            if failures:
                raise failures.pop()
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        names = Names(0.0)
        with pytest.raises(UpstreamUnreachable, match="does not resolve"):
            names.addresses("a.test", 80, clock.steady() + LONG)
        assert names.addresses("a.test", 80, clock.steady() + LONG) == (ipv4("192.0.2.1", 80),)

    def test_addresses_need_no_thread(self) -> None:
        names = Names()
        assert names.addresses("127.1", 80, 0.0) == (ipv4("127.0.0.1", 80),)
        assert [a.host for a in names.addresses("::1", 80, 0.0)] == ["::1"]

    def test_a_look_up_that_gets_no_thread_fails_at_once(self) -> None:
        before = threading.stack_size(1 << 47)  # no thread can have one
        try:
            with pytest.raises(UpstreamUnreachable, match="does not resolve"):
                Names().addresses("name.example", 80, clock.steady() + 5)
        finally:
            threading.stack_size(before)

    def test_addresses_that_come_one_after_the_other_are_all_the_name_s(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = [["192.0.2.1"], ["192.0.2.2"], ["192.0.2.3"]]

        def resolve(host: str, port: int, flags: int = 0, **_options: object) -> list[object]:
            if flags & socket.AI_NUMERICHOST:
                raise socket.gaierror("a name")
            found = answers.pop(0) if host == "a.test" else []
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in found]

        def finds(address: str, host: str = "a.test") -> bool:
            return names.find_out(host, address, clock.steady() + LONG) is not None

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        names = Names()
        assert names.has_lately("a.test", "192.0.2.1") is None  # nobody has looked it up
        assert finds("192.0.2.1")
        assert not finds("192.0.2.2")  # the look-up has only just been made
        ago = clock.steady() - 2 * LONG
        monkeypatch.setattr(clock, "steady", lambda: ago + 3 * LONG)
        assert finds("192.0.2.2")
        assert names.has_lately("a.test", "192.0.2.1")
        assert not finds("192.0.2.1", "nothing.test")
        assert answers == [["192.0.2.3"]]

    def test_an_address_has_itself(self) -> None:
        names = Names()
        assert names.has_lately("192.0.2.1", "192.0.2.1")
        assert names.find_out("2001:db8::1", "2001:db8::1", 0.0)
        assert names.find_out("192.0.2.1", "192.0.2.2", 0.0) is None
