"""The documents keep to the program: examples parse, links lead somewhere, options and variables exist."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pyproxycache.cli import main
from pyproxycache.configuration import loading

ROOT = Path(__file__).parent.parent
FIREWALL = ROOT / "contrib" / "firewall" / "pyproxycache-redirect"
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCED = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
# An indented block that begins with a file's name as a comment.
MARKED = re.compile(r"^    # \S+\.yaml\n(?:    .*\n|\n)+", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
COMMAND = re.compile(r"(?<![\w/.-])pyproxycache( [^\n`|;&#]*)")
MADE = re.compile(r'make serve ARGS="([^"]*)"')
OPTION = re.compile(r"(?<!\S)\[?(--?[a-z][a-z-]*)")
LONE_OPTION = re.compile(r"`(--[a-z-]+)(?: [A-Z]+)?`")
# As the script's usage shows them.
SCRIPT_OPTION = re.compile(r"^(--[a-z]+)", re.MULTILINE)
VARIABLE = re.compile(r"PYPROXYCACHE_[A-Z_]+")


def examples() -> Iterator[tuple[str, str]]:
    """Each YAML example, and where it is."""
    for page in PAGES:
        text = page.read_text()
        found = [*FENCED.finditer(text), *MARKED.finditer(text)]
        for match in found:
            line = text.count("\n", 0, match.start()) + 1
            yield f"{page.name}:{line}", textwrap.dedent(match[1] if match.re is FENCED else match[0])


def anchors(page: Path) -> set[str]:
    """What can stand behind the # of a link to the page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(group: click.Group = main) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


def options(command: click.Command) -> set[str]:
    named = {name for parameter in command.params for name in parameter.opts}
    return {*named, "--help", "-h"} - {parameter.name for parameter in command.params}


def called(words: list[str]) -> click.Command:
    """The command that the words behind the program's name begin with."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    return command


def calls() -> Iterator[tuple[str, str]]:
    """Each call of the program in code, and the page that has it."""
    for page in PAGES:
        text = MADE.sub(r"pyproxycache serve \1", page.read_text())
        code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^    (.*)$", text, re.MULTILINE)]
        for line in code:
            if line.startswith("pyproxycache "):
                # Two blanks begin what a line says about its call.
                yield from ((page.name, part) for part in COMMAND.findall(re.split(r" {2,}(?!-)", line)[0]))


EXAMPLES = list(examples())
CALLS = list(calls())


@pytest.mark.parametrize(("place", "text"), EXAMPLES, ids=[place for place, _text in EXAMPLES])
def test_an_example_is_a_configuration(place: str, text: str) -> None:
    loading.parse(text, place)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        linked = (page.parent / target) if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


@pytest.mark.parametrize(("page", "call"), CALLS)
def test_a_call_uses_options_that_exist(page: str, call: str) -> None:
    command = called(call.split())
    ours = call.partition(" -- ")[0]  # what is behind it is another command's
    assert set(OPTION.findall(ours)) <= options(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_and_variables_exist(page: Path) -> None:
    every = set().union(*(options(command) for command in commands()))
    every |= set(SCRIPT_OPTION.findall(FIREWALL.read_text()))
    text = page.read_text()
    assert set(LONE_OPTION.findall(text)) <= every
    read = {parameter.envvar for command in commands() for parameter in command.params}
    assert set(VARIABLE.findall(text)) <= read


def reasons() -> set[str]:
    """What the rules give as reasons against storing."""
    source = (ROOT / "pyproxycache" / "rules" / "storing.py").read_text()
    judges = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in ("why_not_storable", "_forbidden")
    ]
    assert len(judges) == 2
    returned = (node.value for judge in judges for node in ast.walk(judge) if isinstance(node, ast.Return))
    return {
        node.value for node in returned if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_reason_against_storing_is_explained() -> None:
    table = (ROOT / "docs" / "operations.md").read_text().partition("### Why is it not cached?")[2]
    explained = set(re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE))
    assert len(reasons()) > 5
    assert reasons() <= explained


def test_what_the_units_call_their_documentation_is_installed_with_them() -> None:
    manual = (ROOT / "docs" / "configuration.md").read_text()
    (where,) = re.findall(r"install -D -m 644 -t (\S+) docs/\*\.md", manual)
    named = [
        path
        for unit in (ROOT / "contrib" / "systemd").iterdir()
        for path in re.findall(r"^Documentation=file://(\S+)$", unit.read_text(), re.MULTILINE)
    ]
    assert named
    for path in named:
        assert Path(path).parent == Path(where)
        assert (ROOT / "docs" / Path(path).name).exists()


def drawn_paths(drawing: str) -> Iterator[str]:
    """The path of each line of the drawing, by its indentation."""
    above: list[str] = []
    for line in drawing.splitlines():
        name = line.split()[0].rstrip("/")
        depth = (len(line) - len(line.lstrip()) - 6) // 2
        above[depth:] = [name]
        yield "/".join(above)


def test_the_house_is_as_drawn() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    drawn = sorted(drawn_paths(text.partition("    pyproxycache/\n")[2].partition("\n\n")[0]))
    package = ROOT / "pyproxycache"
    there = {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if not path.name.startswith("__") and (path.suffix == ".py" or path.is_dir())
    }
    # Of the commands the folder alone is drawn, and those that are folders.
    assert drawn == sorted(path for path in there if not re.fullmatch(r"cli/[^/]+\.py", path))


GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def cells(part: str) -> Iterator[list[str]]:
    """The cells of each row in the part's tables, their heads and rules left out."""
    for table in re.findall(r"^\|[^\n]*\|\n\|[-|]+\|\n((?:\|[^\n]*\|\n)+)", part, re.MULTILINE):
        for row in table.splitlines():
            yield [cell.strip() for cell in row.strip("|").split("|")]


