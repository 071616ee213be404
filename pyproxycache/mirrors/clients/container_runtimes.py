"""containerd and Docker: registries of images, and the mirrors of them that are configured."""

from __future__ import annotations

import json

from pyproxycache.mirrors.clients.client_settings import Environ, Settings, at, table, texts
from pyproxycache.mirrors.toml_text import toml_of


def containerd_hosts(text: str, _environ: Environ) -> Settings:
    """hosts.toml of one registry: its mirrors, which are asked first, and the registry itself."""
    document = toml_of(text)
    server = texts(document.get("server"))[:1]
    urls = (*table(document.get("host")), *server)
    return {server[0] if server else "host": tuple(map(_without_version, urls))} if urls else {}


def containerd_config(text: str, _environ: Environ) -> Settings:
    """config.toml with the older form of mirrors, those of each registry."""
    found: Settings = {}
    for plugin in table(toml_of(text).get("plugins")).values():
        for name, one in table(at(plugin, "registry", "mirrors")).items():
            if urls := tuple(map(_without_version, texts(at(one, "endpoint")))):
                found[f"mirrors.{name}"] = urls
    return found


def docker_file(text: str, _environ: Environ) -> Settings:
    """daemon.json of Docker, which has mirrors of its one registry."""
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    urls = tuple(map(_without_version, texts(table(document).get("registry-mirrors"))))
    return {"registry-mirrors": urls} if urls else {}


def _without_version(url: str) -> str:
    """The registry's URL without the path of its interface.

    Raises ValueError for one that is below that of another, as Harbor's and others' copies of registries.
    """
    if "/v2/" in url.rstrip("/"):
        raise ValueError(f"{url} is a part of a registry, and a mirror needs a whole one as its upstream")
    return url.rstrip("/").removesuffix("/v2")
