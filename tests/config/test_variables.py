"""Variables: `${NAME}`, `${NAME:-default}`, `$${`, and the `.env` file."""

from __future__ import annotations

import pytest

from config.stand_ins import CsvOptions, ProjectFolder, SalesforceOptions, SlackOptions


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${A}", "one"),
        ("x-${A}-${B}", "x-one-two"),
        ("${C:-other}", "other"),
        ("${A:-other}", "one"),
        ("${EMPTY:-other}", "other"),
        ("'${C:-a: b, #c}'", "a: b, #c"),
        ("$${A}", "${A}"),
        ("$${A} ${A}", "${A} one"),
        ("$A", "$A"),
        ("5$", "5$"),
        ('"${A}\\t${B}"', "one\ttwo"),
    ],
)
def test_a_variable_is_filled_in(folder: ProjectFolder, written: str, expected: str) -> None:
    config = folder.load(f"project: {written}\n", A="one", B="two", EMPTY="")
    assert config.project == expected


def test_a_variable_works_unquoted_inside_braces_and_brackets(folder: ProjectFolder) -> None:
    text = "sources: {s: {connector: csv, path: ${DIR}/in}}\njobs: {j: {kpis: [${KPI}, b]}}\n"
    config = folder.load(text, DIR="data", KPI="win_rate")
    options = config.sources["s"].options
    assert isinstance(options, CsvOptions)
    assert options.path == "data/in"
    assert config.jobs["j"].kpis == ("win_rate", "b")


@pytest.mark.parametrize(
    "value", ["a: b", "# no comment", "'quoted\"", "[x", "{a: b}", "line\nline", "${B}", "*", "é"]
)
def test_whatever_stands_in_a_value_it_is_that_value(folder: ProjectFolder, value: str) -> None:
    config = folder.load("project: ${A}\nreporting: {currency: EUR}\n", A=value, B="wrong")
    assert config.project == value
    assert config.reporting.currency == "EUR"


@pytest.mark.parametrize("value", ["null", "~", "true", "12345678", "2026-01-01"])
def test_a_secret_from_a_variable_is_never_read_as_something_else(
    folder: ProjectFolder, value: str
) -> None:
    config = folder.load("sinks: {s: {sink: slack, token: ${TOKEN}}}\n", TOKEN=value)
    options = config.sinks["s"].options
    assert isinstance(options, SlackOptions)
    assert options.token is not None
    assert options.token.reveal() == value


def test_numbers_dates_durations_and_booleans_may_come_from_variables(
    folder: ProjectFolder,
) -> None:
    text = (
        "warehouse: {threads: ${THREADS}, lock_timeout: ${LOCK}, statement_timeout: ${SECONDS}}\n"
        "jobs: {j: {kpis: [a], totals: ${TOTALS}}}\n"
        "goals: [{title: t, kpi: k, objective: o, baseline: ${BASE}, target: 2, start: ${START},"
        " due: 2026-02-01, owner: o, rationale: r, guardrails: {g: {min: 1}}}]\n"
    )
    config = folder.load(
        text,
        THREADS="4",
        LOCK="2m",
        SECONDS="90",
        TOTALS="false",
        BASE="0.5",
        START="2026-01-01",
    )
    assert config.warehouse.threads == 4
    assert config.warehouse.lock_timeout_s == 120
    assert config.warehouse.statement_timeout_s == 90
    assert config.jobs["j"].totals is False
    assert config.goals[0].baseline == 0.5
    assert config.goals[0].start.isoformat() == "2026-01-01"


def test_a_wrong_value_from_a_variable_is_told_at_its_place_without_the_value(
    folder: ProjectFolder,
) -> None:
    message = folder.message("warehouse: {threads: ${THREADS}}\n", THREADS="many")
    assert message == (
        "crmetrics.yaml:1:22: warehouse.threads: expected a whole number, "
        "found the value of ${THREADS}."
    )


def test_a_missing_variable_names_itself_its_place_and_the_way_out(folder: ProjectFolder) -> None:
    message = folder.message("project: a\nreporting: {timezone: ${ZONE}}\n", ZONES="UTC")
    assert message == (
        "crmetrics.yaml:2:23: variable ZONE is not set. Did you mean 'ZONES'? Set it in the "
        "environment or in .env beside the file, or give a default: ${ZONE:-...}."
    )


