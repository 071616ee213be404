"""What clients say first in TLS: a proxy that opens no tunnel, and keeps the ClientHello for one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from client import bare_environment
from scripted import read_head

NAME = "hello.example"
URL = f"https://{NAME}/"

_PYTHON = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])"
_NODE = """
const [host, port] = process.argv[1].split(':'), net = require('net'), tls = require('tls');
const head = 'CONNECT NAME:443 HTTP/1.1\\r\\nHost: NAME\\r\\n\\r\\n';
const socket = net.connect(port, host, () => socket.write(head));
socket.once('data', () => tls.connect({socket, servername: 'NAME', ALPNProtocols: ['h2', 'http/1.1']})
  .on('error', () => process.exit(1)));
""".replace("NAME", NAME)
_GO = """
package main

import ("net/http"; "os")

func main() { http.Get(os.Args[1]) }
"""
_JAVA = """
import java.net.URI;
import java.net.http.*;

public class Hello {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newBuilder().proxy(java.net.ProxySelector.getDefault()).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        client.send(request, HttpResponse.BodyHandlers.discarding());
    }
}
"""
_BROWSER = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")


@dataclass(frozen=True, eq=False)
class Speaker:
    """A program that asks for NAME in TLS by way of a proxy.

    `command` is given a folder and the proxy's address. `protocols` are those that it offers.
    """

    name: str
    tool: str
    command: Callable[[Path, str], Sequence[str | Path]]
    protocols: tuple[str, ...] = ("h2", "http/1.1")
    variables: Mapping[str, str] = field(default_factory=dict)
    is_quick: bool = True

    def recorded(self, folder: Path) -> bytes:
        """Its first message; skips the test where it is not installed."""
        if shutil.which(self.tool) is None:
            pytest.skip(f"{self.tool} is not installed: make clients")
        with HelloRecorder() as recorder:
            proxy = f"http://{recorder.address}"
            environment = {**bare_environment(folder), "https_proxy": proxy, "HTTPS_PROXY": proxy}
            host, _, port = recorder.address.partition(":")
            environment["JAVA_TOOL_OPTIONS"] = f"-Dhttps.proxyHost={host} -Dhttps.proxyPort={port}"
            with subprocess.Popen(
                list(map(str, self.command(folder, recorder.address))),
                cwd=folder,
                env={**environment, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as process:
                try:
                    return recorder.hello(100)
                finally:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, 9)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


SPEAKERS = (
    Speaker(
        "OpenSSL",
        "openssl",
        lambda _folder, proxy: [
            *("openssl", "s_client", "-proxy", proxy, "-connect", f"{NAME}:443"),
            *("-servername", NAME, "-alpn", "h2,http/1.1"),
        ],
    ),
    Speaker(
        "OpenSSL in TLS 1.2 without ALPN",
        "openssl",
        lambda _folder, proxy: [
            *("openssl", "s_client", "-proxy", proxy, "-connect", f"{NAME}:443", "-tls1_2"),
            *("-servername", NAME),
        ],
        protocols=(),
    ),
    Speaker("curl", "curl", lambda _folder, _proxy: ["curl", URL]),
    Speaker("wget (GnuTLS)", "wget", lambda _folder, _proxy: ["wget", "-t", "1", URL], protocols=()),
    Speaker(
        "Python",
        sys.executable,
        lambda _folder, _proxy: [sys.executable, "-c", _PYTHON, URL],
        protocols=("http/1.1",),
    ),
    Speaker("Node", "node", lambda _folder, proxy: ["node", "-e", _NODE, proxy]),
    Speaker(
        "Go",
        "go",
        lambda folder, _proxy: ["go", "run", _written(folder / "hello.go", _GO), URL],
        variables={"GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"},
        is_quick=False,
    ),
    Speaker(
        "Java's HttpClient",
        "java",
        lambda folder, _proxy: ["java", _written(folder / "Hello.java", _JAVA), URL],
        is_quick=False,
    ),
    Speaker(
        "Chromium",
        "chromium",
        lambda folder, proxy: [
            *("chromium", *_BROWSER, f"--user-data-dir={folder / 'profile'}"),
            *(f"--proxy-server=http://{proxy}", "--dump-dom", URL),
        ],
        is_quick=False,
    ),
)


class HelloRecorder:
    """Answers each CONNECT with 200, and keeps what follows it for NAME up to the end of a ClientHello."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        self._found = threading.Event()
        self._hello = b""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def hello(self, seconds: float) -> bytes:
        """The first that was recorded; AssertionError where none comes in so long."""
        assert self._found.wait(seconds), "it has said nothing"
        return self._hello

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._record, args=(connection,), daemon=True).start()

    def _record(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            connection.settimeout(20)
            head = read_head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if not head.startswith(f"CONNECT {NAME}:443 ".encode()):
                return
            raw = b""
            while not _is_whole(raw):
                data = connection.recv(1 << 16)
                if not data:
                    return
                raw += data
            self._hello = raw
            self._found.set()


def _is_whole(raw: bytes) -> bool:
    """Whether the records have the whole of the message that begins in the first of them."""
    message, place = b"", 0
    while place + 5 <= len(raw):
        end = place + 5 + int.from_bytes(raw[place + 3 : place + 5], "big")
        message, place = message + raw[place + 5 : end], end
    return place == len(raw) and len(message) >= 4 + int.from_bytes(message[1:4], "big") > 4
