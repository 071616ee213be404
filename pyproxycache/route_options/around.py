"""What a route does around its requests and their answers: fields, paths, origins of pages, refusals."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from pyproxycache.options import Folder, Regex, Size

ChangedField = Annotated[str, "changed field"]
HeaderValue = Annotated[str, "header value"]
PathPrefix = Annotated[str, "route path"]
Replacement = Annotated[str, "path replacement"]
PageOrigin = Annotated[str, "page origin"]
NamedMethod = Annotated[str, "method"]
NamedField = Annotated[str, "named field"]
ErrorStatus = Annotated[int, "error status"]
MediaType = Annotated[str, "media type"]


class FieldChanges(Struct, frozen=True, kw_only=True):
    """How the fields of a head are changed: first some are removed, then renamed, then set.

    A field that is renamed takes the place of one that has its new name already. Values may name secrets.
    """

    set: dict[ChangedField, HeaderValue] = {}
    remove: tuple[ChangedField, ...] = ()
    rename: dict[ChangedField, ChangedField] = {}


class HeaderOptions(Struct, frozen=True, kw_only=True):
    """How fields of requests are changed on their way to the upstream, and those of answers to clients."""

    request: FieldChanges = FieldChanges()
    response: FieldChanges = FieldChanges()


class PathReplacement(Struct, frozen=True, kw_only=True, rename={"text": "with"}):
    """Replaces what the pattern finds in a path by a text, as `re.sub` does."""

    pattern: Regex
    text: Replacement


class PathOptions(Struct, frozen=True, kw_only=True):
    """How paths are rewritten for the upstream: `strip` goes, then `replace` is done, then `add` comes."""

    strip: PathPrefix | None = None
    replace: tuple[PathReplacement, ...] = ()
    add: PathPrefix | None = None


class CorsOptions(Struct, frozen=True, kw_only=True):
    """Which pages of other origins may use the route (the CORS protocol of the Fetch standard).

    `methods` (none: those of the route) and `headers` are what their requests may have, `expose` the
    answers' fields that they may read. `credentials`: they may send cookies. Browsers may remember that for
    `max_age` seconds.
    """

    origins: tuple[PageOrigin, ...]
    methods: tuple[NamedMethod, ...] = ()
    headers: tuple[NamedField, ...] = ()
    expose: tuple[NamedField, ...] = ()
    credentials: bool = False
    max_age: Annotated[float, "age"] = 600.0


Coding = Literal["zstd", "gzip"]


class CompressOptions(Struct, frozen=True, kw_only=True):
    """Which answers are coded for clients that want it, by which of the `codings`, the first one first.

    Those of `types` with `min_size` bytes or more, or of a length that is not known.
    """

    codings: tuple[Coding, ...] = ("zstd", "gzip")
    types: tuple[MediaType, ...] = (
        "text/*",
        "application/json",
        "application/*+json",
        "application/javascript",
        "application/xml",
        "application/*+xml",
        "image/svg+xml",
    )
    min_size: Size = 1 << 10


class MaintenanceOptions(Struct, frozen=True, kw_only=True):
    """What is answered in place of the upstream: the text, or what is in the file."""

    status: ErrorStatus = 503
    body: str = "this service is being maintained: try again later\n"
    file: Folder | None = None
    content_type: HeaderValue | None = None
    retry_after: Annotated[float, "age"] | None = None