def defined_names(tree: ast.AST) -> Iterator[str]:
    """What the module gives a name: classes, functions, parameters, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / "pyproxycache").rglob("*.py")):
        yield path, ast.parse(path.read_text())


def test_what_the_glossary_names_exists() -> None:
    names = {name for _path, tree in modules() for name in defined_names(tree)}
    rows = [row for row in cells(GLOSSARY) if len(row) == 3]
    assert len(rows) > 50
    for term, _meaning, where in rows:
        places = re.findall(r"`([^`]+)`", where)
        assert places, f"{term} is nowhere"
        for place in places:
            there = (ROOT / "pyproxycache" / place).exists() if place.endswith(".py") else place in names
            assert there, f"{term}: there is no {place}"


def test_each_term_is_explained_once() -> None:
    before_unused = GLOSSARY.partition("## Words that are not used")[0]
    terms = [term for row in cells(before_unused) for term in row[0].split(", ")]
    assert sorted(terms) == sorted(set(terms))


CODE_NAME = re.compile(r"`(_?[A-Z][a-z]\w*(?:\.\w+)?|[a-z]+(?:_[a-z]+)+)(?:\(\))?`")
WORD = re.compile(r"\w+")
# Of other programs.
NOT_OURS = {"Release.gpg"}


def known_words() -> set[str]:
    """All words in the source, in that of the tests too, as decisions tell how things are tested."""
    sources = [*(ROOT / "pyproxycache").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    return {
        word for path in sources if path.name != "test_docs.py" for word in WORD.findall(path.read_text())
    }


WORDS = known_words()
OF_CODE = [ROOT / "docs" / "architecture.md", *sorted(DECISIONS.glob("[0-9]*.md"))]


@pytest.mark.parametrize("page", OF_CODE, ids=lambda page: page.name)
def test_names_of_code_exist(page: Path) -> None:
    named = CODE_NAME.findall(page.read_text())
    assert [name for name in named if not set(name.split(".")) <= WORDS and name not in NOT_OURS] == []


def test_names_keep_to_the_glossary() -> None:
    unused = cells(GLOSSARY.partition("## Words that are not used")[2])
    instead = {word: row[1] for row in unused for word in row[0].split(", ")}
    assert len(instead) > 10
    wrong = [
        f"{path.relative_to(ROOT)}: {name}: say {instead[word.lower()]}"
        for path, tree in modules()
        for name in {path.stem, *defined_names(tree)}
        for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
        if word.lower() in instead
    ]
    assert wrong == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [page.name[:4] for page in sorted(DECISIONS.glob("[0-9]*.md"))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_the_index_of_decisions_has_each_by_its_title() -> None:
    listed = re.findall(
        r"^- \[(\d{4})\]\((\S+)\): (.+)$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    assert listed == [
        (page.name[:4], page.name, page.read_text().partition("\n")[0].removeprefix("# "))
        for page in sorted(DECISIONS.glob("[0-9]*.md"))
    ]


def test_the_examples_are_found() -> None:
    pages = {place.partition(":")[0] for place, _text in EXAMPLES}
    assert pages >= {"README.md", "configuration.md", "quickstart.md", "recipes.md"}
    assert {"README.md", "quickstart.md", "recipes.md", "operations.md"} <= {page for page, _call in CALLS}


_REGISTRIES = re.compile(
    r"\b(?:debian|ubuntu|fedoraproject|alpinelinux|pypi|pythonhosted|npmjs|yarnpkg|crates|golang|maven|docker|quay|ghcr|gcr"
    r"|rubygems|anaconda|huggingface)\\?\.(?:org|com|net|io|dev|co)\b",
    re.IGNORECASE,
)


def test_no_registry_is_named() -> None:
    """Whose packages are mirrored is said by the configuration, and examples are of nobody's hosts."""
    named = [
        f"{page.relative_to(ROOT)}: {found[0]}"
        for page in PAGES
        for found in _REGISTRIES.finditer(page.read_text())
    ]
    assert named == []
