"""The house rules that a reader can rely on: who imports whom, how long things are, what they are
called. The layers themselves stand in pyproject.toml, where import-linter reads them too."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOTS = ("core", "connectors", "metrics", "sinks")
PYPROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))

LONGEST_FUNCTION = 50
LONGEST_MODULE = 500
NAMES_THAT_SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "misc", "manager"}

LOADED_LATE = ("pyarrow", "duckdb", "requests", "sqlglot", "rich", "yaml", "jinja2", "pydantic")
"""What `--help` and completion must not wait for."""

EVERY_QUESTION = tuple(
    f"crmetrics.{name}."
    for name in ("catalog", "cli", "compiler", "config", "engine", "goals", "loader", "warehouse")
)
"""The packages that `crmetrics query` imports, most modules of them."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "click": ("crmetrics.cli",),
    "requests": ("crmetrics.http",),
    "urllib3": ("crmetrics.http",),
    "duckdb": ("crmetrics.warehouse",),
}
"""Which modules may import an outside package that has one home. (A plugin may use DuckDB for its
own files; requests go through `crmetrics.plugin.http`.)"""


@dataclass(frozen=True)
class Module:
    """One module of the four roots, parsed."""

    name: str
    file: Path
    tree: ast.Module
    lines: int

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def place(self) -> str:
        return self.file.relative_to(REPO).as_posix()

    def belongs_to(self, *names: str) -> bool:
        return any(self.name == name or self.name.startswith(f"{name}.") for name in names)

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full name of everything imported, inside functions and for types too.

        `from a import b` gives `a.b`: whether b is a module is for the reader to decide.
        """
        yield from self._imports(ast.walk(self.tree))

    def needs(self) -> Iterator[str]:
        """The same names without those that are imported for types alone."""
        for_types = {
            inner
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        needed = (node for node in ast.walk(self.tree) if node not in for_types)
        return (name for _, name in self._imports(needed))

    def _imports(self, nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        is_package = self.file.name == "__init__.py"
        kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
        return ".".join([*kept, *([node.module] if node.module else [])])


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for root in ROOTS:
        for file in sorted((REPO / root).rglob("*.py")):
            parts = file.relative_to(REPO / root).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            text = file.read_text(encoding="utf-8")
            found.append(Module(name, file, ast.parse(text), text.count("\n")))
    return tuple(found)


@cache
def packages() -> dict[str, str]:
    """Top-level packages and the root that holds each."""
    return {
        file.parent.name: root for root in ROOTS for file in (REPO / root).glob("*/__init__.py")
    }


def plugin_packages() -> set[str]:
    return set(packages()) - {"crmetrics"}


def layers() -> list[set[str]]:
    """The layers of core from the top down, as import-linter has them."""
    for contract in PYPROJECT["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            return [
                {f"crmetrics.{name.strip(' ()')}" for name in re.split(r"[:|]", layer)}
                for layer in contract["layers"]
            ]
    raise AssertionError("pyproject.toml has no layers contract")


def layer_of(name: str) -> int | None:
    """The number of the layer (0 = top) that holds a module of core."""
    for number, layer in enumerate(layers()):
        if any(name == member or name.startswith(f"{member}.") for member in layer):
            return number
    return None


def tell(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


# --- who imports whom ------------------------------------------------------------------------


def test_core_imports_no_plugin() -> None:
    tell(
        [
            f"{module.place}:{line}: core imports {name}"
            for module in modules()
            if module.package == "crmetrics"
            for line, name in module.imports()
            if name.partition(".")[0] in plugin_packages()
        ]
    )


def test_a_plugin_imports_only_the_plugin_api_of_core() -> None:
    tell(
        [
            f"{module.place}:{line}: a plugin imports {name}"
            for module in modules()
            if module.package != "crmetrics"
            for line, name in module.imports()
            if name.partition(".")[0] == "crmetrics" and not name.startswith("crmetrics.plugin")
        ]
    )


def test_plugins_do_not_import_each_other() -> None:
    tell(
        [
            f"{module.place}:{line}: a plugin imports the plugin {name}"
            for module in modules()
            if module.package != "crmetrics"
            for line, name in module.imports()
            if name.partition(".")[0] in plugin_packages() - {module.package}
        ]
    )


def test_core_imports_only_downward() -> None:
    problems = []
    for module in modules():
        own = layer_of(module.name)
        if own is None:
            continue
        for line, name in module.imports():
            other = layer_of(name)
            if other is not None and other < own:
                problems.append(f"{module.place}:{line}: {module.name} imports {name}, above it")
    tell(problems)


def test_no_module_needs_one_that_needs_it() -> None:
    known = {module.name for module in modules()}
    needed = {
        module.name: {
            found
            for name in module.needs()
            for found in (name if name in known else name.rpartition(".")[0],)
            if found in known - {module.name}
        }
        for module in modules()
    }
    problems = []
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as exc:
        problems.append(" <- ".join(exc.args[1]))
    tell(problems)


def test_every_module_of_core_has_a_layer() -> None:
    outside = {"crmetrics", "crmetrics._version", "crmetrics.__main__"}
    tell(
        [
            f"{module.place}: name it in the layers of pyproject.toml"
            for module in modules()
            if module.package == "crmetrics"
            and module.name not in outside
            and layer_of(module.name) is None
        ]
    )


@pytest.mark.parametrize("outside", ONLY_IN)
def test_an_outside_package_has_one_home(outside: str) -> None:
    tell(
        [
            f"{module.place}:{line}: only {' and '.join(ONLY_IN[outside])} imports {outside}"
            for module in modules()
            if not module.belongs_to(*ONLY_IN[outside])
            and (module.package == "crmetrics" or outside != "duckdb")
            for line, name in module.imports()
            if name.partition(".")[0] == outside
        ]
    )


def _prints_or_exits(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in ("print", "sys.exit", "exit", "quit", "os._exit", "SystemExit"):
            return called
    if isinstance(node, ast.Raise) and node.exc is not None:
        raised = ast.unparse(node.exc)
        if raised == "SystemExit":
            return raised
    return ""


def test_only_the_command_line_prints_or_exits() -> None:
    tell(
        [
            f"{module.place}:{node.lineno}: {_prints_or_exits(node)} outside crmetrics.cli"
            for module in modules()
            if not module.belongs_to("crmetrics.cli", "crmetrics.__main__")
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.Call, ast.Raise)) and _prints_or_exits(node)
        ]
    )


@pytest.mark.parametrize("module", ["crmetrics.cli", "crmetrics.loader", "crmetrics.log"])
def test_importing_the_command_line_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}\nprint(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()}
    assert loaded.isdisjoint(LOADED_LATE)
    assert loaded.isdisjoint(plugin_packages())


def test_what_every_question_imports_defines_no_dataclass() -> None:
    """Defining one takes 0.4 to 0.6 ms of every start, a `msgspec.Struct` 0.01. What plugins make
    or copy stays a dataclass, and what a struct cannot be: a field that is not compared or made."""
    problems = []
    for module in modules():
        if not f"{module.name}.".startswith(EVERY_QUESTION):
            continue
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.ClassDef)
                and "dataclass" in decorators(node)
                and not {"compare=False", "init=False"} & keywords_of_fields(node)
            ):
                problems.append(f"{module.place}:{node.lineno}: {node.name} is a dataclass")
    tell(problems)


def decorators(node: ast.ClassDef) -> set[str]:
    called = (ast.unparse(found).partition("(")[0] for found in node.decorator_list)
    return {name.rpartition(".")[2] for name in called}


def keywords_of_fields(node: ast.ClassDef) -> set[str]:
    return {
        ast.unparse(keyword)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.value, ast.Call)
        for keyword in item.value.keywords
    }


# --- size and names --------------------------------------------------------------------------


def test_no_function_is_longer_than_a_screen() -> None:
    problems = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    problems.append(f"{module.place}:{node.lineno}: {node.name} has {lines} lines")
    tell(problems)


def test_no_module_is_longer_than_one_idea() -> None:
    tell(
        [
            f"{module.place}: {module.lines} lines"
            for module in modules()
            if module.lines > LONGEST_MODULE
        ]
    )


def test_no_module_has_a_name_that_says_nothing() -> None:
    tell(
        [
            f"{module.place}: say what it is about"
            for module in modules()
            if NAMES_THAT_SAY_NOTHING & set(module.name.split("."))
        ]
    )


def test_every_module_says_what_it_is_for() -> None:
    tell(
        [
            f"{module.place}: no docstring"
            for module in modules()
            if not (ast.get_docstring(module.tree) or "").strip()
        ]
    )


# --- the list of packages --------------------------------------------------------------------


def test_a_plugin_package_is_named_after_the_product() -> None:
    assert {name for name in plugin_packages() if not name.startswith("crmetrics_")} == set()
    assert packages()["crmetrics"] == "core"


def test_every_package_is_typed() -> None:
    tell(
        [
            f"{root}/{name}: no py.typed"
            for name, root in packages().items()
            if not (REPO / root / name / "py.typed").is_file()
        ]
    )


def test_every_built_in_plugin_has_an_entry_point() -> None:
    entry_points = PYPROJECT["project"]["entry-points"]["crmetrics"]
    assert entry_points == {name.removeprefix("crmetrics_"): name for name in plugin_packages()}


def test_import_linter_knows_every_package() -> None:
    settings = PYPROJECT["tool"]["importlinter"]
    assert set(settings["root_packages"]) == set(packages())
    by_type = {contract["type"]: contract for contract in settings["contracts"]}
    assert set(by_type["independence"]["modules"]) == plugin_packages()
    for contract in settings["contracts"]:
        if contract["type"] == "forbidden":
            named = {*contract["source_modules"], *contract["forbidden_modules"]}
            assert plugin_packages() <= named, contract["name"]
