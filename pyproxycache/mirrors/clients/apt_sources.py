"""apt: its archives, one a line (sources.list) or in stanzas (.sources)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pyproxycache.mirrors.clients.client_settings import Environ, Settings, lines_of

_LINE = re.compile(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)(?:\s.*)?")
# How clients of apt-cacher-ng ask it for archives by https.
_SECURE = re.compile("http://https///", re.IGNORECASE)
# Archives that are no servers of HTTP, or lists of such.
_OTHER = ("cdrom:", "file:", "copy:", "mirror+", "mirror:")


def sources_list(text: str, _environ: Environ) -> Settings:
    """sources.list, and files in sources.list.d that end with .list."""
    return _archives(found[1] for line in lines_of(text) if (found := _LINE.fullmatch(line)))


def sources_stanzas(text: str, _environ: Environ) -> Settings:
    """Files in sources.list.d that end with .sources."""
    urls: list[str] = []
    for stanza in re.split(r"\n(?:[ \t]*\n)+", "\n".join(text.splitlines())):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("enabled", "yes").lower() not in ("no", "false", "without", "off", "disable"):
            urls += fields.get("uris", "").split()
    return _archives(urls)


def _archives(urls: Iterable[str]) -> Settings:
    found: Settings = {}
    for told in urls:
        url = _SECURE.sub("https://", told, 1)
        if not url.lower().startswith(_OTHER):
            found[f"{url.rstrip('/')}/"] = (url,)
    return found
