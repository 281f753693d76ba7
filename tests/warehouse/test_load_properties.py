"""Whatever the order, the cut into loads and the repeats: the same records give the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import count, pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmetrics.warehouse import Intake, LoadSession
from warehouse.loading import gone, load, on, open_warehouse, part, stored

KEYS = st.sampled_from(["1", "2", "3"])
INSTANTS = st.one_of(st.none(), st.integers(1, 3))

quick = settings(max_examples=25, deadline=None)


_numbers = count()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadSession]:
    with open_warehouse(tmp_path_factory.mktemp("warehouse")) as opened:
        yield opened


def new_source() -> str:
    """A source that no other example has used: opening a warehouse for each would take minutes."""
    return f"source {next(_numbers)}"


def instant(day: int | None) -> datetime | None:
    return None if day is None else on(day)


def batch(records: Sequence[tuple[str, int | None, str]]) -> pa.RecordBatch:
    """A batch of (id, day of the change, stage)."""
    return pa.record_batch(
        {
            "id": pa.array([record[0] for record in records], pa.string()),
            "updated_at": pa.array(
                [instant(record[1]) for record in records], pa.timestamp("us", tz="UTC")
            ),
            "stage": pa.array([record[2] for record in records], pa.string()),
        }
    )


# --- records of an API: any order, any cut, any repeats --------------------------------------


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[list[tuple[str, int | None, str]]]]:
    """Loads of batches of records; copies of a key with the same change time are equal."""
    records = draw(st.lists(st.tuples(KEYS, INSTANTS), max_size=25))
    named = [(key, day, f"{key} of {day}") for key, day in records]
    cuts = sorted(draw(st.lists(st.integers(0, len(named)), max_size=6)))
    batches = [named[start:end] for start, end in pairwise([0, *cuts, len(named)])]
    return [batches[start : start + 2] for start in range(0, len(batches), 2)]


@quick
@given(loads=deliveries())
def test_the_newest_version_stands_whatever_the_order_and_the_cut(
    session: LoadSession, loads: list[list[list[tuple[str, int | None, str]]]]
) -> None:
    newest: dict[str, tuple[int, str]] = {}
    for records in loads:
        for key, day, stage in [record for part_of in records for record in part_of]:
            newest[key] = max(newest.get(key, (-1, "")), (day or 0, stage))

    source = new_source()
    for number, batches in enumerate(loads):
        load(session, *map(batch, batches), started=on(10, number), source=source)
    found = dict(stored(session, "id", "stage", source=source))
    assert found == {key: stage for key, (_, stage) in newest.items()}


# --- batches that lack columns ---------------------------------------------------------------

PIECES = st.lists(
    st.tuples(KEYS, st.sampled_from(["stage", "amount", "both"]), st.integers(0, 99)), max_size=14
)


@quick
@given(pieces=PIECES, ends=st.lists(st.booleans(), min_size=14, max_size=14))
def test_pieces_of_records_complete_each_other_across_batches_and_loads(
    session: LoadSession, pieces: list[tuple[str, str, int]], ends: list[bool]
) -> None:
    expected: dict[str, dict[str, int]] = {}
    loads: list[list[pa.RecordBatch]] = [[]]
    for number, ((key, columns, value), ends_load) in enumerate(zip(pieces, ends, strict=False)):
        given_columns = {"stage": value, "amount": value}
        if columns != "both":
            given_columns = {columns: value}
        expected.setdefault(key, {}).update(given_columns)
        typed = {name: pa.array([str(content)]) for name, content in given_columns.items()}
        dated = {"updated_at": pa.array([on(1, number)])} if number % 3 else {}
        loads[-1].append(pa.record_batch({"id": pa.array([key]), **dated, **typed}))
        if ends_load:
            loads.append([])

    source = new_source()
    for batches in loads:
        load(session, *batches, source=source)
    assert stored(session, "id", "stage::int", "amount::int", source=source) == [
        (key, columns.get("stage"), columns.get("amount"))
        for key, columns in sorted(expected.items())
    ]


# --- files -----------------------------------------------------------------------------------

Content = list[tuple[str, int | None]]
FILES = st.sampled_from(["a.csv", "b.csv", "c.csv"])
CONTENTS = st.lists(st.tuples(KEYS, INSTANTS), max_size=6)
CHANGES = st.lists(st.tuples(FILES, st.one_of(st.none(), CONTENTS)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(changes=CHANGES, ends=st.lists(st.booleans(), min_size=8, max_size=8))
def test_the_table_depends_on_the_files_that_exist_and_on_nothing_else(
    session: LoadSession, changes: list[tuple[str, Content | None]], ends: list[bool]
) -> None:
    files: dict[str, list[tuple[str, int | None, str]]] = {}
    loads: list[dict[str, list[tuple[str, int | None, str]] | None]] = [{}]
    for number, ((name, content), ends_load) in enumerate(zip(changes, ends, strict=False)):
        named = None
        if content is not None:
            named = [(key, day, f"{name} {number} {row}") for row, (key, day) in enumerate(content)]
        if name in loads[-1]:
            loads.append({})  # a file is read once per load
        loads[-1][name] = named
        if named is None:
            files.pop(name, None)
        else:
            files[name] = named
        if ends_load:
            loads.append({})

    source = new_source()
    for number, parts in enumerate(loads):
        steps: list[pa.RecordBatch | Callable[[Intake], object]] = []
        for name, content in parts.items():
            steps += [gone(name)] if content is None else [part(name), batch(content)]
        report = load(session, *steps, started=on(10, number), source=source)
        assert report.fetched == sum(len(content or ()) for content in parts.values())
    assert dict(stored(session, "id", "stage", source=source)) == standing(files)


def standing(files: dict[str, list[tuple[str, int | None, str]]]) -> dict[str, str]:
    """Key -> stage of its newest copy: by change time, then file name, then position."""
    newest: dict[str, tuple[int, str, int, str]] = {}
    for name, content in files.items():
        for position, (key, day, stage) in enumerate(content):
            copy = (day or 0, name, position, stage)
            newest[key] = max(newest.get(key, copy), copy)
    return {key: copy[3] for key, copy in newest.items()}
