"""What was found out about expressions is kept between processes, and is never wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crmetrics.compiler import expressions, trees
from crmetrics.compiler.memory import Memory, fingerprint
from crmetrics.testing.projects import load_tables, write_project

OWN = """\
big_deals:
  title: Big deals
  unit: count
  better: higher
  from: opportunities
  time: close_date
  value: count(*) filter (where amount >= 100)
"""
PROGRAM = """
import json, sys
from datetime import UTC, datetime
from crmetrics.engine import Project
found = Project(sys.argv[1], environ={}, now=lambda: datetime(2026, 3, 1, tzinfo=UTC)).query(
    ["big_deals"], period="2026-01"
)
print(json.dumps([found.column("value").to_pylist()[0], "sqlglot" in sys.modules]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with an own KPI over deals of 50, 100 and 200."""
    deals = {
        "id": ["a", "b", "c"],
        "close_date": pa.array([date(2026, 1, day) for day in (3, 4, 5)]),
        "amount": [50.0, 100.0, 200.0],
    }
    write_project(tmp_path, {}, packs=())
    load_tables(tmp_path, {"opportunities": pa.table(deals)})
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "own.yaml").write_text(OWN)
    return tmp_path


def ask(folder: Path) -> tuple[Any, bool]:
    """The number from a process of its own, and whether that had to parse anything."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True
    )
    value, has_parsed = json.loads(done.stdout)
    return value, has_parsed


def test_an_unchanged_question_is_answered_without_parsing(folder: Path) -> None:
    assert ask(folder) == (2, True)
    assert ask(folder) == (2, False)


def test_a_changed_definition_is_read_anew(folder: Path) -> None:
    ask(folder)
    (folder / "metrics" / "own.yaml").write_text(OWN.replace(">= 100", ">= 200"))
    assert ask(folder) == (1, True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(">= 100", ">= 200"),
        lambda text: "0" * 64 + text[64:].replace(">= 100", ">= 200"),
        lambda text: "\n".join([text.split("\n")[0], "x", "[]"]),
    ],
    ids=["empty", "cut off", "changed", "of other code", "no mapping"],
)
def test_a_damaged_memory_is_as_good_as_none(damage: Any, folder: Path) -> None:
    ask(folder)
    file = folder / ".crmetrics" / "expressions.json"
    file.write_text(damage(file.read_text()))
    assert ask(folder) == (2, True)
    assert ask(folder) == (2, False)


def test_a_folder_that_cannot_be_written_is_no_fault(folder: Path) -> None:
    file = folder / ".crmetrics" / "expressions.json"
    file.mkdir()
    assert ask(folder) == (2, True)
    assert [path.name for path in file.parent.glob("expressions*")] == ["expressions.json"]


def test_two_memories_do_not_mix_arguments_up(tmp_path: Path) -> None:
    memory = Memory()
    memory.put("split", ("a\0b", ""), 1)
    assert memory.get("split", ("a", "b\0")) is None
    memory.save(tmp_path / "known.json")
    other = Memory()
    other.load(tmp_path / "known.json")
    assert other.get("split", ("a\0b", "")) == 1


def test_a_memory_that_grew_too_long_keeps_what_was_asked_for(tmp_path: Path) -> None:
    memory = Memory()
    for number in range(6_000):
        memory.put("read", (f"x + {number}",), number)
    assert memory.get("read", ("x + 7",)) == 7
    memory.save(tmp_path / "known.json")
    other = Memory()
    other.load(tmp_path / "known.json")
    assert other.get("read", ("x + 7",)) == 7
    assert other.get("read", ("x + 8",)) is None


def test_the_fingerprint_is_that_of_the_code() -> None:
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 64


@pytest.mark.parametrize(
    "sql",
    [
        "sum(amount_rc) filter (where is_won and owner.team = 'É \"x\"')",
        "count(distinct (source, id)) - avg(amount) / nullif(count(*), 0)",
        "case when stage in ('a', 'b') then amount else -amount end -- comment",
    ],
)
def test_a_remembered_answer_is_the_one_that_was_found(sql: str, tmp_path: Path) -> None:
    found = [trees.read(sql), trees.aggregate(sql), trees.substitute(sql, "amount", "f.amount")]
    memory = Memory()
    for number, answer in enumerate(found):
        memory.put(str(number), (sql,), answer)
    memory.save(tmp_path / "known.json")
    other = Memory()
    other.load(tmp_path / "known.json")
    assert [other.get(str(number), (sql,)) for number in range(3)] == found
    assert expressions.columns(sql) == found[0][2]


def test_nothing_is_remembered_of_what_is_no_expression() -> None:
    for _ in range(2):
        with pytest.raises(Exception, match="no SQL expression"):
            expressions.columns("sum((")
