"""The examples do what they say: copied into plugins/, installed, and as their README walks."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crmetrics.loader import PluginRegistry, load_plugins
from crmetrics.plugin import Connector, ConnectorContext, MetricPack, Sink, SinkContext, SinkError
from crmetrics.testing import (
    CollectingRequest,
    ConnectorContract,
    PackContract,
    SinkContract,
    sample_delivery,
)

EXAMPLES = Path(__file__).resolve().parent.parent / "plugins.example"
CALL = {"call_id": "c1", "started": "2026-01-05T09:00:00Z"}


def _environ(pythonpath: Path | None = None) -> dict[str, str]:
    """What a shell has in which the `crmetrics` of these tests is installed."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", "")])
    if pythonpath is not None:
        environ["PYTHONPATH"] = str(pythonpath)
    return environ


def _run(
    command: Sequence[str | Path], cwd: Path, pythonpath: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=_environ(pythonpath),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> PluginRegistry:
    """The plugins of a project whose plugins/ is a copy of the examples."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(
        EXAMPLES, project / "plugins", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
    )
    return load_plugins(project)


def test_the_folder_works_as_it_is_when_it_is_copied(registry: PluginRegistry) -> None:
    own = {plugin.name: plugin for plugin in registry.plugins if not plugin.is_builtin}
    assert {name: plugin.error for name, plugin in own.items()} == {
        "markdown_digest": "",
        "otel_runs": "",
        "phone_log": "",
        "team_metrics": "",
    }
    assert registry.require_connector("phone_log")
    assert registry.require_sink("markdown_digest")
    assert registry.require_pack("team_metrics")


# --- the connector ---------------------------------------------------------------------------


def _phone_log(registry: PluginRegistry, folder: Path, path: str = "phones") -> Connector:
    kind = registry.require_connector("phone_log")
    return kind(kind.Config.model_validate({"path": path}), ConnectorContext("phones", folder))


def _write_calls(folder: Path, *lines: str | dict[str, Any], file: str = "a.jsonl") -> None:
    (folder / "phones").mkdir(exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "phones" / file).write_text("\n".join(texts), encoding="utf-8")


class TestPhoneLogContract(ConnectorContract):
    @pytest.fixture
    def connector_factory(
        self, registry: PluginRegistry, tmp_path: Path
    ) -> Callable[[], Connector]:
        _write_calls(
            tmp_path, *({**CALL, "call_id": f"c{number}", "talk_s": number} for number in range(50))
        )
        return lambda: _phone_log(registry, tmp_path)

    @pytest.fixture
    def broken_factory(self, registry: PluginRegistry, tmp_path: Path) -> Callable[[], Connector]:
        return lambda: _phone_log(registry, tmp_path, "nowhere")


def test_the_fields_of_the_export_become_columns(registry: PluginRegistry, tmp_path: Path) -> None:
    whole = {**CALL, "dir": "in", "agent": "u7", "customer": "Ä", "ticket": "t9", "talk_s": 184.5}
    _write_calls(tmp_path, {**whole, "hold_s": 20, "wait_s": 12, "result": "missed"})
    with CollectingRequest("activities") as request:
        (row,) = request.collect(_phone_log(registry, tmp_path).read(request)).to_pylist()
    assert row["activity_type"] == "call"
    assert row["direction"] == "inbound"
    assert row["occurred_at"].isoformat() == "2026-01-05T09:00:00+00:00"
    assert (row["user_id"], row["account_id"], row["case_id"]) == ("u7", "Ä", "t9")
    assert (row["talk_seconds"], row["hold_seconds"], row["queue_seconds"]) == (184.5, 20.0, 12.0)
    assert row["outcome"] == "no_answer"


def test_a_word_that_is_not_known_stays_as_it_is(registry: PluginRegistry, tmp_path: Path) -> None:
    _write_calls(tmp_path, {**CALL, "result": "voicemail"}, {**CALL, "call_id": "c2"})
    with CollectingRequest("activities", columns=["id", "outcome"]) as request:
        table = request.collect(_phone_log(registry, tmp_path).read(request))
    assert table["outcome"].to_pylist() == ["voicemail", None]


def test_a_column_can_be_mapped_to_a_field_of_the_export(
    registry: PluginRegistry, tmp_path: Path
) -> None:
    _write_calls(tmp_path, {**CALL, "wrap": 90, "talk_s": 60}, {**CALL, "call_id": "c2"})
    mapping = {"wrap_seconds": "wrap", "talk_seconds": "talk_s::double / 60"}
    columns = ["id", "wrap_seconds", "talk_seconds"]
    with CollectingRequest("activities", columns=columns, mapping=mapping) as request:
        table = request.collect(_phone_log(registry, tmp_path).read(request))
    assert table["wrap_seconds"].to_pylist() == [90.0, None]
    assert table["talk_seconds"].to_pylist() == [1.0, None]


def test_a_broken_line_is_set_aside_with_its_place(
    registry: PluginRegistry, tmp_path: Path
) -> None:
    _write_calls(tmp_path, CALL, "", '{"call_id": ', "[1]", {**CALL, "call_id": "c2"})
    with CollectingRequest("activities", columns=["id"]) as request:
        table = request.collect(_phone_log(registry, tmp_path).read(request))
    assert table["id"].to_pylist() == ["c1", "c2"]
    assert [rejected.place for rejected in request.rejected] == ["a.jsonl:3", "a.jsonl:4"]


def test_all_files_of_the_folder_are_read_in_portions(
    registry: PluginRegistry, tmp_path: Path
) -> None:
    for file in ("a.jsonl", "b.jsonl"):
        calls = ({**CALL, "call_id": f"{file}{number}"} for number in range(7_000))
        _write_calls(tmp_path, *calls, file=file)
    _write_calls(tmp_path, "not an export", file="notes.txt")
    with CollectingRequest("activities", columns=["id"]) as request:
        table = request.collect(_phone_log(registry, tmp_path).read(request))
    assert table.num_rows == 14_000
    assert [batch.num_rows for batch in request.batches] == [10_000, 4_000]


# --- the sink --------------------------------------------------------------------------------


def _digest(registry: PluginRegistry, folder: Path, path: str = "reports/digest.md") -> Sink:
    kind = registry.require_sink("markdown_digest")
    return kind(kind.Config.model_validate({"path": path}), SinkContext("digest", folder))


class TestMarkdownDigestContract(SinkContract):
    @pytest.fixture
    def sink_factory(self, registry: PluginRegistry, tmp_path: Path) -> Callable[[], Sink]:
        return lambda: _digest(registry, tmp_path)

    @pytest.fixture
    def read_back(self, tmp_path: Path) -> Callable[[], Any]:
        return lambda: {
            str(file.relative_to(tmp_path)): file.read_text(encoding="utf-8")
            for file in tmp_path.rglob("*")
            if file.is_file()
        }

    @pytest.fixture
    def broken_factory(self, registry: PluginRegistry, tmp_path: Path) -> Callable[[], Sink]:
        (tmp_path / "a_file").write_text("in the way")
        return lambda: _digest(registry, tmp_path, "a_file/digest.md")


def test_the_digest_keeps_what_people_wrote_around_the_reports(
    registry: PluginRegistry, tmp_path: Path
) -> None:
    file = tmp_path / "reports" / "digest.md"
    sink = _digest(registry, tmp_path)
    sink.write(sample_delivery())
    file.write_text(f"# Our reports\n\n{file.read_text(encoding='utf-8')}\nThe end.\n")
    sink.write(sample_delivery())
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# Our reports\n")
    assert text.endswith("\nThe end.\n")
    assert text.count("## Monthly sales") == 1


def test_a_digest_that_is_no_text_is_left_alone(registry: PluginRegistry, tmp_path: Path) -> None:
    file = tmp_path / "reports" / "digest.md"
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SinkError, match=r"digest\.md"):
        _digest(registry, tmp_path).write(sample_delivery())
    assert file.read_bytes() == b"\xff\xfe\x00"


def test_the_text_of_a_digest_reads_well(
    registry: PluginRegistry, tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    golden("plugins_example/digest.md", _digest(registry, tmp_path).preview(sample_delivery()))


# --- the metric pack -------------------------------------------------------------------------


class TestTeamMetricsContract(PackContract):
    @pytest.fixture
    def pack(self, registry: PluginRegistry) -> MetricPack:
        return registry.require_pack("team_metrics")


# --- the distribution ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed crmetrics-hello."""
    # A copy: pip and hatchling must leave nothing behind in the checkout.
    source = tmp_path_factory.mktemp("source") / "crmetrics-hello"
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLES / "crmetrics-hello", source, ignore=ignored)
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    flags = ["--no-deps", "--no-index", "--no-build-isolation", "--target", target]
    _run([*pip, *flags, source], target)
    return target


