"""Listeners that speak TLS, with real clients: proxy, URL prefix, KissCache's place, reverse proxy."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml
from certificates import Certificate, make_certificate
from commands import DONE, PROBLEMS, WRONG_USAGE, call, printed, reload, run
from harness import Proxy, clean_environment
from origin import Asked, Generated, Origin, Resource
from raw import Conversation, request
from readable import is_readable
from waiting import until

BODY = Generated(3_000_000, seed=91)
DIGEST = BODY.sha256()
FRESH = "max-age=3600"
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    names = "DNS:localhost,IP:127.0.0.1"
    return {
        name: make_certificate(tmp_path_factory.mktemp(name), names)
        for name in ("first", "second", "client")
    }


@dataclass
class Secured:
    """A proxy with a plain listener, which is `proxy.address`, and one that speaks TLS, at `address`."""

    proxy: Proxy
    address: tuple[str, int]
    certificate: Path
    key: Path
    listen: dict[str, Any]

    @property
    def netloc(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def url(self) -> str:
        return f"https://{self.netloc}"

    def take(self, pair: Certificate) -> None:
        """Replace the files, as those do who renew certificates."""
        for path, made in ((self.certificate, pair.certificate), (self.key, pair.key)):
            new = path.with_suffix(".new")
            shutil.copy(made, new)
            new.replace(path)

    def context(self, client: Certificate | None = None) -> ssl.SSLContext:
        """What a client needs that trusts this certificate alone, and shows its own."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context

    def connected(
        self, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        plain = socket.create_connection(self.address, 10)
        try:
            return (context or self.context()).wrap_socket(
                plain, server_hostname="localhost", session=session
            )
        except OSError:
            plain.close()
            raise

    def conversation(self, context: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(*self.address, context=context or self.context(), timeout=30)

    def shown(self) -> bytes | None:
        """The certificate that it shows now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with self.connected(context) as client:
            return client.getpeercert(True)


MakeSecured = Callable[..., Secured]


@pytest.fixture
def make_secured(tmp_path: Path, pairs: dict[str, Certificate]) -> Iterator[MakeSecured]:
    with ExitStack() as stack:

        def make(
            *,
            client_ca: Path | None = None,
            config: dict[str, Any] | None = None,
            start: bool = True,
            **options: Any,
        ) -> Secured:
            reserved = stack.enter_context(socket.socket())
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind(("127.0.0.1", 0))
            proxy = stack.enter_context(closing(Proxy(tmp_path / "proxy", config={}, **options)))
            at = proxy.command.index("--listen")
            del proxy.command[at : at + 2]
            address = reserved.getsockname()
            certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
            tls = {"certificate": str(certificate), "key": str(key)}
            if client_ca is not None:
                tls["client_ca"] = str(client_ca)
            made = Secured(
                proxy, address, certificate, key, {"address": f"127.0.0.1:{address[1]}", "tls": tls}
            )
            made.take(pairs["first"])
            proxy.configure({**(config or {}), "listen": [made.listen, proxy.netloc]})
            if start:
                proxy.start()
            return made

        yield make


@pytest.fixture
def secured(make_secured: MakeSecured) -> Secured:
    return make_secured()


def curl(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", *arguments]
    env = clean_environment(environment)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=60)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# The ways to ask it.


def test_curl_by_an_https_proxy(secured: Secured, origin: Origin, tmp_path: Path) -> None:
    origin.put("/file", BODY, cache_control=FRESH)
    url, trust = origin.url("/file"), ["--proxy-cacert", str(secured.certificate)]
    for name in ("one", "other"):
        done = curl(tmp_path, "-f", *trust, "-x", secured.url, "-o", name, "-D", f"{name}.head", url)
        assert done.returncode == 0, done.stderr
        assert sha256(tmp_path / name) == DIGEST
    assert "; hit" in (tmp_path / "other.head").read_text()
    done = curl(
        tmp_path, "-f", *trust, "-o", "a", url, "-o", "b", url, "-o", "c", url, http_proxy=secured.url
    )
    assert done.returncode == 0, done.stderr
    assert {sha256(tmp_path / name) for name in "abc"} == {DIGEST}
    assert origin.count("/file") == 1


def test_tls_in_tls(make_secured: MakeSecured, pairs: dict[str, Certificate], tmp_path: Path) -> None:
    with Origin(tls=pairs["second"].server()) as behind:
        behind.put("/file", BODY)
        secured = make_secured(config={"connect": {"ports": [behind.port]}})
        url = f"https://localhost:{behind.port}/file"
        trust = ["--proxy-cacert", str(secured.certificate), "--cacert", str(pairs["second"].certificate)]
        done = curl(tmp_path, "-f", *trust, "-o", "a", url, "-o", "b", url, https_proxy=secured.url)
        assert done.returncode == 0, done.stderr
        assert sha256(tmp_path / "a") == sha256(tmp_path / "b") == DIGEST
        upload = curl(
            tmp_path, "-f", *trust, "-o", "c", "--data-binary", "@a", url, https_proxy=secured.url
        )
        assert upload.returncode == 0, upload.stderr
        assert hashlib.sha256(behind.requests[-1].body).hexdigest() == DIGEST


# Where the URL is http, this client believes any certificate of its proxy.
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_requests_by_all_ways(secured: Secured, origin: Origin) -> None:
    origin.put("/file", BODY, cache_control=FRESH)
    origin.put("/small", b"small", cache_control=FRESH)
    url = origin.url("/file")
    encoded = quote(url, safe="")
    by_path = (url, encoded, f"api/v1/fetch/?url={encoded}&ttl=10d")
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(secured.certificate)
        for target in (url, *(f"{secured.url}/{path}" for path in by_path)):
            by_proxy = {"http": secured.url} if target == url else None
            for _ in range(3):
                answer = session.get(target, timeout=30, proxies=by_proxy)
                assert answer.status_code == 200
                assert hashlib.sha256(answer.content).hexdigest() == DIGEST
        session.post(f"{secured.url}/{origin.url('/upload')}", data=BODY.slice(0, BODY.size), timeout=30)
        assert hashlib.sha256(origin.requests[-1].body).hexdigest() == DIGEST
        for number in range(50):
            answer = session.get(f"{secured.url}/{origin.url('/small')}", timeout=30)
            assert answer.content == b"small"
            assert number == 0 or "; hit" in answer.headers["Cache-Status"]
    assert (origin.count("/file"), origin.count("/small")) == (1, 1)


def test_the_help_names_https(secured: Secured) -> None:
    with closing(secured.conversation()) as client:
        client.request("GET", "/nothing")
        answer = client.getresponse()
        assert answer.status == 404
        assert f"http_proxy={secured.url} in".encode() in answer.read()


def test_many_requests_at_once_on_one_connection(secured: Secured, origin: Origin) -> None:
    """Their answers fill the client's buffers, and go on where they stopped."""
    content = random.Random(5).randbytes(20_000)
    origin.put("/kept", content, cache_control=FRESH)
    secured.proxy.get(origin.url("/kept"))
    asked = request(f"GET {origin.url('/kept')}")
    with secured.connected() as client:
        client.settimeout(30)
        for _ in range(400):  # the first is answered from the index, and learnt
            client.sendall(asked)
        client.sendall(request(f"GET {origin.url('/kept')}", "Connection: close"))
        pieces = []
        while piece := client.recv(1 << 16):
            pieces.append(piece)
        heads = b"".join(pieces).split(content)
        assert heads[-1] == b""
        assert len(heads) == 402
        assert all(head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n") for head in heads[:-1])


# A reverse proxy.


def page(asked: Asked) -> Resource:
    link = f"{asked.get('X-Forwarded-Proto')}://{asked.get('X-Forwarded-Host')}/"
    return Resource(
        link.encode(), cache_control=FRESH, headers=[("Location", f"http://{asked.get('Host')}/x")]
    )


def test_a_reverse_proxy_tells_its_origin_of_tls(make_secured: MakeSecured, origin: Origin) -> None:
    """And what the origin said to clients of one scheme is given to none of the other."""
    origin.put("/page", handler=page)
    secured = make_secured(arguments=["--upstream", origin.url()], workers=2)
    for _ in range(6):
        with closing(secured.conversation()) as client:
            for _ in range(3):
                client.request("GET", "/page", headers={"Host": "front"})
                answer = client.getresponse()
                assert answer.read() == b"https://front/"
                assert answer.headers["Location"] == "/x"
        with Conversation(secured.proxy.address) as plain:
            for _ in range(3):
                reply = plain.send(request("GET /page", "Host: front")).reply()
                assert (reply.body, reply.get("Location")) == (b"http://front/", "/x")
    assert origin.count("/page") == 2
    (asked,) = (asked for asked in origin.requests if asked.get("X-Forwarded-Proto") == "https")
    assert asked.get("Forwarded") == 'for=127.0.0.1;host="front";proto=https'


def slow_page(asked: Asked) -> Resource:
    body = f"{asked.get('X-Forwarded-Proto')};".encode() * 50_000
    return Resource(body, cache_control=FRESH, head_delay=0.5, rate=1_000_000.0)


def test_clients_of_both_schemes_wait_for_their_own_answer(
    make_secured: MakeSecured, origin: Origin
) -> None:
    """Their heads are equal, and so they could wait for one another's."""
    origin.put("/page", handler=slow_page)
    secured = make_secured(arguments=["--upstream", origin.url()])
    asked = request("GET /page", "Host: front", "Connection: close")

    def received(scheme: str) -> bytes:
        plain = socket.create_connection(secured.proxy.address, 30) if scheme == "http" else None
        with plain or secured.connected() as client:
            client.settimeout(30)
            client.sendall(asked)
            return b"".join(iter(lambda: client.recv(1 << 16), b"")).partition(b"\r\n\r\n")[2]

    schemes = ["http", "https"] * 15
    with ThreadPoolExecutor(len(schemes)) as clients:
        for scheme, body in zip(schemes, clients.map(received, schemes), strict=True):
            assert body == f"{scheme};".encode() * 50_000
    assert origin.count("/page") == 2


# What clients do wrong.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_end_of_a_connection_is_told_in_tls(
    secured: Secured, origin: Origin, version: ssl.TLSVersion
) -> None:
    """Where the end of the connection is that of the answer, only TLS's closing message makes it a proper
    one (RFC 9112 section 9.8)."""
    origin.put("/known", b"known", cache_control=FRESH)
    origin.put("/ends", b"ends", chunked=True, cache_control="no-store")
    context = secured.context()
    context.maximum_version = version
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    oneshot = "HTTP/1.1\r\nHost: origin\r\nConnection: close"
    for path in ("/known", "/known", "/ends"):
        for rest in ("HTTP/1.0", oneshot.replace("origin", f"{origin.host}:{origin.port}")):
            plain = socket.create_connection(secured.address, 10)
            with context.wrap_socket(
                plain, server_hostname="localhost", suppress_ragged_eofs=False
            ) as client:
                client.sendall(f"GET {origin.url(path)} {rest}\r\n\r\n".encode())
                got = b"".join(iter(lambda: client.recv(1 << 16), b""))
            assert path[1:].encode() in got


@pytest.mark.parametrize("is_slow", [False, True])
def test_plain_http_is_told_that_this_is_tls(secured: Secured, is_slow: bool) -> None:
    asked = request("GET http://h/x")
    with Conversation(secured.address) as client:
        for piece in [asked[i : i + 1] for i in range(len(asked))] if is_slow else [asked]:
            with suppress(ConnectionError):  # answered by the first byte
                client.send(piece)
        reply = client.reply()
        assert (reply.status, reply.reason) == (400, "Bad Request")
        assert reply.body == b"it is plain HTTP, and this port speaks TLS: ask it with https://\n"
        assert client.rest() == b""


def test_tls_on_a_plain_port_stays_as_it_is(secured: Secured) -> None:
    with Conversation(secured.proxy.address) as client:
        reply = client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").reply()
        assert reply.status == 400
        assert b"it begins TLS, and this port speaks plain HTTP" in reply.body


def test_who_fails_or_leaves_costs_others_nothing(secured: Secured, origin: Origin) -> None:
    origin.put("/a", b"body", cache_control=FRESH)
    chance, silent = random.Random(9), []
    for number in range(200):
        client = socket.create_connection(secured.address, 10)
        match number % 4:
            case 0:
                client.sendall(b"\x16\x03\x01\x00\x05hello")
            case 1:
                client.sendall(b"\x16" + chance.randbytes(chance.randrange(300)))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            case 2:
                silent.append(client)
                continue
        client.close()
    with closing(secured.conversation()) as good:
        good.request("GET", f"/{origin.url('/a')}")
        assert good.getresponse().read() == b"body"
    until(lambda: "a TLS handshake with 127.0.0.1 failed: " in secured.proxy.log())
    failed = re.findall("a TLS handshake with 127.0.0.1 failed: (.*)", secured.proxy.log())
    assert all(failed.count(why) <= 3 for why in failed)
    assert "Traceback" not in secured.proxy.log()
    for client in silent:
        client.close()


def ask(secured: Secured, context: ssl.SSLContext) -> bytes:
    """The answer to a request on a connection of its own."""
    with closing(secured.conversation(context)) as client:
        client.request("GET", "/api/v1/health/")
        return client.getresponse().read()


def test_clients_have_to_show_a_certificate(
    make_secured: MakeSecured, pairs: dict[str, Certificate]
) -> None:
    secured = make_secured(client_ca=pairs["client"].certificate)
    assert ask(secured, secured.context(pairs["client"])) == b"ok"
    for other in (None, pairs["second"]):
        with pytest.raises(ssl.SSLError, match="alert"):
            ask(secured, secured.context(other))
    for why in ("peer did not return a certificate", "certificate verify failed"):
        until(lambda why=why: f"failed: {why}" in secured.proxy.log())  # type: ignore[misc]


# Certificates that change.


def test_new_files_come_into_force_by_themselves(
    make_secured: MakeSecured, pairs: dict[str, Certificate], origin: Origin
) -> None:
    origin.put("/a", b"body", cache_control=FRESH)
    secured = make_secured(workers=2)
    until(lambda: len(secured.proxy.worker_pids()) == 2)
    workers, first = secured.proxy.worker_pids(), secured.shown()
    with closing(secured.conversation()) as before:
        before.request("GET", f"/{origin.url('/a')}")
        assert before.getresponse().read() == b"body"
        secured.key.write_bytes(b"nonsense")
        until(lambda: secured.proxy.log().count("has no private key") >= 2)
        assert secured.shown() == first
        secured.take(pairs["second"])
        until(lambda: secured.proxy.log().count("the files have changed, and are in force") == 2)
        assert {secured.shown() for _ in range(10)} == {
            ssl.PEM_cert_to_DER_cert(pairs["second"].certificate.read_text())
        }
        before.request("GET", f"/{origin.url('/a')}")
        assert before.getresponse().read() == b"body"
    assert secured.proxy.worker_pids() == workers
    assert secured.proxy.log().count("has no private key") == 2, "each worker says so once"


def test_a_reload_reads_the_files_and_moves_ports(
    make_secured: MakeSecured, pairs: dict[str, Certificate]
) -> None:
    secured = make_secured(workers=2)
    first, plain = secured.shown(), secured.proxy.netloc
    secured.take(pairs["second"])
    reload(secured.proxy, {"listen": [plain, secured.listen]})
    assert secured.shown() != first
    # The port that spoke TLS is plain, and the other way round.
    swapped = {"address": plain, "tls": secured.listen["tls"]}
    secured.proxy.configure({"listen": [secured.listen["address"], swapped]})
    secured.proxy.reload()

    def speaks_tls() -> bool:
        context = secured.context()
        with (
            socket.create_connection(secured.proxy.address, 10) as there,
            suppress(OSError),
            context.wrap_socket(there, server_hostname="localhost"),
        ):
            return True
        return False

    until(speaks_tls)
    until(lambda: len(secured.proxy.worker_pids()) == 2)
    with Conversation(secured.address) as client:
        assert client.send(request("GET /api/v1/health/")).reply().body == b"ok"
    # What does not work changes nothing.
    shutil.copy(pairs["first"].key, secured.key)
    secured.proxy.reload()
    until(lambda: "the configuration stays as it was: listen[1].tls.key: " in secured.proxy.log())
    assert speaks_tls()


def test_a_session_is_resumed_at_any_worker(make_secured: MakeSecured) -> None:
    secured = make_secured(workers=2)
    until(lambda: len(secured.proxy.worker_pids()) == 2)
    context = secured.context()

    def asked(session: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession | None, bool | None]:
        """The session that a request leaves, and whether it has resumed the other."""
        with secured.connected(context, session) as client:
            client.sendall(request("GET /api/v1/health/", "Connection: close"))
            while client.recv(1000):
                pass
            return client.session, client.session_reused

    asked()  # both workers run
    first, second = secured.proxy.worker_pids()
    session = None
    for stopped in (first, second):  # so that the other one answers
        os.kill(stopped, signal.SIGSTOP)
        try:
            session, is_reused = asked(session)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert is_reused == (stopped == second)


# From start to stop.


def test_a_stop_lets_answers_finish(secured: Secured, origin: Origin) -> None:
    origin.put("/slow", BODY, cache_control=FRESH, rate=2_000_000.0)
    with closing(secured.conversation()) as client:
        client.request("GET", f"/{origin.url('/slow')}")
        answer = client.getresponse()
        received = answer.read(100_000)
        os.kill(secured.proxy.pid, signal.SIGTERM)
        received += answer.read()
    assert hashlib.sha256(received).hexdigest() == DIGEST
    assert secured.proxy.terminate() == 0


def is_done(client: ssl.SSLObject) -> bool:
    """Whether the client's handshake is over, after the steps that are possible now."""
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def test_who_is_in_a_handshake_at_a_stop_is_answered(secured: Secured) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = secured.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(secured.address, 10) as plain:
        assert not is_done(client)
        plain.sendall(outgoing.read())
        incoming.write(plain.recv(1 << 16))  # the worker has the connection
        os.kill(secured.proxy.pid, signal.SIGTERM)
        until(lambda: "Handling signal: term" in secured.proxy.log())
        while not is_done(client):
            incoming.write(plain.recv(1 << 16))
        client.write(request("GET /api/v1/health/"))
        plain.sendall(outgoing.read())
        received = b""
        while came := plain.recv(1 << 16):
            incoming.write(came)
            with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while data := client.read(1 << 16):
                    received += data
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.endswith(b"ok")
    assert secured.proxy.terminate() == 0


def test_the_start_says_what_is_wrong(make_secured: MakeSecured, pairs: dict[str, Certificate]) -> None:
    secured = make_secured(start=False)
    shutil.copy(pairs["second"].key, secured.key)
    done = run(*secured.proxy.command[3:])
    assert done.status == WRONG_USAGE
    told = f"listen[0].tls.key: {secured.key} is not the key of the certificate in {secured.certificate}\n"
    assert told in done.stderr
    secured.key.unlink()
    assert (
        f"listen[0].tls.key: {secured.key} cannot be read: No such file"
        in run(*secured.proxy.command[3:]).stderr
    )
    secured.take(pairs["first"])
    secured.proxy.start()
    assert (
        f"pyproxycache listens on {secured.netloc} (TLS), {secured.proxy.netloc}\n" in secured.proxy.log()
    )


def test_commands_know_of_it(secured: Secured, origin: Origin, tmp_path: Path) -> None:
    origin.put("/a", b"body", cache_control=FRESH)
    where = ("-c", str(secured.proxy.config_file))
    assert call("config", "check", where[1]).status == DONE
    plain = yaml.safe_load(secured.proxy.config_file.read_text())
    shown = yaml.safe_load(call("config", "show", *where).stdout)["listen"]
    assert shown == [
        {**secured.listen, "tls": {**secured.listen["tls"], "client_ca": None}},
        plain["listen"][1],
    ]
    running = call("config", "show", "--running", "--cache-dir", str(secured.proxy.cache_dir))
    assert yaml.safe_load(running.stdout)["listen"] == shown
    assert call("fetch", origin.url("/a"), *where).status == DONE  # by the plain listener
    alone = tmp_path / "alone.yaml"
    alone.write_text(json.dumps({"listen": [secured.listen]}))
    (fetched,) = printed("fetch", origin.url("/a"), "-c", str(alone))
    assert (fetched["error"], fetched["bytes"]) == ("", 4)
    # One that is not that of the file, and one that no authority vouches for.
    other = {**secured.listen, "tls": {**secured.listen["tls"], "certificate": str(tmp_path / "other.pem")}}
    alone.write_text(json.dumps({"listen": [other]}))
    assert (
        "other.pem, the cache's certificate, cannot be read"
        in call("fetch", "http://h/", "-c", str(alone)).stderr
    )
    (tmp_path / "other").mkdir()
    shutil.copy(make_certificate(tmp_path / "other", "DNS:localhost").certificate, tmp_path / "other.pem")
    (fetched,) = printed("fetch", origin.url("/a"), "-c", str(alone), status=PROBLEMS)
    assert fetched["error"].startswith(
        f"TLS with the cache at {secured.url} failed: Fingerprints did not match"
    )
    (fetched,) = printed("fetch", origin.url("/a"), "--proxy", secured.url, status=PROBLEMS)
    assert fetched["error"].startswith(
        f"TLS with the cache at {secured.url} failed: certificate verify failed"
    )
    trusted = call(
        "fetch", origin.url("/a"), "--proxy", secured.url, REQUESTS_CA_BUNDLE=str(secured.certificate)
    )
    assert trusted.status == DONE


# What a service manager does before it runs the program.
ACTIVATE = """
import os, socket, sys
ports = [int(port) for port in sys.argv[1].split(",")]
listeners = [socket.create_server(("127.0.0.1", port)) for port in ports]
for number, listener in enumerate(listeners, start=3):
    os.dup2(listener.detach(), number + 10)
for number in range(3, 3 + len(ports)):
    os.dup2(number + 10, number)
    os.set_inheritable(number, True)
os.environ |= {"LISTEN_FDS": str(len(ports)), "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize("is_first", [False, True])
def test_activated_sockets_speak_what_their_addresses_do(make_secured: MakeSecured, is_first: bool) -> None:
    secured = make_secured(start=False)
    proxy = secured.proxy
    ports = [proxy.address[1], secured.address[1]]
    told = ",".join(map(str, reversed(ports) if is_first else ports))
    proxy.command[:0] = [sys.executable, "-c", ACTIVATE, told]
    proxy.start()
    for _ in range(2):
        with closing(secured.conversation()) as client:
            client.request("GET", "/api/v1/health/")
            assert client.getresponse().read() == b"ok"
        with Conversation(proxy.address) as plain:
            assert plain.send(request("GET /api/v1/health/")).reply().body == b"ok"
        workers = proxy.worker_pids()
        proxy.reload()
        until(lambda workers=workers: workers and not set(workers) & set(proxy.worker_pids()))  # type: ignore[misc]
    # None is plain that is to speak TLS.
    proxy.configure({"listen": {**secured.listen, "address": "127.0.0.1:1"}})
    proxy.reload()
    until(
        lambda: "'127.0.0.1:1' is to speak TLS, and is none of the service manager's sockets" in proxy.log()
    )
    with closing(secured.conversation()) as client:
        client.request("GET", "/api/v1/health/")
        assert client.getresponse().read() == b"ok"


def test_a_client_that_stays_silent_is_left(secured: Secured) -> None:
    with socket.create_connection(secured.address, 20) as client:
        client.sendall(b"\x16\x03")
        assert is_readable(client, 15)
        assert client.recv(10) == b""
    until(lambda: "failed: it was not finished in time" in secured.proxy.log())
