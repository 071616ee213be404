"""A route that lets in who has a valid token, so many times an hour: what its hits cost."""

from __future__ import annotations

from collections.abc import Mapping

from harness import Reply, fetch

from compare import results as the
from compare.parts import Bench, Note
from compare.servers import Before, Nginx, Ours, Server

AUTHORIZATION = "Bearer known-0123456789abcdefghijklmnopqrstuvwxyz"
"""What the origin says is valid, and whatever begins like that."""
TOKENS = 1000
"""How many load.lua has at most."""
RUNS = 10
FIELDS = (f"Authorization: {AUTHORIZATION}",)
MODES = {"plain": "one remembered token", "tokens": "1,000 remembered tokens in turn"}

NGINX_ZONES = """
    proxy_cache_path @FOLDER@/tokens levels=1:2 keys_zone=tokens:64m inactive=60s use_temp_path=off;
    limit_req_zone $http_authorization zone=requests:64m rate=1000000r/s;
    limit_req_status 429;
"""
NGINX_TOKEN_CHECK = """
        location = /token-check {
            internal;
            proxy_pass http://origin/userinfo;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_cache tokens;
            proxy_cache_key $http_authorization;
            proxy_cache_lock on;
            proxy_ignore_headers Cache-Control Expires;
            proxy_cache_valid 200 60s;
        }
"""
NGINX_GATES = """
            auth_request /token-check;
            limit_req zone=requests burst=1000000 nodelay;
"""


class Guarded(Server):
    """A server that answers who has a token."""

    def fetch(self, path: str) -> Reply:
        return fetch(None, self.url + path, [("Authorization", AUTHORIZATION)])


class NginxAsGateway(Guarded, Nginx):
    def gates(self) -> dict[str, object]:
        zones = NGINX_ZONES.replace("@FOLDER@", str(self.folder))
        return {"ZONES": zones, "TOKEN_CHECK": NGINX_TOKEN_CHECK, "GATES": NGINX_GATES}


class OursAsGateway(Guarded, Ours):
    def way_in(self) -> dict[str, object]:
        endpoint = {
            "url": f"http://{self.origin}/userinfo",
            "method": "GET",
            "headers": {"authorization": "Bearer {token}"},
            "valid": {},
            "invalid": [401],
        }
        route = {
            "upstream": f"http://{self.origin}",
            "introspect": {"endpoint": endpoint, "remember": "60s"},
            "limits": {"token": {"by": {"header": "authorization"}, "count": 1_000_000, "per": "1s"}},
            "cache": {"key": {"headers": []}},
        }
        return {"listen": f"127.0.0.1:{self.port}", "routes": {"/": route}}


class BeforeAsGateway(OursAsGateway, Before):
    """The same of an earlier version."""


GUARDED: Mapping[str, type[Server]] = {
    kind.name: kind for kind in (OursAsGateway, NginxAsGateway, BeforeAsGateway)
}


def hits(bench: Bench, server: Server, note: Note) -> None:
    """Part 11: hits on kept connections, by one token and by many; RuntimeError if others get them, too."""
    if (status := fetch(None, f"{server.url}/1k", [("Authorization", "Bearer other")]).status) != 401:
        raise RuntimeError(f"a token that is not valid is answered {status}")
    for mode, by in MODES.items():
        remember(bench, server, mode)
        with bench.busy(server, the.GUARDED.format(by), note) as tell:
            tell(bench.hits(server, "1k", mode, FIELDS))


def remember(bench: Bench, server: Server, mode: str) -> None:
    """Ask by all tokens, and once more when none is new; RuntimeError if that takes too long."""
    for _ in range(RUNS):
        if bench.hits(server, "1k", mode, FIELDS).requests > 2 * TOKENS:
            bench.hits(server, "1k", mode, FIELDS)
            return
    raise RuntimeError(f"{TOKENS} tokens are not remembered after {RUNS} runs")
