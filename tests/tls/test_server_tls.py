"""The TLS of a listener while its files are renewed, broken and mended."""

from __future__ import annotations

import logging
import os
import re
import resource
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from certificates import Certificate, make_certificate

from pyproxycache.options import TlsOptions
from pyproxycache.tls.server_tls import ServerTls
from pyproxycache.tls.tls_files import first_certificate


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    return {
        name: make_certificate(tmp_path_factory.mktemp(name), "DNS:localhost")
        for name in ("first", "second", "client", "other client")
    }


class Listening:
    """The TLS of a listener whose files are in a folder of its own."""

    def __init__(self, folder: Path, pairs: dict[str, Certificate], client_ca: str | None = None) -> None:
        self._pairs = pairs
        self.certificate, self.key, self.client_ca = (
            folder / name for name in ("c.pem", "k.pem", "ca.pem")
        )
        self.take("first")
        if client_ca is not None:
            self.put(self.client_ca, pairs[client_ca].certificate.read_bytes())
        options = TlsOptions(
            certificate=self.certificate, key=self.key, client_ca=self.client_ca if client_ca else None
        )
        self.tls = ServerTls(options, "listen[0].tls")

    def take(self, name: str) -> None:
        """Have the files be those of this pair."""
        self.put(self.certificate, self._pairs[name].certificate.read_bytes())
        self.put(self.key, self._pairs[name].key.read_bytes())

    def put(self, path: Path, content: bytes) -> None:
        """Replace the file by another: the times of one that is written again may be equal."""
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)

    def look(self) -> None:
        """Let as many looks go by as a change needs to be seen and to have settled."""
        self.tls.look()
        self.tls.look()

    def shown(self) -> str:
        """The pair that a client is shown."""
        client = self.connected()
        shown = client.getpeercert(True)
        return next(
            name
            for name, pair in self._pairs.items()
            if first_certificate(pair.certificate.read_bytes()) == shown
        )

    def connected(
        self,
        session: ssl.SSLSession | None = None,
        client: str | None = None,
        to: ssl.SSLContext | None = None,
    ) -> ssl.SSLObject:
        """A client after its handshake, with this session and certificate; raises SSLError."""
        context = to or self.client(client)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.tls.end(incoming, outgoing)
        here = context.wrap_bio(outgoing, incoming, server_hostname="localhost", session=session)
        for _ in range(5):
            for end in (here, server):
                with suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        server.write(b"x")
        assert here.read(1) == b"x"
        return here

    def client(self, name: str | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2", "http/1.1"])
        if name is not None:
            context.load_cert_chain(self._pairs[name].certificate, self._pairs[name].key)
        return context


@pytest.fixture
def listening(tmp_path: Path, pairs: dict[str, Certificate], caplog: pytest.LogCaptureFixture) -> Listening:
    caplog.set_level(logging.INFO, "pyproxycache")
    return Listening(tmp_path, pairs)


def test_what_is_spoken(listening: Listening) -> None:
    client = listening.connected()
    assert client.version() == "TLSv1.3"
    assert client.selected_alpn_protocol() == "h2"
    server = listening.tls.end(ssl.MemoryBIO(), ssl.MemoryBIO())
    assert server.context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_new_files_come_into_force(listening: Listening, caplog: pytest.LogCaptureFixture) -> None:
    listening.look()
    assert (listening.shown(), caplog.messages) == ("first", [])
    listening.take("second")
    listening.look()
    assert listening.shown() == "second"
    assert caplog.messages == ["listen[0].tls: the files have changed, and are in force"]


def test_half_written_files_are_not_read(listening: Listening, caplog: pytest.LogCaptureFixture) -> None:
    old = listening.key.read_bytes()
    listening.take("second")
    new = listening.key.read_bytes()
    listening.put(listening.key, old)
    listening.tls.look()
    listening.put(listening.key, new)
    listening.tls.look()
    listening.tls.look()
    assert listening.shown() == "second"
    assert len(caplog.messages) == 1


def test_a_link_that_leads_elsewhere_is_a_change(
    listening: Listening, pairs: dict[str, Certificate]
) -> None:
    """As certbot has it."""
    for path, target in (
        (listening.certificate, pairs["second"].certificate),
        (listening.key, pairs["second"].key),
    ):
        path.unlink()
        path.symlink_to(target)
    listening.look()
    assert listening.shown() == "second"


Break = Callable[[Listening], object]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda one: one.key.write_bytes(b"nonsense"), "key: .* has no private key"),
        (lambda one: one.certificate.write_bytes(b""), "certificate: .* has no certificate"),
        (lambda one: one.key.unlink(), "key: .* cannot be read: No such file"),
        (lambda one: one.put(one.certificate, one.key.read_bytes()), "certificate: .* has no certificate"),
    ],
)
def test_broken_files_leave_the_old_ones_in_force(
    listening: Listening, caplog: pytest.LogCaptureFixture, break_it: Break, said: str
) -> None:
    break_it(listening)
    for _ in range(5):
        listening.look()
        assert listening.shown() == "first"
    (message,) = caplog.messages
    assert re.match(rf"the certificate stays as it was: listen\[0\]\.tls\.{said}", message)
    listening.take("second")
    listening.look()
    assert listening.shown() == "second"


