"""npm, pnpm and yarn: their registries of JavaScript packages."""

from __future__ import annotations

import re

from pyproxycache.mirrors.clients.client_settings import (
    Environ,
    Settings,
    at,
    lines_of,
    table,
    texts,
    with_variables,
    yaml_of,
)

_REGISTRY = re.compile(r"(?:@[^:\s]+:)?registry")
_YARN_1 = re.compile(r"\"?((?:@[^:\s\"]+:)?registry)\"?\s+\"?([^\s\"]+)\"?")


def npmrc(text: str, environ: Environ) -> Settings:
    """.npmrc, which npm, pnpm and yarn 1 read."""
    found: Settings = {}
    for line in lines_of(text, "#;"):
        name, mark, value = line.partition("=")
        value = with_variables(value.strip().strip("\"'"), environ)
        if mark and value and _REGISTRY.fullmatch(name.strip()):
            found[name.strip()] = (value,)
    return found


def npm_variables(environ: Environ) -> Settings:
    """npm_config_registry, in any case."""
    named = [value for name, value in environ.items() if name.lower() == "npm_config_registry" and value]
    return {"registry": (named[-1],)} if named else {}


def yarnrc(text: str, _environ: Environ) -> Settings:
    """The registries in .yarnrc, of yarn 1."""
    told = (_YARN_1.fullmatch(line) for line in lines_of(text))
    return {found[1]: (found[2],) for found in told if found}


def yarnrc_yml(text: str, environ: Environ) -> Settings:
    """The registries in .yarnrc.yml, of yarn from 2 on."""
    document = yaml_of(text)
    found = {"npmRegistryServer": texts(document.get("npmRegistryServer"))[:1]}
    for name, scope in table(document.get("npmScopes")).items():
        found[f"npmScopes.{name}"] = texts(at(scope, "npmRegistryServer"))[:1]
    return {key: tuple(with_variables(url, environ) for url in urls) for key, urls in found.items() if urls}


def yarn_variables(environ: Environ) -> Settings:
    """YARN_REGISTRY of yarn 1, YARN_NPM_REGISTRY_SERVER from yarn 2 on."""
    names = {"YARN_REGISTRY": "registry", "YARN_NPM_REGISTRY_SERVER": "npmRegistryServer"}
    return {key: (environ[name],) for name, key in names.items() if environ.get(name)}
