"""`pyproxycache env`: lines by which a shell's programs use the server that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import call
from harness import Proxy, clean_environment
from origin import Origin

ENV = f"{sys.executable} -m pyproxycache env"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin(host="127.0.0.2") as one:
        one.put("/file", b"the file", headers=[("Cache-Control", "max-age=600")])
        yield one


def shell(script: str, home: Path, **environment: str) -> str:
    done = subprocess.run(
        ["sh", "-ec", script],
        capture_output=True,
        text=True,
        timeout=110,
        env=clean_environment(
            {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "SHELL": "/bin/sh", **environment}
        ),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_shell_s_programs_use_the_server(tmp_path: Path, origin: Origin) -> None:
    get = f"{sys.executable} -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read())'"
    with Proxy(tmp_path / "server") as server:
        script = f"""
            env | grep -v ^_= | sort > before
            eval "$({ENV} --cache-dir {server.cache_dir})"
            {get} {origin.url("/file")}
            echo $http_proxy
            eval "$({ENV} --cache-dir {server.cache_dir})"
            echo $no_proxy
            eval "$({ENV} --unset)"
            env | grep -v ^_= | sort | diff before - && echo as before
        """
        shown = shell(
            f"cd {tmp_path}\n{script}", tmp_path, no_proxy="a.example", JAVA_TOOL_OPTIONS="-Da='b c'"
        )
        assert shown.splitlines() == [
            "b'the file'",
            server.url,
            "a.example,localhost,127.0.0.1",
            "as before",
        ]
        assert server.get(origin.url("/file")).get("Cache-Status") is not None
        assert origin.count("/file") == 1


def test_settings_as_json(tmp_path: Path) -> None:
    with Proxy(tmp_path / "server") as server:
        place = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XDG_CACHE_HOME": ""}
        done = call("env", "--json", "--server", server.url, **place)
        assert done.status == 0, done.stderr
        settings = json.loads(done.stdout)
        assert settings["https_proxy"] == server.url
        folder = tmp_path / "pyproxycache-env" / f"127.0.0.1-{server.address[1]}"
        assert settings["WGETRC"] == str(folder / "wgetrc")
        assert (folder / "wgetrc").stat().st_mode & 0o777 == 0o600
        assert "SSL_CERT_FILE" not in settings  # it intercepts nothing


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "no server that programs can use runs on "),
        (("--server", "127.0.0.1:1"), "no cache answers at http://127.0.0.1:1: Connection refused"),
        (("--server", "unix:/x"), "--server: 'unix:/x' is a Unix socket"),
        (("--server", "127.0.0.1:1", "--ca", "/no/file"), "--ca: /no/file: No such file or directory"),
        (("--server", "127.0.0.1:1", "--ca", "/etc/passwd"), "--ca: /etc/passwd has no certificate in PEM"),
    ],
)
def test_no_server(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    done = call("env", "--cache-dir", str(tmp_path / "cache"), *arguments, HOME=str(tmp_path))
    assert (done.status, done.stdout) == (1, "")
    assert text in done.stderr


def test_what_is_no_cache(tmp_path: Path, origin: Origin) -> None:
    done = call("env", "--server", origin.url("").rstrip("/"), HOME=str(tmp_path))
    assert (done.status, f"what answers at {origin.url('')} is no pyproxycache" in done.stderr) == (1, True)
