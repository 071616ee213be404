"""Imports point one way: the design's layers, read off the source."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pyproxycache"

# From the bottom up: a component imports what is below it.
LAYERS = (
    {
        "messages",
        "url",
        "response",
        "statement",
        "body",
        "announced",
        "outcome",
        "facts",
        "errors",
        "units",
        "options",
        "mirror_options",
        "route_options",
        "clock",
        "steps",
        "cancellation",
        "blocking",
        "connection_login",
        "background",
    },
    {"rules", "net", "tls"},
    {"http1", "mirrors"},
    {"routing"},
    {"store", "upstream"},
    {"gates", "report"},
    {"serving"},
    {"fetching"},
    {"engine", "passing_engine"},
    {"front"},
    {"wiring"},
    {"cli", "__main__"},
)
LAYER = {component: number for number, layer in enumerate(LAYERS) for component in layer}

# Those of a set know nothing of one another: what joins them is above. Mirrors are said in terms of rules.
APART = (
    {"rules", "store", "upstream"},
    *({"mirrors", other} for other in ("net", "http1", "routing", "store", "upstream")),
)

# What lies below them and is none of their business: it is handed to them, where they need it.
NOT_KNOWN = {"serving": {"upstream"}}

# The rooms of a large component, from the bottom up.
ROOMS = {
    "configuration": (
        "refusals",
        "secrets",
        "places",
        "notations",
        "notation",
        "documents",
        "inheritance",
        "sections",
        "operator_rules",
        "default_places",
        "config",
        "checks",
        "loading",
        "shown",
    ),
    "store": ("values", "ports", "store_errors", "files", "sqlite", "index", "bodies", "flights", "upkeep"),
    "serving": (
        "package_indexes",
        "status_fields",
        "responses",
        "lookup",
        "resumed",
        "arriving",
        "entry_bodies",
        "delivery",
    ),
    "fetching": (
        "transfers",
        "storing_advice",
        "fetch_job",
        "reuse_terms",
        "leading",
        "leader",
        "dispatch",
        "direct_bodies",
        "succession",
        "flight_answers",
        "forwarder",
        "fetcher",
        "refreshes",
    ),
    "front": (
        "requests",
        "presentation",
        "onward",
        "loop",
        "interception",
        "handlers",
        "gating",
        "around",
        "mirroring",
        "gateway",
        "admin",
        "router",
        "answers",
        "memory",
        "http1",
        "http2",
        "processes",
    ),
}

# What is above the store knows its ports and their values, whatever is behind them.
PORTS = {"values", "ports", "store_errors"}
BESIDE_PORTS = {"store", "wiring", "cli"}

# The configuration stands beside the layers: what it may import, and who may import it.
CONFIGURATION = {"configuration"}
BELOW_CONFIGURATION = LAYERS[0] | {"rules", "mirrors"} | CONFIGURATION
ABOVE_CONFIGURATION = LAYERS[-2] | LAYERS[-1] | CONFIGURATION

IMPURE = {"os", "time", "socket", "sqlite3", "threading", "subprocess", "pathlib", "random"}


def module_names() -> dict[str, Path]:
    """Dotted names below the package ("store.index", "store", "" for the package itself)."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(module: str, source: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of all that is imported, in functions and type checks too."""
    here = ["pyproxycache", *filter(None, module.split("."))]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = here[: len(here) - node.level + is_package]
                base = ".".join([*parents, *filter(None, [base])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if importer in CONFIGURATION:
        return imported in BELOW_CONFIGURATION
    if imported in CONFIGURATION:
        return importer in ABOVE_CONFIGURATION
    if any({importer, imported} <= apart for apart in APART) or imported in NOT_KNOWN.get(importer, ()):
        return False
    return LAYER[imported] <= LAYER.get(importer, -1)


def offences(module: str, source: str, is_package: bool = False) -> list[str]:
    """The lines that break a rule, as "module:line: what"."""
    component = module.split(".")[0]
    found = []
    for line, name in imports(module, source, is_package):
        package, target, *_rest = [*name.split("."), ""]
        if component == "rules" and package in IMPURE:
            found.append(f"{module}:{line}: rules import {package}")
        if component == "rules" and name.startswith("pyproxycache.clock"):
            found.append(f"{module}:{line}: rules ask for the time, which is an argument")
        ours = package == "pyproxycache" and target in LAYER.keys() | CONFIGURATION
        if ours and not allowed(component, target):
            found.append(f"{module}:{line}: {component} imports {target}")
        elif (
            ours and target == "store" and component not in BESIDE_PORTS and name.split(".")[2] not in PORTS
        ):
            found.append(f"{module}:{line}: {component} imports what is behind the store's ports")
    return found


# What asks for the time, by module; `localtime` and `gmtime` do without an argument.
ASKING = {
    "time": {
        "time",
        "time_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "clock_gettime",
    },
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
CONVERTING = {"localtime", "gmtime", "ctime", "strftime"}


def time_questions(source: str) -> list[int]:
    """The lines where the source asks for the time by itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found.append(node.lineno)
        if isinstance(node, ast.Attribute):
            module = node.value.attr if isinstance(node.value, ast.Attribute) else None
            module = node.value.id if isinstance(node.value, ast.Name) else module
            if node.attr in ASKING.get(module or "", set()):
                found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            needs = 2 if node.func.attr == "strftime" else 1
            of_time = isinstance(node.func.value, ast.Name) and node.func.value.id == "time"
            if of_time and node.func.attr in CONVERTING and len(node.args) < needs:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("module", [name for name in module_names() if name not in ("", "clock")])
def test_the_clock_alone_asks_for_the_time(module: str) -> None:
    assert time_questions(module_names()[module].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nnow = time.time()",
        "from time import monotonic",
        "import time\nask = time.monotonic",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.utcnow()",
        "import time\ntime.localtime()",
        "import time\ntime.strftime('%H')",
    ],
)
def test_who_asks_for_the_time_is_found(source: str) -> None:
    assert time_questions(source)


@pytest.mark.parametrize(
    "source", ["import time\ntime.sleep(1)\ntime.gmtime(0)\ntime.strftime('%H', x)", "clock.wall()"]
)
def test_who_does_not_passes(source: str) -> None:
    assert time_questions(source) == []


def test_every_component_has_a_layer() -> None:
    components = {name.split(".")[0] for name in module_names()} - {""}
    assert components - LAYER.keys() - CONFIGURATION == set()


@pytest.mark.parametrize("module", [name for name in module_names() if name])
def test_imports_point_down(module: str) -> None:
    path = module_names()[module]
    assert offences(module, path.read_text(), path.name == "__init__.py") == []


def cycle(sources: dict[str, str], packages: set[str]) -> list[str]:
    """Modules that import one another in a circle; empty where there is none."""
    graph = {}
    for module, source in sources.items():
        names = (name.split(".", 1) for _line, name in imports(module, source, module in packages))
        inside = {rest[0] for package, *rest in names if package == "pyproxycache" and rest}
        # "store.index.Index" is a name in the module "store.index".
        used = {name if name in sources else name.rpartition(".")[0] for name in inside}
        graph[module] = used - {module, ""}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def upward(sources: dict[str, str]) -> list[str]:
    """Imports of a room above within one component, as "module imports room"."""
    found = []
    for module, source in sources.items():
        component, room, *_rest = [*module.split("."), ""]
        rooms = ROOMS.get(component, ())
        if room not in rooms:
            continue
        for _line, name in imports(module, source, is_package=False):
            target = name.split(".")
            if target[:2] == ["pyproxycache", component] and target[2] in rooms[rooms.index(room) + 1 :]:
                found.append(f"{module} imports {target[2]}")
    return found


def test_rooms_within_a_component_point_down() -> None:
    assert upward({name: path.read_text() for name, path in module_names().items()}) == []


def test_a_room_that_imports_the_one_above_is_named() -> None:
    source = "from pyproxycache.store.upkeep.fsck import Fsck"
    assert upward({"store.index.rows": source}) == ["store.index.rows imports upkeep"]


def test_every_room_has_its_place() -> None:
    for component, rooms in ROOMS.items():
        there = {name.split(".")[1] for name in module_names() if name.startswith(f"{component}.")}
        assert there <= set(rooms), component


PAGE = (PACKAGE.parent / "docs" / "architecture.md").read_text()


def test_the_page_draws_the_layers() -> None:
    drawn = re.search(r"lines below it:\n\n((?: {4}.+\n)+)", PAGE)
    assert drawn
    from_above = [set(line.split()) for line in drawn[1].splitlines()]
    assert from_above[::-1] == [layer - {"__main__"} for layer in LAYERS]


def test_the_page_draws_the_rooms() -> None:
    drawn = {
        name: tuple(rooms.split())
        for name, rooms in re.findall(r"^    (\w+):((?: \w+)+(?:\n {8}[\w ]+)*)$", PAGE, re.MULTILINE)
    }
    assert drawn == ROOMS


MOST_FILES = 13


def test_no_package_is_crowded() -> None:
    crowded = {
        str(path.parent.relative_to(PACKAGE)): count
        for path in PACKAGE.rglob("__init__.py")
        if (count := len(list(path.parent.glob("*.py"))) - 1) > MOST_FILES and path.parent.name not in MANY
    }
    assert crowded == {}


# Flat on purpose: one file for each subject of the RFCs, one for each word of the vocabulary.
MANY = {"rules", "pyproxycache"}


def test_no_class_name_stands_twice() -> None:
    places: dict[str, list[str]] = {}
    for name, path in module_names().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_cycles() -> None:
    names = module_names()
    packages = {name for name, path in names.items() if path.name == "__init__.py"}
    assert cycle({name: path.read_text() for name, path in names.items()}, packages) == []


def test_a_cycle_is_named() -> None:
    sources = {
        "rules.a": "from pyproxycache.rules import b",
        "rules.b": "def f():\n    from .c import name",
        "rules.c": "import pyproxycache.rules.a",
        "rules.d": "from pyproxycache.rules.a import name",
    }
    assert set(cycle(sources, set())) == {"rules.a", "rules.b", "rules.c"}


@pytest.mark.parametrize(
    ("module", "source", "offence"),
    [
        ("rules.urls", "from pyproxycache.store.index import Index", "rules.urls:1: rules imports store"),
        ("rules.urls", "import pyproxycache.store.index", "rules.urls:1: rules imports store"),
        ("rules.urls", "from ..store import index", "rules.urls:1: rules imports store"),
        ("rules.urls", "import re\nimport time", "rules.urls:2: rules import time"),
        ("rules.urls", "from os.path import join", "rules.urls:1: rules import os"),
        (
            "rules.urls",
            "from pyproxycache import clock",
            "rules.urls:1: rules ask for the time, which is an argument",
        ),
        (
            "mirrors.debian",
            "from pyproxycache.routing import resource",
            "mirrors.debian:1: mirrors imports routing",
        ),
        ("store.blobs", "def f():\n    from .. import upstream", "store.blobs:2: store imports upstream"),
        ("store.index", "from pyproxycache.engine import Engine", "store.index:1: store imports engine"),
        ("engine", "from . import front", "engine:1: engine imports front"),
        ("serving.lookup", "from ..upstream import client", "serving.lookup:1: serving imports upstream"),
        ("engine", "from .configuration.config import Config", "engine:1: engine imports configuration"),
        ("front.router", "from pyproxycache.wiring import build", "front.router:1: front imports wiring"),
        (
            "configuration",
            "from pyproxycache.store import index",
            "configuration:1: configuration imports store",
        ),
        ("messages", "from pyproxycache.rules import urls", "messages:1: messages imports rules"),
        (
            "serving.follow",
            "from pyproxycache.store.bodies.blobs import Blobs",
            "serving.follow:1: serving imports what is behind the store's ports",
        ),
        (
            "engine",
            "from .store import index",
            "engine:1: engine imports what is behind the store's ports",
        ),
    ],
)
def test_an_offence_is_named(module: str, source: str, offence: str) -> None:
    assert offences(module, source) == [offence]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rules.urls", "from pyproxycache.messages import Url\nfrom . import grammar"),
        ("store.index", "import os, sqlite3\nfrom pyproxycache.store.blobs import Blobs"),
        ("engine", "from pyproxycache import __version__\nfrom pyproxycache.rules import decide"),
        ("mirrors.debian", "from pyproxycache.rules.policy import Policy"),
        ("configuration", "from pyproxycache.rules.policy import Policies"),
        ("serving.follow", "from pyproxycache.store.ports import Bodies\nfrom ..store.values import End"),
        ("wiring", "from pyproxycache.store.index.index import Index"),
        (
            "wiring",
            "from pyproxycache.configuration.config import Config\nfrom pyproxycache.front import wsgi",
        ),
        ("cli", "from pyproxycache import configuration, wiring"),
    ],
)
def test_what_the_design_allows_passes(module: str, source: str) -> None:
    assert offences(module, source) == []
