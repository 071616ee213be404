"""Maven: the mirrors and repositories of settings.xml."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from pyproxycache.mirrors.clients.client_settings import Environ, Settings

_PLACES = ("mirror", "repository", "pluginRepository")


def maven_file(text: str, _environ: Environ) -> Settings:
    """settings.xml; blocked mirrors, and URLs that are made of properties, are left out."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it has a document type, which no such file needs and which is not read")
    try:
        # Safe: without a document type there are no entities that stand for more than they are.
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"it is not XML: {error}") from error
    found: Settings = {}
    for place in root.iter():
        kind = _name(place)
        told = dict(_texts(place)) if kind in _PLACES else {}
        url = told.get("url", "")
        if url and "${" not in url and told.get("blocked") != "true":
            found[f"{kind} {told.get('id', '')}".strip()] = (url,)
    return found


def _texts(place: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for child in place:
        yield _name(child), (child.text or "").strip()


def _name(element: ElementTree.Element) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]
