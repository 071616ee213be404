"""What `route` says of a request: its route, what is asked for it, and what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import DONE, PROBLEMS, WRONG_USAGE, call, printed

UP = "http://10.0.0.5:8000"
ROUTES = {
    "/api/v1/": {
        "upstream": f"{UP}/base",
        "methods": ["GET", "HEAD", "POST"],
        "limits": {
            "ip": {"by": "client", "count": 9, "per": "1s"},
            "key": {"by": {"header": "x-key"}, "count": 5, "per": "1m"},
        },
        "cache": {
            "ttl": "30s",
            "ttl_error": "3s",
            "respect": ["no-store"],
            "key": {"body": True, "query": "sort", "headers": ["accept"]},
        },
        "routes": {"users/": {"cache": {"ttl": "5m", "ttl_error": None}}, "login": {"exclude": True}},
    },
    "/plain": {"upstream": UP},
    "/shop/": {
        "upstream": UP,
        "path": {"strip": "/shop", "add": "/v2", "replace": {"pattern": "x", "with": ".."}},
        "headers": {"request": {"set": {"x-key": "k3y"}, "remove": "a", "rename": {"b": "c"}}},
        "request_id": True,
        "cors": {"origins": "https://app.test"},
        "limit_body": 10,
        "routes": {"old": {"maintenance": {"status": 502}}},
    },
    "/kept": {
        "upstream": UP,
        "cache": {"ttl": "30s", "sliding": True, "longest": "2h"},
        "refresh": {"every": "15s", "hits": 10},
    },
    "/pool": {"upstream": [UP, {"url": "http://10.0.0.6:8000", "weight": 2}]},
}
HOSTS = {"status.test": {"routes": {"/": {"upstream": UP}}}}


@pytest.fixture
def configured(tmp_path: Path) -> str:
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"store": {"path": "/c"}, "routes": ROUTES, "hosts": HOSTS}))
    return str(file)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["/api/v1/x?b=1&a=2"],
            {
                "route": "/api/v1/",
                "upstream": f"{UP}/base/api/v1/x?b=1&a=2",
                "methods": ["GET", "HEAD", "POST"],
                "cached": "for 30s, errors for 3s, unless the upstream says no-store",
                "key": f"{UP}/base/api/v1/x?a=2&b=1",
            },
        ),
        (["http://anywhere.test/api/v1/users/7"], {"route": "/api/v1/users/"}),
        (["/api/v1/%75sers/7"], {"route": "/api/v1/users/", "upstream": f"{UP}/base/api/v1/%75sers/7"}),
        (["/api/v1/login"], {"route": "/api/v1/login", "cached": "no: the route is excluded"}),
        (["/plain", "-X", "DELETE"], {"cached": "no: DELETE is passed on, and what is stored of the URL"}),
        (["/pool/x"], {"upstream": f"{UP}/pool/x", "pool": [f"{UP}/", "http://10.0.0.6:8000/"]}),
        (["/plain"], {"cached": "as the upstream's answer says", "methods": ["any"]}),
        (["/plain", "-H", "Upgrade: websocket"], {"cached": "no: the connection may switch to websocket"}),
        (
            ["/kept"],
            {
                "cached": "for 30s from its last use, up to 2h, errors not stored",
                "refreshed": "every 15s, and after 10 hits",
            },
        ),
        (["/x", "-H", "Host: Status.test:80"], {"route": "status.test/", "upstream": f"{UP}/x"}),
        (["http://status.test./x"], {"route": "status.test/"}),
    ],
)
def test_what_is_said(configured: str, arguments: list[str], expected: dict[str, Any]) -> None:
    told = printed("route", *arguments, "-c", configured)
    for key, value in expected.items():
        assert told[key][: len(value)] == value


def test_the_gates_of_a_route(configured: str) -> None:
    assert printed("route", "/plain", "-c", configured)["gates"] == []
    limits = ["limit ip (9 in 1s by client)", "limit key (5 in 1m by header x-key)"]
    assert printed("route", "/api/v1/login", "-c", configured)["gates"] == limits


def test_what_selects_the_answer(configured: str) -> None:
    told = printed("route", "/api/v1/x", "-X", "POST", "-c", configured)
    named = "the host and scheme that the client has named"
    assert told["selected_by"][:4] == ["the query, sorted by name", "the content", named, "accept"]
    with Path(configured).open("a") as file:
        file.write("forwarded: {send: false}\n")
    assert named not in printed("route", "/api/v1/x", "-c", configured)["selected_by"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["/api/v10"], PROBLEMS, "no route has /api/v10 at any host; there are /api/v1/"),
        (["http://other.test/x"], PROBLEMS, "no route has /x at other.test"),
        (["/api/v1/../x"], PROBLEMS, "refused with 400"),
        (["ftp://h/x"], PROBLEMS, "refused with 400"),
        (["/plain", "-H", "nothing"], WRONG_USAGE, "'nothing' is not a field"),
        (["/plain", "-H", "Host: a b"], PROBLEMS, "refused with 400"),
        (["/plain", "-X", "G T"], WRONG_USAGE, "--method: 'G T' is not a request method, as in GET"),
        (
            ["/plain", "-X", "get"],
            WRONG_USAGE,
            "--method: 'get' is not a request method, as case counts: write GET",
        ),
        (["plain"], WRONG_USAGE, "'plain' is neither a path, as in /api/v1/users, nor a URL"),
        ([""], WRONG_USAGE, "'' is neither a path"),
    ],
)
def test_what_has_no_route(configured: str, arguments: list[str], status: int, said: str) -> None:
    done = call("route", *arguments, "-c", configured)
    assert (done.status, done.stdout) == (status, "")
    assert said in done.stderr


def test_a_method_that_the_route_does_not_take(configured: str) -> None:
    done = call("route", "/api/v1/x", "-X", "DELETE", "-c", configured)
    assert done.status == PROBLEMS
    assert "refused:     405, as the route takes no DELETE\n" in done.stdout
    assert "key:" not in done.stdout


def test_lines_for_people(configured: str) -> None:
    done = call("route", "/api/v1/users/7", "-c", configured)
    assert done.status == DONE
    assert done.stdout.splitlines()[:5] == [
        "route:       /api/v1/users/",
        f"asks:        {UP}/base/api/v1/users/7",
        "methods:     GET, HEAD, POST",
        "gates:       limit ip (9 in 1s by client), limit key (5 in 1m by header x-key)",
        "cached:      for 5m, errors not stored, unless the upstream says no-store",
    ]


def test_without_routes(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("{}")
    done = call("route", "/x", "-c", str(file))
    assert (done.status, "no routes" in done.stderr) == (PROBLEMS, True)


TOKENS: list[tuple[dict[str, Any], str]] = [
    (
        {"endpoint": "https://idp.test/check?{token}"},
        "a token (bearer) that https://idp.test says is valid",
    ),
    (
        {"jwt": {"jwks": "/k", "issuer": "https://idp.test", "audience": "api"}, "token": {"cookie": "s"}},
        "a token (cookie s) that https://idp.test has signed",
    ),
]


@pytest.mark.parametrize(("introspect", "told"), TOKENS)
def test_tokens_are_checked_between_limits(introspect: dict[str, Any], told: str, tmp_path: Path) -> None:
    limits = {
        "user": {"by": {"token": "sub"}, "count": 5, "per": "1m"},
        "ip": {"by": "client", "count": 9, "per": "1s"},
    }
    routes = {"/": {"upstream": UP, "introspect": introspect, "limits": limits}}
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"store": {"path": "/c"}, "routes": routes}))
    gates = ["limit ip (9 in 1s by client)", told, "limit user (5 in 1m by token sub)"]
    assert printed("route", "/x", "-c", str(file))["gates"] == gates


PAGE = ("-H", "Origin: https://app.test")
ALLOWED = "with Access-Control-Allow-Origin: https://app.test"


def test_what_is_done_around_a_request(configured: str) -> None:
    told = printed("route", "/shop/a?b", *PAGE, "-c", configured)
    assert told["upstream"] == f"{UP}/v2/a?b"
    assert told["request_headers"] == [
        "with X-Request-Id",
        "without Origin",
        "without a",
        "b as c",
        "with x-key",
    ]
    assert told["answer_headers"] == ["with X-Request-Id", ALLOWED]
    assert "k3y" not in call("route", "/shop/a", "-c", configured).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/shop/old"], "502, as the route is being maintained"),
        (["/shop/a", "-X", "POST", "-H", "Content-Length: 11"], "413, as the route takes up to 10 bytes"),
        (
            ["/shop/a", "-X", "OPTIONS", *PAGE, "-H", "Access-Control-Request-Method: PUT"],
            "204, the answer to a preflight request",
        ),
    ],
)
def test_what_is_answered_in_place_of_the_upstream(
    configured: str, arguments: list[str], said: str
) -> None:
    told = printed("route", *arguments, "-c", configured, status=PROBLEMS)
    assert told["refused"].startswith(said)
    assert "cached" not in told


def test_a_path_that_would_lead_elsewhere(configured: str) -> None:
    done = call("route", "/shop/x/y", "-c", configured)
    assert (done.status, "refused with 400" in done.stderr) == (PROBLEMS, True)
