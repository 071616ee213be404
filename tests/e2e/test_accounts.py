"""`allow_accounts`: programs of other users of this machine get nothing, also where they leave at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Proxy, clean_environment
from origin import Origin
from waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start programs of other users")

NOBODY, DAEMON = 65534, 1
ASK = """
import encodings.idna, os, socket, sys
os.setuid(int(sys.argv[3]))
if sys.argv[5].startswith("/"):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[5])
else:
    sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
try:
    sock.sendall(f"GET {sys.argv[4]} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
    if sys.argv[5] == "leave":
        sys.exit()
    while data := sock.recv(65536):
        sys.stdout.buffer.write(data)
except ConnectionError:
    print("reset")
"""


def ask(proxy: Proxy, user: int, url: str, what: str = "stay") -> bytes:
    host, port = proxy.address
    done = subprocess.run(
        [sys.executable, "-c", ASK, host, str(port), str(user), url, what],
        capture_output=True,
        timeout=30,
        check=True,
        env=clean_environment(),
    )
    return done.stdout


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as one:
        one.put("/file", b"for some")
        yield one


def test_other_users_get_nothing(tmp_path: Path, origin: Origin) -> None:
    with Proxy(tmp_path, config={"allow_accounts": ["daemon"]}) as proxy:
        assert ask(proxy, DAEMON, origin.url("/file")).endswith(b"for some")
        assert ask(proxy, 0, origin.url("/file")).endswith(b"for some")  # root, always
        assert ask(proxy, NOBODY, origin.url("/file")) in (b"", b"reset\n")
        until(lambda: f"({NOBODY}) is refused" in proxy.log())


def test_who_leaves_at_once_is_not_taken_for_root(tmp_path: Path, origin: Origin) -> None:
    with Proxy(tmp_path, config={"allow_accounts": [DAEMON]}) as proxy:
        os.kill(
            proxy.worker_pids()[0], signal.SIGSTOP
        )  # stopped, so that it accepts when the client has gone
        ask(proxy, NOBODY, origin.url("/file"), "leave")
        os.kill(proxy.worker_pids()[0], signal.SIGCONT)
        assert ask(proxy, DAEMON, origin.url("/file")).endswith(b"for some")
        assert origin.count("/file") == 1


def test_users_on_a_unix_socket(tmp_path: Path, origin: Origin) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        arguments = ["--listen", f"unix:{folder}/socket"]
        with Proxy(tmp_path, config={"allow_accounts": [DAEMON]}, arguments=arguments) as proxy:
            Path(folder, "socket").chmod(0o777)
            assert ask(proxy, DAEMON, origin.url("/file"), f"{folder}/socket").endswith(b"for some")
            assert ask(proxy, NOBODY, origin.url("/file"), f"{folder}/socket") in (b"", b"reset\n")


def test_an_unknown_user_is_an_error(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, config={"allow_accounts": ["no-such-user", "daemon"]})
    with pytest.raises(RuntimeError, match="allow_accounts: this machine has no user 'no-such-user'"):
        proxy.start()
    proxy.close()
