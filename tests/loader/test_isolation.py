"""A broken plugin is quarantined with its own error; everything else works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crmetrics.errors import PluginError
from crmetrics.loader import PluginRegistry
from crmetrics.secrets import Secret
from loader.conftest import Write
from loader.samples import connector, error, info, sink

Load = Callable[..., PluginRegistry]
Install = Callable[..., Path]

HOOK = "from crmetrics.plugin import *\nfrom crmetrics.plugin import hookimpl\n@hookimpl\n"

BROKEN = {
    "a missing import": ("import acme_nowhere", "No module named 'acme_nowhere'"),
    "a missing name": ("from crmetrics.plugin import Conector", "cannot import name 'Conector'"),
    "a syntax error": ("x = 1\ndef broken(:\n    pass", "plugins/bad.py:2: SyntaxError"),
    "not even text": ("\x00", "SyntaxError"),
    "an exception": ("\n\n1 / 0", "plugins/bad.py:3: ZeroDivisionError: division by zero"),
    "sys.exit": ("import sys\nsys.exit(0)", "plugins/bad.py:2: it called sys.exit(0)"),
    "a bare BaseException": ("raise BaseException('odd')", "BaseException: odd"),
    "endless recursion": ("def f(): f()\nf()", "RecursionError"),
    "an unprintable exception": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "plugins/bad.py:3: Odd",
    ),
    "no hook": ("x = 1", "offers nothing"),
    "a misspelt hook": (
        f"{HOOK}def crmetrics_conectors(): return []",
        "no hook 'crmetrics_conectors'. Did you mean 'crmetrics_connectors'",
    ),
    "a misspelt hook without mark": (
        "def crmetrics_sink(): return []",
        "no hook 'crmetrics_sink'. Did you mean 'crmetrics_sinks'",
    ),
    "a hook of another name": (f"{HOOK}def connectors(): return []", "no hook 'connectors'"),
    "a hook that is not marked": (
        "def crmetrics_sinks(): return []",
        "plugins/bad.py:1: crmetrics_sinks is not marked as a hook. Put @hookimpl",
    ),
    "a wrong argument": (
        f"{HOOK}def crmetrics_run_started(run, job): pass",
        "the argument 'run', which it is not given; it may take run_id, job. Did you mean 'run_id'",
    ),
    "an argument of an offering hook": (
        f"{HOOK}def crmetrics_sinks(config): return []",
        "the argument 'config', which it is not given; it may take no arguments",
    ),
    "a keyword-only argument": (
        f"{HOOK}def crmetrics_run_started(*, run_id): pass",
        "the argument 'run_id', which it is not given",
    ),
    "a wrapper": (
        "from crmetrics.plugin import *\n@hookimpl(wrapper=True)\n"
        "def crmetrics_sinks():\n    return (yield)",
        "wrapper",
    ),
    "a hook that raises": (
        f"{HOOK}def crmetrics_sinks():\n    raise RuntimeError('no licence')",
        "plugins/bad.py:5: RuntimeError: no licence",
    ),
    "None": (f"{HOOK}def crmetrics_sinks(): pass", "must return a list, found None"),
    "a class instead of a list": (
        f"{HOOK}def crmetrics_sinks(): return Sink",
        "must return a list, found the class Sink",
    ),
    "a generator": (
        f"{HOOK}def crmetrics_sinks(): yield Sink",
        "must return a list, found a value of type generator",
    ),
    "an element that is no class": (
        f"{HOOK}def crmetrics_sinks(): return ['files']",
        "expected a subclass of crmetrics.plugin.Sink, found a value of type str",
    ),
    "a class of the wrong kind": (
        f"{HOOK}def crmetrics_connectors(): return [Sink]",
        "expected a subclass of crmetrics.plugin.Connector, found the class Sink",
    ),
    "an object": (
        sink("x").replace("return [Sink_]", "return [Sink_(None, None)]"),
        "Return the class, not an object",
    ),
    "a class without name": (
        sink("x").replace('name = "x"', ""),
        "plugins/bad.py:5: class Sink_ has no name",
    ),
    "a name with a space": (sink("my sink"), "is named 'my sink'"),
    "an empty name": (sink(""), "has no name"),
    "a class with gaps": (
        sink("x").replace("def preview", "def previw"),
        "class Sink_ does not define preview",
    ),
    "a foreign Config": (
        sink("x").replace('name = "x"', 'name = "x"\n    Config = dict'),
        "Sink_.Config must be a subclass of crmetrics.plugin.Options, found the class dict",
    ),
    "a connector with a sink's Config": (
        connector("x").replace(
            'name = "x"',
            'name = "x"\n    import crmetrics.plugin\n    Config = crmetrics.plugin.Options',
        ),
        "must be a subclass of crmetrics.plugin.SourceOptions",
    ),
    "one name twice": (
        connector("x").replace("return [Connector_]", "return [Connector_, Connector_]"),
        "returns 'x' twice",
    ),
    "a pack without folder": (
        f"{HOOK}def crmetrics_metric_packs():\n"
        "    from pathlib import Path\n    return [MetricPack('own', Path('/nowhere/own'))]",
        "pack 'own': there is no folder /nowhere/own",
    ),
    "a pack that is a path": (
        f"{HOOK}def crmetrics_metric_packs(): return ['sql']",
        "expected a crmetrics.plugin.MetricPack, found a value of type str",
    ),
    "an unknown column type": (
        f"{HOOK}def crmetrics_datasets():\n"
        "    return [Dataset('visits', '', (Column('length', 'integer'),))]",
        "dataset 'visits': column 'length' has the unknown type 'integer'",
    ),
    "a column twice": (
        f"{HOOK}def crmetrics_datasets():\n"
        "    return [Dataset('visits', '', (Column('a', 'int'), Column('a', 'int')))]",
        "column 'a' stands twice",
    ),
    "a column that is no column": (
        f"{HOOK}def crmetrics_datasets():\n"
        "    from types import SimpleNamespace\n"
        "    return [Dataset('visits', '', (SimpleNamespace(name='a'),))]",
        "expected a crmetrics.plugin.Column, found a value of type SimpleNamespace",
    ),
    "another type for a known column": (
        f"{HOOK}def crmetrics_datasets():\n"
        "    return [Dataset('accounts', '', (Column('segment', 'int'),))]",
        "dataset 'accounts': column 'segment' is string",
    ),
    "a key that is no column": (
        f"{HOOK}def crmetrics_datasets():\n"
        "    return [Dataset('visits', '', (Column('a', 'int'),), key=('aa',))]",
        "dataset 'visits' has no column 'aa'",
    ),
    "a reference to nothing": (
        f"{HOOK}def crmetrics_datasets():\n    return [Dataset('visits', '', "
        "(Column('account_id', 'string', references='account'),))]",
        "refers to the unknown dataset 'account'. Did you mean 'accounts'",
    ),
    "a newer API": (
        "crmetrics_api_version = 2\n" + sink("x"),
        "made for version 2 of the plugin API, this crmetrics has version 1. Upgrade crmetrics.",
    ),
    "an older API": ("crmetrics_api_version = 0\n" + sink("x"), "Upgrade the plugin."),
    "an API version that is text": ("crmetrics_api_version = '1'\n" + sink("x"), "whole number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_quarantined_and_the_others_work(
    load: Load, plugin: Write, case: str
) -> None:
    source, expected = BROKEN[case]
    plugin("bad.py", source)
    plugin("aaa_fine.py", connector("fine_before"))
    plugin("zzz_fine.py", connector("fine_after"))
    registry = load()
    assert expected in error(registry, "bad")
    assert registry.require_connector("fine_before")
    assert registry.require_connector("fine_after")


def test_the_user_can_interrupt_an_import(load: Load, plugin: Write) -> None:
    plugin("slow.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load()


def test_a_matching_api_version_is_accepted(load: Load, plugin: Write) -> None:
    plugin("fine.py", "crmetrics_api_version = 1\n" + sink("fine"))
    assert load().require_sink("fine")


def test_a_hook_may_offer_nothing_today(load: Load, plugin: Write) -> None:
    plugin("fine.py", f"{HOOK}def crmetrics_sinks(): return []")
    assert info(load(), "fine").state == "loaded"


def test_a_plugin_with_one_bad_offer_contributes_nothing(load: Load, plugin: Write) -> None:
    plugin(
        "mixed.py",
        connector("good")
        + sink("bad").replace("return [Sink_]", "return [Sink_, 42]")
        + "\n@hookimpl\ndef crmetrics_datasets():\n"
        "    from crmetrics.plugin import Column, Dataset\n"
        "    return [Dataset('visits', '', (Column('a', 'int'),))]\n",
    )
    registry = load()
    assert "found a value of type int" in error(registry, "mixed")
    assert "good" not in registry.connectors
    assert "bad" not in registry.sinks
    assert "visits" not in registry.datasets


def test_a_module_of_a_package_that_fails_is_named_with_its_line(load: Load, plugin: Write) -> None:
    plugin("acme/__init__.py", "from . import reader")
    plugin("acme/reader.py", "import json\njson.loads('{')")
    assert error(load(), "acme").startswith("plugins/acme/reader.py:2: JSONDecodeError")


def test_a_missing_part_of_the_plugin_itself_is_named_as_the_author_knows_it(
    load: Load, plugin: Write
) -> None:
    plugin("acme/__init__.py", "from . import fine\nfrom .reader import x")
    plugin("acme/fine.py", "")
    expected = "plugins/acme/__init__.py:2: ModuleNotFoundError: No module named 'acme.reader'"
    assert error(load(), "acme") == expected


def test_a_fixed_plugin_works_on_the_next_load(load: Load, plugin: Write) -> None:
    plugin("acme/__init__.py", "from .a import A\nfrom .b import B\n")
    plugin("acme/a.py", "A = 1")
    plugin("acme/b.py", "import acme_nowhere")
    assert error(load(), "acme")
    plugin("acme/b.py", "B = 1")
    plugin("acme/__init__.py", "from .a import A\nfrom .b import B\n" + sink("acme"))
    assert load().require_sink("acme")


def test_a_secret_in_the_error_of_a_plugin_is_masked(load: Load, plugin: Write) -> None:
    token = Secret("t0ken-of-the-loader-test")
    plugin("leaky.py", f"raise ValueError('refused: {token.reveal()}')")
    assert error(load(), "leaky") == "plugins/leaky.py:1: ValueError: refused: ********"


def test_an_error_of_many_lines_is_told_in_one_short_line(load: Load, plugin: Write) -> None:
    plugin("chatty.py", "raise ValueError('line\\n' * 10_000)")
    text = error(load(), "chatty")
    assert "\n" not in text
    assert len(text) < 700


def test_what_a_plugin_prints_does_not_reach_standard_output(
    load: Load, plugin: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin("chatty.py", "print('hello')\n" + sink("chatty"))
    assert load().require_sink("chatty")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


# --- names -----------------------------------------------------------------------------------


def test_a_name_of_the_product_cannot_be_taken(load: Load, plugin: Write) -> None:
    own = load().require_connector("csv")
    plugin("mine.py", connector("csv"))
    registry = load()
    assert "'csv' belongs to crmetrics itself" in error(registry, "mine")
    assert registry.require_connector("csv") is own


def test_an_entry_point_of_the_product_cannot_be_taken(load: Load, distribution: Install) -> None:
    distribution("aaa", {"csv": "aaa_mod"}, {"aaa_mod.py": connector("fast_csv")})
    registry = load()
    assert "entry point 'csv' belongs to crmetrics itself" in error(registry, "csv")
    assert "fast_csv" not in registry.connectors


def test_a_name_of_a_broken_built_in_plugin_cannot_be_taken(
    load: Load, plugin: Write, distribution: Install
) -> None:
    # A copy of the product's distribution that comes first on sys.path, with a plugin that fails.
    distribution("crmetrics", {"chat": "broken_chat"}, {"broken_chat.py": "import acme_nowhere"})
    plugin("mine.py", sink("chat"))
    registry = load()
    assert "'chat' belongs to crmetrics itself" in error(registry, "mine")
    with pytest.raises(PluginError, match="No module named 'acme_nowhere'"):
        registry.require_sink("chat")


def test_between_strangers_the_first_distribution_by_name_wins(
    load: Load, distribution: Install
) -> None:
    distribution("zeta", {"one": "zeta_mod"}, {"zeta_mod.py": connector("shared")})
    distribution("alpha", {"two": "alpha_mod"}, {"alpha_mod.py": connector("shared")})
    registry = load()
    assert registry.require_connector("shared").__module__ == "alpha_mod"
    text = error(registry, "one")
    assert "distribution alpha 1.0" in text
    assert "distribution zeta 1.0" in text
    assert info(registry, "two").state == "loaded"


def test_two_distributions_cannot_have_one_plugin_name(load: Load, distribution: Install) -> None:
    distribution("zeta", {"hello": "zeta_mod"}, {"zeta_mod.py": connector("zeta")})
    distribution("alpha", {"hello": "alpha_mod"}, {"alpha_mod.py": connector("alpha")})
    registry = load()
    assert "alpha" in registry.connectors
    assert "zeta" not in registry.connectors
    late = next(p for p in registry.plugins if p.origin == "distribution zeta 1.0")
    assert "distribution alpha 1.0" in late.error


def test_an_installed_plugin_comes_before_a_file_with_the_same_offer(
    load: Load, distribution: Install, plugin: Write
) -> None:
    distribution("zeta", {"zeta": "zeta_mod"}, {"zeta_mod.py": connector("shared")})
    plugin("aaa.py", connector("shared"))
    registry = load()
    assert registry.require_connector("shared").__module__ == "zeta_mod"
    assert "plugins/aaa.py" in error(registry, "aaa")


def test_a_connector_and_a_sink_may_share_a_name(load: Load, plugin: Write) -> None:
    plugin("one.py", connector("acme"))
    plugin("two.py", sink("acme"))
    registry = load()
    assert registry.require_connector("acme")
    assert registry.require_sink("acme")


def test_additions_of_two_plugins_to_one_dataset_are_merged(load: Load, plugin: Write) -> None:
    source = (
        "from crmetrics.plugin import Column, Dataset, hookimpl\n@hookimpl\n"
        "def crmetrics_datasets():\n"
        "    return [Dataset('accounts', '', (Column('NAME', 'int'),))]"
    )
    plugin("one.py", source.replace("NAME", "stars"))
    plugin("two.py", source.replace("NAME", "seats"))
    accounts = load().datasets["accounts"]
    assert "stars" in accounts and "seats" in accounts and "segment" in accounts


def test_a_new_dataset_gets_the_common_columns(load: Load, plugin: Write) -> None:
    plugin(
        "visits.py",
        f"{HOOK}def crmetrics_datasets():\n"
        "    return [Dataset('visits', 'shop visits', (Column('account_id', 'string', "
        "references='accounts'), Column('visited_at', 'timestamp')), created='visited_at')]",
    )
    registry = load()
    assert {"id", "source", "updated_at", "visited_at"} <= set(
        registry.datasets["visits"].column_names
    )
    assert info(registry, "visits").offers == ("dataset visits",)
