"""Users and passwords: who gets an answer, from wherever it comes, and where credentials do not go."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
import requests
from certificates import make_certificate
from harness import Proxy, clean_environment
from origin import Generated, Origin
from raw import Conversation, request
from waiting import until

MakeProxy = Callable[..., Proxy]
Field = tuple[str, str]


def entry(name: str, password: str) -> str:
    return f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"


def basic(user: str, password: str) -> Field:
    return "Proxy-Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()


ANN = basic("ann", "s3cret")
BOB = basic("bob", "pässword")
FRESH = {"etag": '"1"', "cache_control": "max-age=3600"}


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(entry("ann", "s3cret") + entry("bob", "pässword"))
    return path


@pytest.fixture
def make_locked(make_proxy: MakeProxy, users: Path, tmp_path: Path) -> MakeProxy:
    """Starts proxies for these users; `config` comes on top."""

    def make(config: dict[str, object] | None = None, **options: object) -> Proxy:
        log = {"access": str(tmp_path / "access.log"), "format": "json", "level": "debug"}
        auth = {"users": str(users), "realm": 'a "lab"'}
        return make_proxy(config={"proxy_auth": auth, "log": log, **(config or {})}, **options)

    return make


@pytest.fixture
def locked(make_locked: MakeProxy) -> Proxy:
    return make_locked()


def refuses(proxy: Proxy, url: str, *fields: Field) -> bool:
    return proxy.get(url, fields).status == 407


def test_only_users_get_an_answer(locked: Proxy, origin: Origin) -> None:
    origin.put("/page", b"page", **FRESH)
    url = origin.url("/page")
    refused = locked.get(url)
    assert refused.status == 407
    assert refused.reason == "Proxy Authentication Required"
    assert refused.get("Proxy-Authenticate") == 'Basic realm="a \\"lab\\"", charset="UTF-8"'
    assert refused.get("Cache-Status") is None
    for _ in range(3):
        # The first answer is the origin's, the others come from the store and from memory.
        assert locked.get(url, [ANN]).body == b"page"
        assert locked.get(url, [BOB]).body == b"page"
        assert locked.get(url, [ANN, ("X-Harmless", "1")]).body == b"page"
        for fields in ((), (basic("ann", "wrong"),), (basic("eve", "s3cret"),), (ANN, ANN), (ANN, BOB)):
            assert refuses(locked, url, *fields), fields
    assert origin.count("/page") == 1


def test_a_connection_goes_on_after_a_refusal(locked: Proxy, origin: Origin) -> None:
    origin.put("/page", b"page", **FRESH)
    line, credentials = f"GET {origin.url('/page')}", ": ".join(ANN)
    with Conversation(locked.address) as client:
        for _ in range(3):
            assert client.send(request(line)).reply().status == 407
            assert client.send(request(line, credentials)).reply().body == b"page"
        assert client.send(request(line, "Content-Length: 4", body=b"GET ")).reply().status == 407
        assert client.send(request(line, credentials)).reply().body == b"page"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /{}", 403),
        ("GET /api/v1/fetch/?url={}", 403),
        ("GET /api/v1/status/", 403),
        ("GET /", 403),
        ("OPTIONS *", 403),
        ("GET /api/v1/health/", 200),
        ("PURGE {}", 407),
        ("TRACE {}", 407),
        ("OPTIONS {}", 407),
        ("POST {}", 407),
        ("GET ftp://127.0.0.1/", 407),
    ],
)
def test_what_needs_a_user(locked: Proxy, origin: Origin, line: str, status: int) -> None:
    with Conversation(locked.address) as client:
        answer = client.send(request(line.format(origin.url("/page")))).reply()
    assert answer.status == status
    assert (answer.get("Proxy-Authenticate") is not None) == (status == 407)
    if status == 403:
        assert b"http_proxy" in answer.body
    assert not origin.requests


def test_a_tunnel_is_for_users(make_locked: MakeProxy, origin: Origin) -> None:
    origin.put("/page", b"page")
    locked = make_locked({"connect": {"ports": [origin.port]}})
    end = f"CONNECT 127.0.0.1:{origin.port}"
    for fields in ((), (": ".join(basic("ann", "wrong")),)):
        with Conversation(locked.address) as client:
            refused = client.send(request(end, *fields) + request("GET /page")).reply()
            assert refused.status == 407
            assert refused.get("Connection") == "close"
            assert client.rest() == b""
    with Conversation(locked.address) as client:
        assert client.send(request(end, ": ".join(ANN))).head().status == 200
        assert client.send(request("GET /page")).reply().body == b"page"
    (asked,) = origin.requests
    assert asked.get("Proxy-Authorization") is None


def test_credentials_stay_here(make_locked: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    vary = [("Vary", "Proxy-Authorization, Accept")]
    origin.put("/page", b"page", headers=vary, **FRESH)
    locked = make_locked()
    seen = b""
    for fields in ([ANN], [BOB], [ANN], [("Proxy-Authorization", "Basic !" + ANN[1][6:])]):
        answer = locked.get(origin.url("/page"), fields)
        seen += repr(answer.headers).encode() + answer.body
    locked.get(origin.url("/page"), [ANN], method="TRACE")
    assert [asked.method for asked in origin.requests] == ["GET", "TRACE"]
    assert all(asked.get("Proxy-Authorization") is None for asked in origin.requests)
    locked.terminate()
    seen += locked.log().encode() + (tmp_path / "access.log").read_bytes()
    for path in locked.cache_dir.rglob("*"):
        seen += path.read_bytes() if path.is_file() else b""
    for secret in ("s3cret", "pässword", ANN[1][6:], BOB[1][6:]):
        assert secret.encode() not in seen


def test_the_log_has_the_user(make_locked: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    origin.put("/page", b"page", **FRESH)
    locked = make_locked()
    for _ in range(3):
        for fields in ([ANN], [BOB], [basic("ann", "wrong")], []):
            locked.get(origin.url("/page"), fields)
    locked.terminate()
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    told = Counter((line["user"], line["status"], line["squid"]) for line in lines)
    hits = {("ann", 200, "TCP_HIT"): 2, ("bob", 200, "TCP_HIT"): 3}
    assert told == {("ann", 200, "TCP_MISS"): 1, **hits, (None, 407, "TCP_DENIED"): 6}


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[bytes]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, env=clean_environment(environment), capture_output=True, timeout=60)


@pytest.mark.parametrize("how", [[], ["--proxy-anyauth"]])
def test_curl(make_locked: MakeProxy, origin: Origin, how: list[str]) -> None:
    origin.put("/page", b"page", **FRESH)
    locked = make_locked({"connect": {"ports": [origin.port]}})
    curl = ["curl", "-sS", *how, "-x", locked.url, "-w", "%{http_code} %{http_connect}"]
    for tunnel, right, wrong in (([], "200 000", "407 000"), (["--proxytunnel"], "200 200", "000 407")):
        passed = run([*curl, *tunnel, "--proxy-user", "bob:pässword", origin.url("/page")])
        assert passed.stdout.decode() == f"page{right}", passed
        refused = run([*curl, *tunnel, "--proxy-user", "bob:wrong", origin.url("/page")])
        assert refused.stdout.decode().endswith(wrong), refused


def test_over_tls(origin: Origin, users: Path, tmp_path: Path) -> None:
    origin.put("/page", b"page", **FRESH)
    certificate = make_certificate(tmp_path, "IP:127.0.0.1")
    tls = {"certificate": str(certificate.certificate), "key": str(certificate.key)}
    proxy = Proxy(tmp_path / "proxy", config="")
    at = proxy.command.index("--listen")
    del proxy.command[at : at + 2]
    listen = {"address": proxy.netloc, "tls": tls}
    proxy.configure({"listen": [listen], "proxy_auth": {"users": str(users)}})
    curl = ["curl", "-sS", "-x", f"https://{proxy.netloc}", "--proxy-cacert", str(certificate.certificate)]
    curl += ["-w", " %{http_code}", origin.url("/page"), "--proxy-user"]
    with proxy:
        for _ in range(3):
            passed = run([*curl, "ann:s3cret"])
            assert passed.stdout == b"page 200", passed
            refused = run([*curl, "ann:wrong"])
            assert refused.stdout.endswith(b" 407"), refused


def test_requests(locked: Proxy, origin: Origin) -> None:
    origin.put("/page", b"page", **FRESH)
    for user, status in (("ann:s3cret@", 200), ("ann:wrong@", 407), ("", 407)):
        with requests.Session() as session:
            session.trust_env = False
            session.proxies = {"http": f"http://{user}{locked.netloc}"}
            assert [session.get(origin.url("/page")).status_code for _ in range(3)] == [status] * 3


def test_pip(locked: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.put(
        "/simple/tiny/", b'<a href="/tiny-1.0.tar.gz">x</a>', headers=[("Content-Type", "text/html")]
    )
    origin.put("/tiny-1.0.tar.gz", b"")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir"]
    index = ["index", "versions", "--index-url", origin.url("/simple"), "tiny", "--retries", "0"]
    right = run([*pip, *index, "--proxy", f"http://ann:s3cret@{locked.netloc}"])
    assert b"tiny (1.0)" in right.stdout, right
    wrong = run([*pip, *index, "--proxy", f"http://ann:wrong@{locked.netloc}"])
    assert wrong.returncode != 0


def test_a_joined_download_is_for_users(locked: Proxy, origin: Origin) -> None:
    body = Generated(2_000_000, seed=7)
    origin.put("/large", body, **FRESH)
    gate = origin.gate("/large", 500_000)
    url = origin.url("/large")
    first = [locked.download(url, [ANN], expected=body).start() for _ in range(5)]
    gate.wait_reached()
    for _ in range(3):
        for fields in ((), (basic("ann", "wrong"),), (basic("ann", "s3cret "),)):
            assert refuses(locked, url, *fields)
    more = [locked.download(url, [field], expected=body).start() for field in (ANN, BOB, ANN, BOB)]
    gate.open()
    assert all(download.join().correct for download in first + more)
    assert origin.count("/large") == 1


def test_equal_heads_that_wait_together(locked: Proxy, origin: Origin) -> None:
    origin.put("/page", b"page", **FRESH)
    gate = origin.gate("/page")
    url = origin.url("/page")
    users = [locked.download(url, [ANN]).start() for _ in range(10)]
    origin.wait_for("/page")
    others = [locked.download(url, fields) for fields in ([], [basic("ann", "wrong")]) for _ in range(10)]
    for download in others:
        download.start()
    for download in others:
        assert download.join().status == 407
    gate.open()
    assert {download.join().status for download in users} == {200}
    assert origin.count("/page") == 1


def test_the_file_is_read_again(locked: Proxy, origin: Origin, users: Path) -> None:
    origin.put("/page", b"page", **FRESH)
    url = origin.url("/page")
    for _ in range(3):
        assert locked.get(url, [ANN]).status == locked.get(url, [BOB]).status == 200
    kept = users.read_text().splitlines(keepends=True)[1]
    users.write_text(entry("ann", "new") + kept)
    until(lambda: refuses(locked, url, ANN))
    assert refuses(locked, url, ANN, ("X-Harmless", "1"))
    assert locked.get(url, [basic("ann", "new")]).status == 200
    users.write_text(kept)
    until(lambda: refuses(locked, url, basic("ann", "new")))
    assert locked.get(url, [BOB]).status == 200


def test_a_broken_file_changes_nothing(locked: Proxy, origin: Origin, users: Path) -> None:
    origin.put("/page", b"page", **FRESH)
    url, right = origin.url("/page"), users.read_text()
    told = f"{users}:2: is not an entry of bcrypt"
    users.write_text(entry("ann", "new") + "bob:$apr1$s4lt$s3cr3thash\n")
    until(lambda: told in locked.log())
    assert locked.get(url, [ANN]).status == 200
    (worker,) = locked.worker_pids()
    locked.kill_worker(worker)
    until(lambda: locked.worker_pids() not in ([], [worker]))
    assert locked.get(url, [ANN]).status == 200
    locked.reload()
    until(lambda: "the configuration stays as it was" in locked.log())
    assert locked.get(url, [ANN]).status == 200
    users.write_text(right + entry("eve", "s3cret"))
    until(lambda: not refuses(locked, url, basic("eve", "s3cret")))
    assert locked.log().count(f"the users stay as they were: proxy_auth.users: {told}") == 1
    assert "s3cr3thash" not in locked.log()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ann:{SHA}s3cr3thash=\n", ":1: is not an entry of bcrypt: accepted is NAME:HASH"),
        ("# nobody\n", ": has no users"),
        (None, ": cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_file_is_told_at_the_start(
    make_locked: MakeProxy, users: Path, text: str | None, told: str
) -> None:
    users.unlink()
    if text is not None:
        users.write_text(text)
    with pytest.raises(RuntimeError, match=r"status 2") as failed:
        make_locked()
    assert f"proxy_auth.users: {users}{told}" in str(failed.value)
    assert "s3cr3thash" not in str(failed.value)


def test_the_command_fetch_tells_why_it_has_nothing(locked: Proxy, origin: Origin) -> None:
    done = run([sys.executable, "-m", "pyproxycache", "fetch", "--proxy", locked.netloc, origin.url("/x")])
    assert done.returncode == 1
    assert b"status 403: this cache asks for a user name and a password" in done.stderr


def test_sighup_takes_other_users(locked: Proxy, origin: Origin, users: Path, tmp_path: Path) -> None:
    origin.put("/page", b"page", **FRESH)
    other = tmp_path / "others"
    other.write_text(entry("eve", "s3cret"))
    assert locked.get(origin.url("/page"), [ANN]).status == 200
    locked.configure({"proxy_auth": {"users": str(other)}})
    locked.reload()
    until(lambda: refuses(locked, origin.url("/page"), ANN))
    assert locked.get(origin.url("/page"), [basic("eve", "s3cret")]).status == 200


def test_attackers_hold_no_thread(make_locked: MakeProxy, origin: Origin, users: Path) -> None:
    slow = bcrypt.hashpw(b"slow", bcrypt.gensalt(12)).decode()
    users.write_text(f"slow:{slow}\n{users.read_text()}")
    origin.put("/page", b"page", **FRESH)
    origin.put("/other", b"other")
    locked = make_locked(threads=4)
    url = origin.url("/page")
    assert locked.get(url, [ANN]).status == 200
    attacks = [locked.download(url, [basic("slow", f"wrong {n}")]) for n in range(100)]
    for attack in attacks:
        attack.start()
    for _ in range(20):
        # These wait for no check: what is known of them suffices.
        assert locked.get(url, [ANN]).status == 200
        assert locked.get(origin.url("/other"), [ANN]).body == b"other"
        assert refuses(locked, url)
    with socket.create_connection(locked.address, 20, ("127.0.0.2", 0)) as elsewhere:
        # Another client waits for its own check alone.
        elsewhere.sendall(request(f"GET {url}", ": ".join(BOB)))
        assert elsewhere.recv(12) == b"HTTP/1.1 200"
    answers = [attack.join() for attack in attacks]
    assert {answer.status for answer in answers} == {407, 429}
    assert sum(answer.status == 407 for answer in answers) < 30
    assert all(
        int(answer.get("Retry-After") or 0) in range(1, 61) for answer in answers if answer.status == 429
    )