@pytest.mark.slow
@pytest.mark.xdist_group("crmetrics-hello")
def test_the_installed_distribution_is_a_plugin(hello: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom crmetrics.loader import load_plugins\n"
        "registry = load_plugins(Path('.'))\n"
        "print(registry.require_connector('hello').__module__)\n"
        "print([(p.origin, p.state, p.error) for p in registry.plugins if p.name == 'hello'])"
    )
    done = _run([sys.executable, "-c", code], tmp_path, hello)
    assert done.stdout.splitlines() == [
        "crmetrics_hello.connector",
        "[('distribution crmetrics-hello 0.1.0', 'loaded', '')]",
    ]


@pytest.mark.slow
@pytest.mark.xdist_group("crmetrics-hello")
def test_the_tests_of_the_distribution_pass_where_it_is_installed(
    hello: Path, tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLES / "crmetrics-hello" / "tests", tmp_path / "tests")
    shutil.copy(EXAMPLES / "crmetrics-hello" / "pyproject.toml", tmp_path)
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = _run(pytest_, tmp_path, hello)
    assert re.search(r"\b2\d passed", done.stdout), done.stdout


def test_a_connector_for_a_paged_list_is_forty_lines_on_top_of_the_kit() -> None:
    source = EXAMPLES / "crmetrics-hello" / "src" / "crmetrics_hello" / "connector.py"
    tree = ast.parse(source.read_text("utf-8"))
    (connector,) = [
        n for n in tree.body if isinstance(n, ast.ClassDef) if n.name == "HelloConnector"
    ]
    lines = source.read_text("utf-8").splitlines()[connector.lineno - 1 : connector.end_lineno]
    assert len([line for line in lines if line.strip()]) <= 40