def test_a_key_of_another_certificate_is_no_key(
    listening: Listening, pairs: dict[str, Certificate]
) -> None:
    listening.put(listening.certificate, pairs["second"].certificate.read_bytes())
    listening.look()
    assert listening.shown() == "first"


def test_without_a_free_descriptor_the_old_ones_go_on_for_now(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    listening.take("second")
    listening.look()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        listening.tls.end(ssl.MemoryBIO(), ssl.MemoryBIO())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert caplog.messages[-1].startswith("the certificate before goes on for now: ")
    assert listening.shown() == "second"


def test_who_begins_later_has_the_files_as_they_are(listening: Listening) -> None:
    """A worker that is made long after its master."""
    listening.take("second")
    listening.tls.renew()
    assert listening.shown() == "second"


def test_a_session_is_resumed_also_after_a_renewal(listening: Listening) -> None:
    context = listening.client()
    first = listening.connected(to=context)
    assert not first.session_reused
    assert listening.connected(first.session, to=context).session_reused
    listening.take("second")
    listening.look()
    assert listening.connected(first.session, to=context).session_reused


def test_clients_have_to_show_a_certificate(tmp_path: Path, pairs: dict[str, Certificate]) -> None:
    listening = Listening(tmp_path, pairs, client_ca="client")
    listening.connected(client="client")
    for name in (None, "other client"):
        with pytest.raises(ssl.SSLError):
            listening.connected(client=name)


def test_an_authority_that_is_no_longer_named_counts_no_more(
    tmp_path: Path, pairs: dict[str, Certificate]
) -> None:
    """Nor does a session that was begun with a certificate of it."""
    listening = Listening(tmp_path, pairs, client_ca="client")
    context = listening.client("client")
    session = listening.connected(to=context).session
    assert listening.connected(session, to=context).session_reused
    listening.put(listening.client_ca, pairs["other client"].certificate.read_bytes())
    listening.look()
    listening.connected(client="other client")
    for again in (session, None):
        with pytest.raises(ssl.SSLError):
            listening.connected(again, to=context)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((b"200101000000Z", b"200301000000Z"), "has expired on 2020-03-01 00:00 UTC"),
        ((b"480101000000Z", b"490301000000Z"), "is not valid before 2048-01-01 00:00 UTC"),
    ],
)
def test_a_certificate_out_of_its_time_is_told_of(
    listening: Listening, caplog: pytest.LogCaptureFixture, times: tuple[bytes, bytes], said: str
) -> None:
    der = first_certificate(listening.certificate.read_bytes())
    begin = der.index(b"\x17\x0d")
    older = der[:begin] + b"\x17\x0d" + times[0] + b"\x17\x0d" + times[1] + der[begin + 30 :]
    listening.put(listening.certificate, ssl.DER_cert_to_PEM_cert(older).encode())
    listening.look()
    assert caplog.messages[-1] == f"listen[0].tls.certificate: {listening.certificate} {said}"
