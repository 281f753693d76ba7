"""What a registry tells about missing plugins, and how it calls observers and command hooks."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from crmetrics.errors import PluginError
from crmetrics.loader import PluginRegistry, load_plugins
from loader.conftest import Write
from loader.samples import connector, error, info, sink

Load = Callable[..., PluginRegistry]

OBSERVER = """
from crmetrics.plugin import hookimpl

seen = []


@hookimpl
def crmetrics_run_started(run_id):
    BODY
    seen.append(run_id)
"""

COMMANDS = """
import click
from crmetrics.plugin import hookimpl


@hookimpl
def crmetrics_commands(cli):
    @cli.command("NAME")
    def own():
        click.echo("hello")
    BODY
"""


def observer(body: str = "") -> str:
    return OBSERVER.replace("BODY", body)


def commands(name: str, body: str = "") -> str:
    return COMMANDS.replace("NAME", name).replace("BODY", body)


# --- require ---------------------------------------------------------------------------------


def test_a_quarantined_plugin_is_only_an_error_when_it_is_needed(load: Load, plugin: Write) -> None:
    plugin("acme.py", "import acme_nowhere")
    registry = load()
    with pytest.raises(PluginError, match=r"plugins/acme.py:1: .*'acme_nowhere'"):
        registry.require_connector("acme")


def test_the_loser_of_a_name_says_so_when_it_is_needed(load: Load, plugin: Write) -> None:
    plugin("one.py", connector("shared"))
    plugin("two.py", connector("shared") + sink("only_here"))
    registry = load()
    assert registry.require_connector("shared")
    with pytest.raises(PluginError, match=r"two.*connector 'shared' is offered by 'one'"):
        registry.require_sink("only_here")


@pytest.mark.parametrize("kind", ["connector", "sink", "pack"])
def test_an_unknown_name_gets_a_suggestion(load: Load, plugin: Write, kind: str) -> None:
    plugin("own.py", connector("pipeline") + sink("pipeline"))
    registry = load()
    require = {
        "connector": registry.require_connector,
        "sink": registry.require_sink,
        "pack": registry.require_pack,
    }[kind]
    with pytest.raises(PluginError) as caught:
        require("pipelin")
    assert f"unknown {kind} 'pipelin'." in str(caught.value)
    assert ("Did you mean 'pipeline'?" in str(caught.value)) == (kind != "pack")


def test_an_unknown_name_lists_the_quarantined_plugins_with_their_errors(
    load: Load, plugin: Write
) -> None:
    plugin("other_name.py", "import acme_nowhere")
    with pytest.raises(PluginError, match=r"In quarantine.*other_name.*acme_nowhere"):
        load().require_connector("acme")


def test_the_offers_of_a_registry_cannot_be_changed(load: Load) -> None:
    with pytest.raises(TypeError):
        load().connectors["x"] = object  # type: ignore[index]


# --- what waits until somebody asks for it ---------------------------------------------------


def test_connectors_and_sinks_that_nobody_names_are_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from crmetrics.loader import load_plugins\n"
        "registry = load_plugins(Path('.'), (), {'csv', 'files'})\n"
        "print(sorted(registry.connectors), sorted(registry.sinks), len(registry.packs))\n"
        "heavy = [f'crmetrics_{name}' for name in ('hubspot.connector', 'slack.sink')]\n"
        "print([name in sys.modules for name in heavy])\n"
        "print(registry.require_sink('slack').name)\n"
        "print([name in sys.modules for name in heavy])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [
        "['csv'] ['files'] 8",
        "[False, False]",
        "slack",
        "[True, True]",
    ]


def test_who_looks_at_the_plugins_sees_those_that_waited(tmp_path: Path) -> None:
    waiting, all_at_once = (load_plugins(tmp_path, (), used) for used in (set(), None))
    found, wanted = ({p.name: p for p in each.plugins} for each in (waiting, all_at_once))
    assert found == wanted
    assert waiting.connectors == all_at_once.connectors
    assert waiting.sinks == all_at_once.sinks


def test_what_may_wait_is_named_after_its_plugin(load: Load) -> None:
    for plugin in load().plugins:
        kinds = {offer.partition(" ")[0] for offer in plugin.offers}
        if plugin.is_builtin and not kinds.isdisjoint({"connector", "sink"}):
            assert plugin.offers in [(f"{kind} {plugin.name}",) for kind in kinds]


def test_the_name_of_a_plugin_that_waits_is_not_given_away(tmp_path: Path, plugin: Write) -> None:
    plugin("mine.py", sink("slack"))
    plugin("other.py", connector("slack"))
    registry = load_plugins(tmp_path, (), set())
    assert list(registry.connectors) == ["slack"]
    assert "'slack' belongs to crmetrics itself" in error(registry, "mine")
    assert registry.require_sink("slack").__module__ == "crmetrics_slack.sink"


def test_a_built_in_plugin_that_waited_and_fails_says_why(
    tmp_path: Path, distribution: Callable[..., Path], plugin: Write
) -> None:
    source = "from crmetrics.plugin import hookimpl\n@hookimpl\n"
    source += "def crmetrics_sinks():\n    import acme_nowhere\n"
    distribution("crmetrics", {"chat": "broken_chat"}, {"broken_chat.py": source})
    plugin("mine.py", sink("chat"))
    registry = load_plugins(tmp_path, (), set())
    assert "chat" not in [plugin.name for plugin in registry.tried]
    with pytest.raises(PluginError, match="No module named 'acme_nowhere'"):
        registry.require_sink("chat")
    assert "'chat' belongs to crmetrics itself" in error(registry, "mine")


# --- observers -------------------------------------------------------------------------------


def _seen(registry: PluginRegistry) -> list[str]:
    (implementation,) = registry.hook.crmetrics_run_started.get_hookimpls()
    found: list[str] = implementation.plugin.seen
    return found


def test_an_observer_gets_the_arguments_it_names(load: Load, plugin: Write) -> None:
    plugin("watch.py", observer())
    registry = load()
    assert info(registry, "watch").offers == ("observer crmetrics_run_started",)
    registry.notify("crmetrics_run_started", run_id="r1", job="weekly")
    registry.hook.crmetrics_run_started(run_id="r2", job="weekly")
    assert _seen(registry) == ["r1", "r2"]


@pytest.mark.parametrize("body", ["raise ValueError('full disk')", "raise SystemExit(3)"])
def test_an_observer_that_raises_is_reported_once_and_breaks_nothing(
    load: Load, plugin: Write, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    plugin("a_broken.py", observer(body))
    plugin("b_fine.py", observer())
    registry = load()
    with caplog.at_level(logging.WARNING):
        for run in ("r1", "r2"):
            registry.notify("crmetrics_run_started", run_id=run, job="weekly")
    (warning,) = [record for record in caplog.records if record.name == "crmetrics.loader"]
    assert "a_broken" in warning.getMessage()
    assert "crmetrics_run_started" in warning.getMessage()
    fine = registry.hook.crmetrics_run_started.get_hookimpls()[1]
    assert fine.plugin.seen == ["r1", "r2"]


def test_the_user_can_interrupt_an_observer(load: Load, plugin: Write) -> None:
    plugin("watch.py", observer("raise KeyboardInterrupt"))
    registry = load()
    with pytest.raises(KeyboardInterrupt):
        registry.notify("crmetrics_run_started", run_id="r1", job="weekly")


def test_observers_are_called_in_the_order_of_loading_and_of_their_marks(
    load: Load, plugin: Write
) -> None:
    for name, mark in {
        "a": "hookimpl(trylast=True)",
        "b": "hookimpl",
        "c": "hookimpl",
        "d": "hookimpl(tryfirst=True)",
    }.items():
        plugin(
            f"{name}.py",
            f"from crmetrics.plugin import hookimpl\n@{mark}\n"
            f"def crmetrics_run_finished(summary): summary.append('{name}')",
        )
    order: list[str] = []
    load().notify("crmetrics_run_finished", run_id="r1", job="weekly", exit_code=0, summary=order)
    assert order == ["d", "b", "c", "a"]


def test_a_missing_argument_is_the_callers_error_not_the_plugins(load: Load, plugin: Write) -> None:
    plugin("watch.py", observer())
    with pytest.raises(TypeError, match="crmetrics_run_started needs job"):
        load().notify("crmetrics_run_started", run_id="r1")


def test_an_unknown_hook_of_the_relay_is_named(load: Load) -> None:
    with pytest.raises(AttributeError, match="crmetrics_run_started"):
        load().hook.crmetrics_run_start(run_id="r1")


# --- commands --------------------------------------------------------------------------------


@pytest.fixture
def cli() -> click.Group:
    group = click.Group("crmetrics")
    group.add_command(click.Command("run"))
    return group


def test_a_plugin_adds_a_command(load: Load, plugin: Write, cli: click.Group) -> None:
    plugin("own.py", commands("hello"))
    registry = load()
    assert registry.apply_commands(cli) == ()
    assert set(cli.commands) == {"run", "hello"}
    assert info(registry, "own").offers == ("commands",)


def test_a_command_of_the_product_cannot_be_replaced(
    load: Load, plugin: Write, cli: click.Group
) -> None:
    plugin("a_bad.py", commands("run"))
    plugin("b_late.py", commands("sync"))
    plugin("c_fine.py", commands("hello"))
    own = cli.commands["run"]
    first, second = load().apply_commands(cli, reserved={"sync"})
    assert "a_bad" in first and "'run' is a command already" in first
    assert "b_late" in second and "'sync' is a command already" in second
    assert set(cli.commands) == {"run", "hello"}
    assert cli.commands["run"] is own


@pytest.mark.parametrize(
    "body", ["raise ValueError('no')", "raise SystemExit(1)", "cli.commands.clear()"]
)
def test_a_command_hook_that_fails_adds_nothing(
    load: Load, plugin: Write, cli: click.Group, body: str
) -> None:
    plugin("a_bad.py", commands("hello", body))
    plugin("b_fine.py", commands("bye"))
    (problem,) = load().apply_commands(cli)
    assert "a_bad" in problem
    assert set(cli.commands) == {"run", "bye"}
