"""The form of the file: YAML, encoding, duplicate keys, and no surprises of YAML 1.1."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.stand_ins import EXAMPLE_VARIABLES, CsvOptions, DatabaseOptions, ProjectFolder
from crmetrics.errors import ConfigError


@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("", "crmetrics.yaml:1:1: the file is empty."),
        (" \n\n", "crmetrics.yaml:1:1: the file is empty."),
        ("# nothing yet\n", "crmetrics.yaml:1:1: the file holds only comments."),
        ("- a\n", "crmetrics.yaml:1:1: expected keys such as `sources:` and `jobs:` at the top"),
        ("hello\n", "crmetrics.yaml:1:1: expected keys such as `sources:` and `jobs:` at the top"),
        ("a: b\n---\nc: d\n", "crmetrics.yaml:2:1: not valid YAML"),
        (b"\xff\xfep\x00", "crmetrics.yaml:1:1: expected UTF-8, found UTF-16."),
        (b"version: 1\nproject: caf\xe9\n", "crmetrics.yaml:2:13: expected UTF-8, found the byte"),
        (b"project: a\x00b\n", "crmetrics.yaml:1:11: found the control character U+0000."),
        ("jobs:\n\ta: b\n", "crmetrics.yaml:2:1: a tab stands in the indent"),
        ("jobs:\n  a:\n \tb: c\n", "crmetrics.yaml:3:2: a tab stands in the indent"),
        ("project: [a\n", "crmetrics.yaml:2:1: not valid YAML"),
        ("project: 'a\n", "crmetrics.yaml:2:1: not valid YAML"),
        ("project: @a\n", "crmetrics.yaml:1:10: not valid YAML"),
        ("project: a: b\n", "crmetrics.yaml:1:11: not valid YAML"),
        ("project: *a\n", "crmetrics.yaml:1:10: not valid YAML"),
        ("project: &a [*a]\n", "crmetrics.yaml:1:10: nested more than"),
        ("project: !env A\n", "crmetrics.yaml:1:10: the tag '!env' has no meaning here."),
        ("project: !!python/name:os.sep x\n", "crmetrics.yaml:1:10: the tag '!!python/name:"),
        ("? [a]\n: b\n", "crmetrics.yaml:1:3: expected a name as the key"),
        ("?\n: b\n", "crmetrics.yaml:1:2: expected a name as the key"),
    ],
)
def test_a_file_that_cannot_be_read_has_one_finding_with_its_place(
    folder: ProjectFolder, content: str | bytes, start: str
) -> None:
    assert folder.message(content).startswith(start)


def test_an_unquoted_schedule_gets_the_advice_to_quote_it(folder: ProjectFolder) -> None:
    message = folder.message("jobs:\n  a: {kpis: [x], schedule: * * * * *}\n")
    assert message.startswith("crmetrics.yaml:2:29:")
    assert "needs quotes" in message


def test_a_byte_order_mark_is_skipped_and_moves_no_column(folder: ProjectFolder) -> None:
    assert folder.load(b"\xef\xbb\xbfproject: acme\n").project == "acme"
    assert folder.message(b"\xef\xbb\xbfprojekt: acme\n").startswith("crmetrics.yaml:1:1: unknown")


def test_windows_line_ends_keep_the_lines(folder: ProjectFolder) -> None:
    assert folder.message(b"version: 1\r\nprojekt: acme\r\n").startswith("crmetrics.yaml:2:1:")


def test_columns_count_characters_not_bytes(folder: ProjectFolder) -> None:
    message = folder.message("jobs: {täglich: {kpis: [x], grain: tag}}\n")
    assert message.startswith("crmetrics.yaml:1:36: jobs.täglich.grain:")


def test_a_duplicate_key_is_told_with_both_places(folder: ProjectFolder) -> None:
    text = "jobs:\n  a: {kpis: [x]}\n  b: {kpis: [y]}\n  a: {kpis: [z]}\n"
    assert folder.message(text) == (
        "crmetrics.yaml:4:3: key 'a' stands twice; it is already in line 2, column 3. "
        "Keep one of them."
    )


def test_a_duplicate_key_hides_no_other_finding(folder: ProjectFolder) -> None:
    messages = folder.messages("project: a\nproject: b\nreporting: {currency: EURO}\n")
    assert len(messages) == 2


@pytest.mark.parametrize("word", ["on", "yes", "no", "off", "y", "1", "null", "2026-01-01"])
def test_a_word_of_yaml_as_a_key_stays_that_word(folder: ProjectFolder, word: str) -> None:
    assert f"unknown key '{word}'" in folder.message(f"{word}: x\n")
    job = folder.load(f"jobs:\n  {word}: {{kpis: [a]}}\n").jobs
    assert list(job) == [word]


@pytest.mark.parametrize(
    "written",
    ["no", "on", "true", "007", "012", "1.10", "1e3", "1:30", "0x1F", "1_000", "2026-01-01", "+5"],
)
def test_a_text_is_what_stands_in_the_file(folder: ProjectFolder, written: str) -> None:
    assert folder.load(f"project: {written}\n").project == written
    mapped = folder.load(
        f"sources: {{s: {{connector: csv, datasets: {{accounts: {{columns: {{segment: {written}}}"
        "}}}}\n"
    )
    options = mapped.sources["s"].options
    assert options.datasets["accounts"].columns == {"segment": written}


def test_values_without_a_declared_type_follow_yaml_1_2(folder: ProjectFolder) -> None:
    text = (
        "sinks:\n  s:\n    sink: database\n    url: x://y\n    options: {a: 1, b: -2.5, c: true,"
        " d: no, e: null, f: '1', g: 012, h: 1e3, i: !!str 5, j: [1, x], k: 1.2.3, l: .inf}\n"
    )
    options = folder.load(text).sinks["s"].options
    assert isinstance(options, DatabaseOptions)
    assert options.options == {
        "a": 1,
        "b": -2.5,
        "c": True,
        "d": "no",
        "e": None,
        "f": "1",
        "g": "012",
        "h": 1000.0,
        "i": "5",
        "j": [1, "x"],
        "k": "1.2.3",
        "l": ".inf",
    }


def test_yes_and_no_are_taken_where_true_or_false_is_expected(folder: ProjectFolder) -> None:
    options = folder.load("sources: {s: {connector: csv, has_header: no}}\n").sources["s"].options
    assert isinstance(options, CsvOptions)
    assert options.has_header is False


def test_anchors_and_merge_keys_work_and_own_keys_win(folder: ProjectFolder) -> None:
    text = (
        "jobs:\n  day: &day {kpis: [a], grain: day, totals: false}\n"
        "  week: {<<: *day, grain: week}\n  more: {<<: [*day, {where: x}]}\n"
    )
    jobs = folder.load(text).jobs
    assert (jobs["week"].kpis, jobs["week"].grain, jobs["week"].totals) == (("a",), "week", False)
    assert (jobs["more"].grain, jobs["more"].where) == ("day", "x")


def test_merging_what_is_no_section_is_a_finding(folder: ProjectFolder) -> None:
    assert "expected a section to merge" in folder.messages("jobs: {a: {<<: 5, kpis: [x]}}\n")[0]


def test_anchors_that_multiply_are_stopped(folder: ProjectFolder) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "do anchors multiply?" in folder.message("\n".join(lines))


def test_a_file_that_nests_very_deep_is_refused(folder: ProjectFolder) -> None:
    assert "nested more than" in folder.message("project: " + "[" * 900 + "]" * 900)


def test_empty_sections_mean_their_defaults(folder: ProjectFolder) -> None:
    text = "project:\nreporting:\nwarehouse:\nplugins:\nsources:\nmetrics:\ngoals:\nsinks:\njobs:\n"
    config = folder.load(text)
    assert config.project == folder.directory.name
    assert config.reporting.timezone == "UTC"
    assert config.warehouse.path == folder.directory / ".crmetrics/warehouse.duckdb"
    assert (dict(config.sources), dict(config.jobs), config.goals) == ({}, {}, ())


def test_an_empty_mapping_is_a_project_of_defaults(folder: ProjectFolder) -> None:
    assert folder.load("{}\n").metrics.packs == ()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=80))
def test_any_bytes_give_a_project_or_a_config_error(folder: ProjectFolder, raw: bytes) -> None:
    try:
        folder.load(raw)
    except ConfigError as error:
        assert error.findings


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_gives_a_project_or_findings_with_places_and_no_secret(
    folder: ProjectFolder, example: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(example) - 1))
    length = data.draw(st.integers(0, 12))
    put = data.draw(st.text("{}[]:,-'\"\n\t *&!#$ax5", max_size=4))
    try:
        folder.load(example[:at] + put + example[at + length :], **EXAMPLE_VARIABLES)
    except ConfigError as error:
        assert error.findings
        assert all(it.file == "crmetrics.yaml" and it.line and it.column for it in error.findings)
        assert "secret-value" not in str(error)
