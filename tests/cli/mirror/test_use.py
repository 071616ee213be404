"""`mirror use`: whose mirror, at which address, for whom."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pyproxycache.cli import main

MIRRORS = {
    "py": {"ecosystem": "pypi", "upstream": "https://py.test/"},
    "any": {"ecosystem": "generic", "upstream": "https://any.test/"},
}


def use(folder: Path, *words: str, **config: object) -> Result:
    file = folder / "config.yaml"
    store = {"path": str(folder / "cache")}
    file.write_text(yaml.safe_dump({"mirrors": MIRRORS, "store": store, **config}))
    return CliRunner().invoke(main, ["mirror", "use", "-c", str(file), *words])


def test_lines_for_a_shell(tmp_path: Path) -> None:
    result = use(tmp_path, "py", "--client", "uv")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "# uv, by variables",
        "export UV_DEFAULT_INDEX=http://127.0.0.1:3128/py/simple/",
        "# uv, in ~/.config/uv/uv.toml",
        "#   [[index]]",
        '#   url = "http://127.0.0.1:3128/py/simple/"',
        "#   default = true",
    ]
    assert use(tmp_path, "any").stdout == "http://127.0.0.1:3128/any/\n"


@pytest.mark.parametrize(
    ("words", "config", "url"),
    [
        (["--server", "cache:80"], {}, "http://cache:80/py/"),
        (["--server", "https://cache"], {"public_url": "https://x"}, "https://cache/py/"),
        ([], {"public_url": "https://mirror.test"}, "https://mirror.test/py/"),
        ([], {"listen": [":99"]}, "http://[::1]:99/py/"),
        ([], {"listen": "0.0.0.0:99"}, "http://127.0.0.1:99/py/"),
    ],
)
def test_address(tmp_path: Path, words: list[str], config: dict[str, object], url: str) -> None:
    found = json.loads(use(tmp_path, "py", "--json", *words, **config).stdout)
    assert found["url"] == url
    assert found["clients"]["pip"]["variables"]["PIP_INDEX_URL"] == f"{url}simple/"


@pytest.mark.parametrize(
    ("words", "config", "status", "said"),
    [
        (["js"], {}, 1, "there is no mirror 'js': configured are any, py"),
        (["py"], {"mirrors": {}}, 1, "configured are none; no server runs on "),
        (["py", "--client", "npm"], {}, 2, "'npm' is none of the clients of pypi: pip, uv"),
        (["py"], {"listen": "unix:/p"}, 1, "the server listens on Unix sockets alone"),
        (["py", "--server", "cache/x"], {}, 2, "--server: "),
    ],
)
def test_refused(
    tmp_path: Path, words: list[str], config: dict[str, object], status: int, said: str
) -> None:
    result = use(tmp_path, *words, **config)
    assert (result.exit_code, said in result.stderr, result.stdout) == (status, True, "")