def test_an_empty_variable_is_missing_unless_there_is_a_default(folder: ProjectFolder) -> None:
    assert "variable A is set but empty" in folder.message("project: ${A}\n", A="")
    text = "sources: {s: {connector: csv, path: '${A:-}'}}\n"
    options = folder.load(text, A="").sources["s"].options
    assert isinstance(options, CsvOptions)
    assert options.path == ""


def test_a_missing_variable_is_told_once_and_has_no_consequences(folder: ProjectFolder) -> None:
    text = (
        "reporting: {timezone: ${A}, currency: ${B}}\n"
        "sinks: {s: {sink: slack, token: ${C}}}\n"
        "sources: {t: {connector: ${D}, path: x}, u: {connector: csv, timezone: ${E}}}\n"
        "warehouse: {threads: ${F}, lock_timeout: ${G}}\n"
    )
    messages = folder.messages(text)
    assert len(messages) == 7
    assert all("is not set" in message for message in messages)


def test_other_findings_are_told_beside_missing_variables(folder: ProjectFolder) -> None:
    messages = folder.messages("project: ${A}\nreporting: {currency: EURO}\n")
    assert len(messages) == 2


@pytest.mark.parametrize("written", ["'${1A}'", "'${}'", "'${A-b}'", "'${A'", "'${A:=b}'"])
def test_a_malformed_variable_is_a_finding(folder: ProjectFolder, written: str) -> None:
    message = folder.message(f"project: {written}\n", A="x")
    assert message.startswith("crmetrics.yaml:1:10: expected ${NAME} or ${NAME:-default}")


def test_keys_and_comments_hold_no_variables(folder: ProjectFolder) -> None:
    assert "unknown key '${A}'" in folder.message("# ${MISSING}\n'${A}': 1\n", A="project")


# --- .env --------------------------------------------------------------------------------------


def test_the_env_file_beside_the_project_file_is_read(folder: ProjectFolder) -> None:
    folder.write("# secrets\nexport NAME='from # file'\nOTHER=$NAME\n", ".env")
    assert folder.load("project: ${NAME}\n").project == "from # file"
    assert folder.load("project: ${OTHER}\n").project == "$NAME"


def test_the_environment_wins_over_the_env_file(folder: ProjectFolder) -> None:
    folder.write("NAME=file\n", ".env")
    assert folder.load("project: ${NAME}\n", NAME="environment").project == "environment"


def test_a_broken_line_of_the_env_file_is_told_without_its_text(folder: ProjectFolder) -> None:
    folder.write("NAME=file\nTOKEN = 'secret-value\n", ".env")
    message = folder.message("project: ${NAME}\n")
    assert message == ".env:2:1: expected NAME=value, found something else."


def test_an_env_file_that_is_not_utf_8_is_told(folder: ProjectFolder) -> None:
    folder.write(b"NAME=caf\xe9\n", ".env")
    messages = folder.messages("project: ${NAME}\n")
    assert messages[0].startswith(".env: cannot be read: it is not UTF-8.")


def test_the_env_file_is_left_alone_without_variables(folder: ProjectFolder) -> None:
    folder.write(b"\xff broken", ".env")
    assert folder.load("project: a\n").project == "a"


def test_the_env_file_changes_no_environment(
    folder: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRMETRICS_TEST_ONLY", raising=False)
    folder.write("CRMETRICS_TEST_ONLY=file\n", ".env")
    folder.load("project: ${CRMETRICS_TEST_ONLY}\n")
    import os

    assert "CRMETRICS_TEST_ONLY" not in os.environ


def test_a_nested_secret_is_filled_in(folder: ProjectFolder) -> None:
    text = (
        "sources:\n  s:\n    connector: salesforce\n    domain: d\n"
        "    auth: {flow: access_token, access_token: ${TOKEN}}\n"
    )
    options = folder.load(text, TOKEN="abc").sources["s"].options
    assert isinstance(options, SalesforceOptions)
    assert options.auth.flow == "access_token"
    assert options.auth.access_token.reveal() == "abc"