# --- the README ------------------------------------------------------------------------------

BLOCK = re.compile(
    r"(?:^`(?P<file>[\w./-]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)


def _walk(text: str, project: Path) -> str:
    """Do what the text says: write the files that it names, run its commands. Returns the text
    with the output that the commands gave."""

    def do(block: re.Match[str]) -> str:
        if block["file"]:
            file = project / block["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block["body"], encoding="utf-8")
        if block["kind"] != "console":
            return block[0]
        lines = []
        for command in re.findall(r"^\$ (.*)$", block["body"], re.MULTILINE):
            done = _run(["sh", "-c", command], project)
            lines += [f"$ {command}", *(line.rstrip() for line in done.stdout.splitlines())]
        return "\n".join(["```console", *lines, "```"])

    return BLOCK.sub(do, text)


@pytest.mark.slow
def test_the_walk_of_the_readme_gives_what_it_shows(
    tmp_path: Path, repo: Path, pytestconfig: pytest.Config
) -> None:
    (tmp_path / "crmetrics").symlink_to(repo)
    project = tmp_path / "acme"
    project.mkdir()
    readme = EXAMPLES / "README.md"
    text = readme.read_text(encoding="utf-8")
    walked = _walk(text, project)
    assert walked.count("$ crmetrics") > 3
    if pytestconfig.getoption("--update-golden"):
        readme.write_text(walked, encoding="utf-8")
        return
    assert walked == text
