"""The tests themselves: what they reach for is public, so what is behind it may change."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Public, whatever they look like.
DOCUMENTED = {"_exit", "_replace", "_asdict", "_fields", "_make"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def private_names(source: str) -> list[str]:
    """What the source takes of others that is theirs alone, as "line: name"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if own or _is_super(node.value) else [node.attr]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyproxycache"):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node) in ("setattr", "getattr", "delattr"):
            of, *given = node.args
            of_itself = isinstance(of, ast.Name) and of.id == "self"
            texts = [str(one.value) for one in (of, *given) if isinstance(one, ast.Constant)]
            names = [] if of_itself else [text.rpartition(".")[2] for text in texts]
        found += [f"{node.lineno}: {name}" for name in names if is_private(name)]  # type: ignore[attr-defined]
    return found


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and _called(node) == "super"


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


SOURCES = sorted(TESTS.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TESTS)))
def test_nothing_private_is_read_or_patched(path: Path) -> None:
    assert private_names(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "pool._tasks = []",
        "len(kept._files)",
        "front.poller._sessions.memory",
        "monkeypatch.setattr(threads, '_KEPT_SECONDS', 1)",
        "monkeypatch.setattr('pyproxycache.front.memory.memory._MOST_FILES', 1)",
        "getattr(pool, '_tasks')",
        "from pyproxycache.store.bodies.batches import _Waiting",
    ],
)
def test_what_is_private_is_found(source: str) -> None:
    assert private_names(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "self._own = 1",
        "super()._own()",
        "os._exit(0)",
        "parts._replace(path='')",
        "one.__dict__",
        "_here = 1",
    ],
)
def test_what_is_a_test_s_own_passes(source: str) -> None:
    assert private_names(source) == []


def test_no_file_name_stands_twice() -> None:
    """All of them are imported by their names alone."""
    names = Counter(path.name for path in SOURCES if path.stem not in ("conftest", "__init__"))
    assert [name for name, count in names.items() if count > 1] == []
