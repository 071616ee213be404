"""What routes may say of fields, paths, pages and maintenance, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import dump, parse
from pyproxycache.errors import ConfigError
from pyproxycache.wiring.routes.surroundings import try_surroundings

UP = "http://10.0.0.5:8000"


def read(**options: Any) -> Config:
    routes = {"/api/": {"upstream": UP, **options}}
    return parse(yaml.safe_dump({"store": {"path": "/c"}, "routes": routes}), "c.yaml")


def test_all_of_it_is_read_written_and_inherited() -> None:
    config = read(
        path={"strip": "/api", "add": "/v2", "replace": {"pattern": "(a)", "with": r"\1b"}},
        headers={"request": {"set": {"X-A": "${env:A}"}, "remove": "B", "rename": {"C": "D"}}},
        cors={"origins": "https://App.test", "credentials": True},
        maintenance={"retry_after": "1h"},
        limit_body="1M",
        compress={},
        timeout="10s",
        silence="1m",
        request_id=True,
        trace=True,
        routes={"x/": {"headers": {"request": {"set": {"y": "1"}}}, "maintenance": None}},
    )
    assert parse(dump(config), "d.yaml") == config
    assert "${env:A}" in dump(config)
    inner = config.routes["/api/x/"]
    assert inner.headers.request.set == {"x-a": "${env:A}", "y": "1"}
    assert inner.maintenance is None
    assert inner.cors is not None
    assert inner.cors.origins == ("https://app.test",)
    assert inner.path.replace[0].text == r"\1b"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(
            (
                {"headers": {"request": {"set": {name: "x"}}}},
                f"request.set.{name}: {name!r} is not a header",
            )
            for name in (
                "Connection",
                "content-length",
                "Transfer-Encoding",
                "Host",
                "TE",
                "Upgrade",
                "a b",
            )
        ),
        (
            {"headers": {"request": {"rename": {"a": "c", "b": "c"}}}},
            "request.rename.a: 'c' is the new name of",
        ),
        ({"headers": {"response": {"rename": {"a": "A"}}}}, "response.rename.a: 'a' is the new name of"),
        ({"headers": {"response": {"remove": ["keep-alive"]}}}, "response.remove[0]: 'keep-alive'"),
        ({"headers": {"response": {"rename": {"x": "content-encoding"}}}}, "'content-encoding' is not"),
        ({"headers": {"response": {"set": {"x": "a\r\nSet-Cookie: b"}}}}, "a header field's value"),
        ({"headers": {"response": {"set": {"x": "a\0"}}}}, "a header field's value"),
        ({"headers": {"response": {"set": {"x": "${env:}"}}}}, "accepted are ${env:NAME}"),
        (
            {"headers": {"request": {"set": {"authorization": "Bearer s3cret"}}}},
            "secrets are not written here",
        ),
        ({"path": {"strip": "/other"}}, "path.strip: '/other' is not what the route's path begins with"),
        ({"path": {"strip": "/ap"}}, "path.strip: '/ap' is not what"),
        ({"path": {"add": "/a/../b"}}, "a path from the first slash on"),
        ({"path": {"replace": {"pattern": "(", "with": "x"}}}, "a regular expression"),
        ({"path": {"replace": {"pattern": "a", "with": r"\1"}}}, "replace[0].with: '\\\\1' does not fit"),
        ({"path": {"replace": {"pattern": "a", "with": "x?y"}}}, "without ?, # and blanks"),
        ({"path": {"replace": {"pattern": "a", "with": "x\r\ny"}}}, "without ?, # and blanks"),
        ({"cors": {"origins": []}}, "cors.origins: [] is not accepted"),
        ({"cors": {"origins": ["app.test"]}}, "an origin as browsers send it"),
        ({"cors": {"origins": ["https://app.test/"]}}, "an origin as browsers send it"),
        ({"cors": {"origins": ["https://a.*.test"]}}, "an origin as browsers send it"),
        ({"cors": {"origins": ["null"]}}, "an origin as browsers send it"),
        ({"cors": {"origins": "*", "credentials": True}}, "cors.origins: '*' is not accepted with"),
        (
            {"cors": {"origins": "https://a.test", "headers": "*", "credentials": True}},
            "cors.headers: '*' is not accepted with",
        ),
        (
            {
                "introspect": {"endpoint": "http://h/i", "pass_on": {"header": "x-token"}},
                "headers": {"request": {"rename": {"x-mine": "X-Token"}}},
            },
            "headers.request: 'x-token' is not accepted",
        ),
        ({"compress": {"codings": "br"}}, "compress.codings: 'br' is not one of"),
        ({"compress": {"codings": []}}, "compress.codings: [] is not accepted"),
        ({"compress": {"types": "text"}}, "a media type, as in text/*"),
        ({"timeout": 0}, "a timeout: an age above zero"),
        ({"maintenance": {"status": 200}}, "a status from 400 to 599"),
        ({"maintenance": {"file": "/x", "body": "y"}}, "is not accepted beside 'file'"),
    ],
)
def test_what_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(**options)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "a\r\nb: c", "ä", "x" * 10_000])
def test_secrets_that_are_no_values_are_refused(secret: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(secret)
    config = read(headers={"request": {"set": {"x-key": f"${{file:{file}}}"}}})
    with pytest.raises(ConfigError) as refused:
        try_surroundings(config)
    assert "routes./api/.headers.request.set.x-key" in str(refused.value)
    assert not secret or secret not in str(refused.value)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"maintenance\.file: /nowhere"):
        try_surroundings(read(maintenance={"file": "/nowhere"}))
