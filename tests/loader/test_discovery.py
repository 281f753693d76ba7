"""Where plugins are found, and in which order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crmetrics.loader import PluginRegistry, load_plugins
from loader.conftest import Write
from loader.samples import connector, error, info, sink

Load = Callable[..., PluginRegistry]
Install = Callable[..., Path]


def _strangers(registry: PluginRegistry) -> list[str]:
    return [plugin.name for plugin in registry.plugins if not plugin.is_builtin]


# --- plugins/ --------------------------------------------------------------------------------


def test_a_file_in_plugins_works_by_being_copied_there(load: Load, plugin: Write) -> None:
    plugin("hello.py", connector("hello"))
    registry = load()
    assert registry.require_connector("hello").name == "hello"
    assert info(registry, "hello").origin == "plugins/hello.py"
    assert info(registry, "hello").offers == ("connector hello",)


def test_a_project_without_plugins_folder_has_the_built_in_plugins_only(load: Load) -> None:
    registry = load()
    assert registry.plugins
    assert all(plugin.is_builtin for plugin in registry.plugins)


def test_a_file_named_plugins_is_not_taken_for_the_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "plugins").write_text("not a folder")
    assert _strangers(load()) == []


def test_files_that_start_with_underscore_or_dot_are_skipped(load: Load, plugin: Write) -> None:
    plugin("_shared.py", "raise RuntimeError")
    plugin(".hidden.py", "raise RuntimeError")
    plugin("__pycache__/hello.cpython-311.pyc", "")
    plugin("notes.md", "# notes")
    plugin("data/values.csv", "a,b")
    assert _strangers(load()) == []


def test_a_package_imports_its_own_modules(load: Load, plugin: Write) -> None:
    plugin("acme/__init__.py", "from .deep.reader import crmetrics_connectors")
    plugin("acme/deep/__init__.py", "")
    plugin("acme/deep/reader.py", "from .. import names\n" + connector("acme"))
    plugin("acme/names.py", "")
    registry = load()
    assert registry.require_connector("acme")
    assert info(registry, "acme").origin == "plugins/acme/"


def test_a_plugin_imports_a_shared_file_beside_it(load: Load, plugin: Write) -> None:
    plugin("_shared.py", "from crmetrics.plugin import hookimpl")
    plugin("one.py", "from ._shared import hookimpl\n" + connector("one"))
    assert load().require_connector("one")


def test_two_projects_with_the_same_file_name_do_not_meet(tmp_path: Path) -> None:
    for project in ("a", "b"):
        (tmp_path / project / "plugins").mkdir(parents=True)
        (tmp_path / project / "plugins" / "own.py").write_text(connector(f"of_{project}"))
    first = load_plugins(tmp_path / "a")
    second = load_plugins(tmp_path / "b")
    assert "of_a" in first.connectors and "of_a" not in second.connectors
    assert "of_b" in second.connectors and "of_b" not in first.connectors
    modules = {first.connectors["of_a"].__module__, second.connectors["of_b"].__module__}
    assert len(modules) == 2
    assert modules <= set(sys.modules)


def test_an_edited_plugin_is_read_again(load: Load, plugin: Write) -> None:
    plugin("own.py", connector("first_name"))
    assert "first_name" in load().connectors
    plugin("own.py", connector("another_name"))
    registry = load()
    assert "another_name" in registry.connectors
    assert "first_name" not in registry.connectors


def test_a_plugin_does_not_shadow_an_installed_module(load: Load, plugin: Write) -> None:
    import json

    plugin("json.py", connector("from_json"))
    assert load().require_connector("from_json")
    assert sys.modules["json"] is json


@pytest.mark.parametrize("name", ["my-plugin.py", "ünïcode.py", "class.py"])
def test_any_file_name_without_a_dot_will_do(load: Load, plugin: Write, name: str) -> None:
    plugin(name, connector("own"))
    assert load().require_connector("own")


def test_a_file_name_with_a_dot_is_reported(load: Load, plugin: Write) -> None:
    plugin("own.v2.py", connector("own"))
    assert "holds a dot" in error(load(), "own.v2")


def test_a_file_beside_a_package_of_its_name_is_reported(load: Load, plugin: Write) -> None:
    plugin("own.py", connector("own_file"))
    plugin("own/__init__.py", connector("own_package"))
    registry = load()
    assert "own_package" in registry.connectors
    assert "own_file" not in registry.connectors
    states = {p.origin: p.state for p in registry.plugins if p.name == "own"}
    assert states == {"plugins/own/": "loaded", "plugins/own.py": "quarantined"}


@pytest.mark.parametrize("file", ["pack.yaml", "connector.py"])
def test_a_package_folder_without_init_is_reported(load: Load, plugin: Write, file: str) -> None:
    plugin(f"acme/{file}", "")
    assert "__init__.py" in error(load(), "acme")


def test_a_whole_distribution_in_plugins_is_left_to_pip(load: Load, plugin: Write) -> None:
    plugin("crmetrics-hello/pyproject.toml", "")
    plugin("crmetrics-hello/noxfile.py", "raise RuntimeError")
    assert _strangers(load()) == []


def test_a_broken_link_is_reported(load: Load, plugin: Write, tmp_path: Path) -> None:
    plugin("fine.py", connector("fine"))
    (tmp_path / "plugins" / "gone.py").symlink_to(tmp_path / "nowhere.py")
    registry = load()
    assert error(registry, "gone")
    assert registry.require_connector("fine")


# --- entry points ----------------------------------------------------------------------------


def test_an_installed_distribution_is_found(load: Load, distribution: Install) -> None:
    distribution("crmetrics-hello", {"hello": "hello_mod"}, {"hello_mod.py": connector("hello")})
    registry = load()
    assert registry.require_connector("hello")
    assert info(registry, "hello").origin == "distribution crmetrics-hello 1.0"
    assert info(registry, "hello").version == "1.0"


def test_an_entry_point_must_name_a_module(load: Load, distribution: Install) -> None:
    distribution("crmetrics-hello", {"hello": "hello_mod:plugin"}, {"hello_mod.py": ""})
    assert "must name a module" in error(load(), "hello")


def test_a_malformed_entry_points_file_is_the_error_of_its_distribution(
    load: Load, distribution: Install, plugin: Write
) -> None:
    distribution("crmetrics-odd", "[crmetrics]\nno equals sign\n")
    distribution("crmetrics-hello", {"hello": "hello_mod"}, {"hello_mod.py": connector("hello")})
    registry = load()
    assert registry.require_connector("hello")
    assert "entry_points.txt cannot be read" in error(registry, "crmetrics-odd")


def test_of_two_copies_of_a_distribution_the_importable_one_counts(
    load: Load, distribution: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = distribution(
        "crmetrics-hello", {"hello": "hello_mod"}, {"hello_mod.py": connector("hello")}
    )
    older = tmp_path / "older"
    copy = older / "crmetrics_hello-0.1.dist-info"
    copy.mkdir(parents=True)
    (copy / "METADATA").write_text("Metadata-Version: 2.1\nName: crmetrics_hello\nVersion: 0.1\n")
    (copy / "entry_points.txt").write_text("[crmetrics]\nhello = hello_mod\n")
    monkeypatch.setattr(sys, "path", [str(site), str(older), *sys.path[1:]])
    assert info(load(), "hello").version == "1.0"


# --- names listed in the project file --------------------------------------------------------


def test_a_listed_module_is_loaded(load: Load, distribution: Install) -> None:
    distribution("acme", {}, {"acme/__init__.py": "", "acme/crm.py": connector("acme")})
    registry = load("acme.crm")
    assert registry.require_connector("acme")
    assert info(registry, "acme.crm").origin == "plugins: acme.crm"


def test_a_listed_module_may_stand_in_the_project_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "own_crm.py").write_text(connector("own"))
    assert load("own_crm").require_connector("own")


def test_a_listed_module_of_another_project_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    for project in ("a", "b"):
        (tmp_path / project).mkdir()
        (tmp_path / project / "own_crm.py").write_text(connector(f"of_{project}"))
    assert "of_a" in load_plugins(tmp_path / "a", ["own_crm"]).connectors
    second = load_plugins(tmp_path / "b", ["own_crm"])
    assert "of_a" not in second.connectors
    assert "plugins/" in error(second, "own_crm")


def test_a_module_that_is_installed_and_listed_is_loaded_once(
    load: Load, distribution: Install
) -> None:
    distribution("crmetrics-hello", {"hello": "hello_mod"}, {"hello_mod.py": connector("hello")})
    registry = load("hello_mod", "hello_mod")
    assert _strangers(registry) == ["hello"]
    assert registry.require_connector("hello")


def test_a_file_of_plugins_that_is_also_listed_is_loaded_once(load: Load, plugin: Write) -> None:
    plugin("hello.py", connector("hello"))
    registry = load("plugins.hello")
    assert _strangers(registry) == ["hello"]
    assert registry.require_connector("hello")


@pytest.mark.parametrize("name", ["", "plugins/hello.py", "my-plugin", ".relative", "a..b"])
def test_a_listed_name_that_is_no_module_name_is_reported(load: Load, name: str) -> None:
    assert "dotted module names" in error(load(name), name)


def test_a_listed_module_that_is_not_there_is_reported(load: Load) -> None:
    registry = load("acme_nowhere.crm")
    assert "No module named 'acme_nowhere'" in error(registry, "acme_nowhere.crm")


# --- order -----------------------------------------------------------------------------------


def test_the_order_is_the_same_whatever_the_folders_say(
    load: Load, distribution: Install, plugin: Write
) -> None:
    for name in ("zeta", "alpha"):
        distribution(f"crmetrics-{name}", {name: f"mod_{name}"}, {f"mod_{name}.py": sink(name)})
        plugin(f"{name}_file.py", connector(name))
    assert _strangers(load("mod_zeta")) == ["alpha", "zeta", "alpha_file", "zeta_file"]
    registry = load()
    builtin = [plugin.is_builtin for plugin in registry.plugins]
    assert builtin == sorted(builtin, reverse=True)
