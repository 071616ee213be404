"""Which statements of a file count, where documents of several repositories speak of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyproxycache.rules.digests import STRONG
from pyproxycache.rules.digests_in_names import digest_in_name
from pyproxycache.statement import MOST_OF_A_FILE, Statement
from pyproxycache.url import origin_of


def in_force(
    key: str, statements: Sequence[Statement], repositories: Iterable[str] = ()
) -> tuple[Statement, ...]:
    """Those of the statements of a file that count: a body has to match one of them.

    `key` is the file's cache key, `repositories` are those of the mirror that is asked, the first that
    states something counts before all. Else those count that the file is itself of: its repository's, or
    its origin's. Else it may be any, as nobody knows whose documents the client has read; but none if its
    name has a safe digest, or if there are more than can be kept, so that the right one may not be there.
    """
    for repository in repositories:
        if found := [one for one in statements if one.repository.startswith(repository)]:
            return _of_the_nearest(found)
    counted = [one for one in statements if one.is_binding] or statements
    if found := [one for one in counted if key.startswith(one.repository)]:
        return _of_the_nearest(found)
    if found := [one for one in counted if origin_of(one.repository) == origin_of(key)]:
        return tuple(found)
    if len(statements) >= MOST_OF_A_FILE or _is_named_by_digest(key):
        return ()
    return tuple(counted)


def own(key: str, statements: Sequence[Statement]) -> Statement | None:
    """What the file's own repository or origin states of it; None if it states nothing."""
    found = in_force(key, statements)
    return next((one for one in found if origin_of(one.repository) == origin_of(key)), None)


def of_mirror(key: str, statements: Sequence[Statement], repositories: Sequence[str]) -> Statement | None:
    """What the mirror with these repositories states of a file, if others state something else that counts.

    None where its clients may have what all others get.
    """
    found = in_force(key, statements, repositories)
    others = in_force(key, statements)
    if not found or found == others or {one.text for one in others} == {found[0].text}:
        return None
    return found[0]


def _of_the_nearest(found: Iterable[Statement]) -> tuple[Statement, ...]:
    """The statement of that repository which is within the others."""
    return (max(found, key=lambda one: len(one.repository)),)


def _is_named_by_digest(key: str) -> bool:
    path = key.partition("?")[0]
    return any(one.algorithm in STRONG for one in digest_in_name(path))
