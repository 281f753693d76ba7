"""Files for other schedulers: they parse where they go, and start the job when it is due."""

from __future__ import annotations

import ast
import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from croniter import croniter, croniter_range
from hypothesis import assume, given
from hypothesis import strategies as st

from crmetrics.config.cron import parse_cron
from crmetrics.config.variables import needed_names
from crmetrics.schedule import ScheduledJob, firings
from crmetrics.schedule.export import FORMATS, ExportedJob, Place, export
from crmetrics.schedule.export.github import utc_lines
from crmetrics.schedule.export.systemd import calendar

PLACE = Place(
    project="Söhne & Co {{x}} 100 %",
    directory='/srv/our crm/50%"$x',
    program=("/opt/crmetrics/bin/crmetrics",),
    zone="Europe/Berlin",
    variables=("SF_CLIENT_SECRET", "SLACK_WEBHOOK_URL"),
    version="1.2.3",
)
UNIT = f"crmetrics-sohne-co-x-100-{hashlib.sha256(PLACE.project.encode()).hexdigest()[:8]}"
COMMAND = [*PLACE.program, "-C", PLACE.directory, "run", "weekly"]


def exported(
    name: str = "weekly", schedule: str = "0 8 * * MON", text: str = "", **settings: object
) -> ExportedJob:
    job = ScheduledJob(name, parse_cron(schedule), **settings)  # type: ignore[arg-type]
    return ExportedJob(job, schedule, text)


def files(form: str, *jobs: ExportedJob) -> Mapping[str, str]:
    return export(form, jobs or (exported(),), PLACE)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_names_every_job_and_no_line_is_torn(form: str) -> None:
    hostile = exported("nightly", "*/5 2 * * *", text='line\none {{x}} %d "quoted" # no')
    text = "\n".join(files(form, exported(), hostile).values())
    assert "weekly" in text
    assert "nightly" in text


# --- cron ------------------------------------------------------------------------------------


def test_a_crontab_line_is_the_schedule_and_the_command() -> None:
    (text,) = files("cron", exported(text="Monday's\n50 %")).values()
    (line,) = [line for line in text.splitlines() if line[0] not in "#C"]
    assert line.startswith("0 8 * * MON ")
    # What cron hands to the shell: up to an unescaped %, with \% made %.
    command = re.split(r"(?<!\\)%", line.removeprefix("0 8 * * MON "))[0].replace(r"\%", "%")
    assert shlex.split(command)[: len(COMMAND)] == COMMAND
    assert "CRON_TZ=Europe/Berlin\n" in text


# --- systemd ---------------------------------------------------------------------------------


def test_units_pass_the_verification_of_systemd(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    place = Place(PLACE.project, "/tmp", ("/bin/true",), PLACE.zone)
    job = exported(jitter=timedelta(minutes=5), time_limit=timedelta(minutes=30))
    for name, text in export("systemd", [job], place).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "crmetrics-" in line]
    assert (done.returncode, said) == (0, [])


def test_a_command_line_of_systemd_is_read_back_as_it_was_meant() -> None:
    found = files("systemd")
    service = found[f"{UNIT}-weekly.service"]
    (line,) = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    words = line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$")
    assert shlex.split(words)[: len(COMMAND)] == COMMAND


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("0 8 * * MON", ["Mon *-*-* 08:00:00"]),
        ("*/30 9-11 * 2 *", ["*-02-* 09,10,11:00,30:00"]),
        ("15 6 1 * *", ["*-*-01 06:15:00"]),
        ("0 0 1 * FRI", ["*-*-01 00:00:00", "Fri *-*-* 00:00:00"]),
        ("0 7 * * 1-5", ["Mon,Tue,Wed,Thu,Fri *-*-* 07:00:00"]),
    ],
)
def test_a_schedule_becomes_calendar_expressions(schedule: str, expected: list[str]) -> None:
    assert calendar(parse_cron(schedule)) == expected


@pytest.mark.parametrize(
    "schedule", ["0 8 * * MON", "*/30 9-11 * 2 *", "0 0 1 * FRI", "5 4 31 * *"]
)
def test_systemd_elapses_when_the_schedule_fires(schedule: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    cron, berlin = parse_cron(schedule), ZoneInfo("Europe/Berlin")
    start = datetime(2027, 1, 10, tzinfo=UTC)
    said = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=200",
         f"--base-time={start:%Y-%m-%d %H:%M:%S} UTC",
         *(f"{line} Europe/Berlin" for line in calendar(cron))],
        capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
    ).stdout  # fmt: skip
    stamps = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= UTC)", said)
    elapsed = {datetime.fromisoformat(stamp).replace(tzinfo=UTC) for stamp in stamps}
    until = start + timedelta(days=60)
    expected = set(firings(cron, berlin, start, until))
    assert {instant for instant in elapsed if start < instant <= until} == expected


def test_systemd_takes_partial_data_and_a_stop_for_no_failure() -> None:
    service = next(text for name, text in files("systemd").items() if name.endswith(".service"))
    lines = dict(line.split("=", 1) for line in service.splitlines() if "=" in line)
    assert lines["SuccessExitStatus"].split() == ["4", "143"]
    assert lines["RestartPreventExitStatus"].split() == ["2"]


# --- GitHub ----------------------------------------------------------------------------------


def test_a_workflow_runs_what_is_due_with_its_secrets() -> None:
    found = files("github")
    (name,) = found
    assert name == f".github/workflows/{UNIT}-weekly.yml"
    workflow = yaml.safe_load(found[name])
    assert workflow["on"]["schedule"][0] == {"cron": "0 6,7 * * 1"}
    (step,) = [step for step in workflow["jobs"]["run"]["steps"] if "env" in step]
    assert shlex.split(step["run"])[:4] == ["crmetrics", "run", "weekly", "--if-due"]
    assert step["env"]["SF_CLIENT_SECRET"] == "${{ secrets.SF_CLIENT_SECRET }}"


def test_a_workflow_takes_no_warehouse_of_another_job_and_saves_each_attempt() -> None:
    found = files("github", exported("weekly"), exported("weekly_sales"))
    first, second = (
        next(step["with"] for step in yaml.safe_load(text)["jobs"]["run"]["steps"] if "with" in step
             and "restore-keys" in step["with"])
        for text in found.values()
    )  # fmt: skip
    assert not second["key"].startswith(first["restore-keys"])
    assert first["key"].startswith(first["restore-keys"])
    assert "github.run_attempt" in first["key"]


def workflow(job: ExportedJob, **settings: object) -> dict[str, Any]:
    (text,) = export("github", [job], replace(PLACE, **settings)).values()  # type: ignore[arg-type]
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def steps(job: ExportedJob, **settings: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow(job, **settings)["jobs"]["run"]["steps"]
    return found


def test_a_workflow_installs_what_the_plugins_need_and_what_the_project_lists() -> None:
    packages = ("crmetrics[postgres,xlsx]==1.2.3", "crmetrics-hello==0.4")
    lines = [
        one["run"] for one in steps(exported(), packages=packages, requirements="kpi/needs.txt")
        if "run" in one
    ]  # fmt: skip
    assert shlex.split(lines[0]) == ["pip", "install", *packages, "-r", "kpi/needs.txt"]


def test_a_workflow_keeps_state_wherever_it_lies_and_hands_out_what_was_written() -> None:
    state = ("kpi/.crmetrics", "kpi/data/wh.duckdb", "kpi/data/wh.duckdb.wal")
    found = steps(exported(), state=state, written=("kpi/reports",), folder="kpi")
    by_use = {one["uses"].partition("@")[0]: one for one in found if "uses" in one}
    for action in ("actions/cache/restore", "actions/cache/save"):
        assert by_use[action]["with"]["path"].splitlines() == list(state)
    artifact = by_use["actions/upload-artifact"]
    assert (artifact["with"]["path"], artifact["if"]) == ("kpi/reports", "always()")
    (run,) = [shlex.split(one["run"]) for one in found if "env" in one]
    assert run[:5] == ["crmetrics", "-C", "kpi", "run", "weekly"]


@pytest.mark.parametrize(
    ("schedule", "is_rare"),
    [("0 8 * * *", False), ("0 8 * * 1-5", False), ("0 8 * * MON", True), ("0 6 1 * *", True)],
)
def test_the_cache_of_a_rare_job_is_asked_for_in_between_without_a_run(
    schedule: str, is_rare: bool
) -> None:
    found = workflow(exported(schedule=schedule))
    crons = [one["cron"] for one in found["on"]["schedule"]]
    conditions = [
        one.get("if") for one in found["jobs"]["run"]["steps"] if "run" in one
    ]  # of the installation and of the run
    if not is_rare:
        assert conditions == [None, None]
        return
    assert conditions == [f"github.event.schedule != '{crons[-1]}'"] * 2
    begin = datetime(2026, 1, 1)
    starts = sorted(
        at for line in crons for at in croniter_range(begin, begin + timedelta(days=90), line)
    )
    gaps = [after - before for before, after in pairwise(starts)]
    assert max(gaps) <= timedelta(days=4)


@pytest.mark.parametrize("form", FORMATS)
def test_jobs_whose_names_look_alike_keep_names_of_their_own(form: str) -> None:
    names = ("a_b", "a-b", "a.b", "A-b", "週次", "月次", "_")
    place = replace(PLACE, jobs=names)
    found = export(form, [exported(name) for name in names], place)
    if form in ("systemd", "github"):
        per_job = 2 if form == "systemd" else 1
        assert len(found) == per_job * len(names)
    if form == "github":
        texts = [yaml.safe_load(text) for text in found.values()]
        assert len({text["concurrency"]["group"] for text in texts}) == len(names)
    (text, *_) = found.values()
    if form == "airflow":
        assert len(set(re.findall(r'dag_id="(.*)"', text))) == len(names)
    if form == "kubernetes":
        objects = [one["metadata"]["name"] for one in yaml.safe_load_all(text)]
        assert len(set(objects)) == len(names) + 1
        assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", name) for name in objects)
    if form == "cron":
        jobs = [shlex.split(line)[9] for line in text.splitlines() if " run " in line]
        assert jobs == list(names)


def test_a_name_does_not_depend_on_which_jobs_are_exported() -> None:
    place = replace(PLACE, jobs=("a_b", "a-b"))
    alone = export("systemd", [exported("a_b")], place)
    assert alone.keys() < export("systemd", [exported("a_b"), exported("a-b")], place).keys()
    assert place.unit("a-b") == f"{UNIT}-a-b"


@pytest.mark.parametrize(
    ("project", "job", "unit"),
    [
        ("acme", "weekly", "crmetrics-acme-weekly"),
        ("acme", "weekly_sales", "crmetrics-acme-weekly-sales"),
        ("acme", "", "crmetrics-acme"),
    ],
)
def test_usual_names_stay_as_they_are(project: str, job: str, unit: str) -> None:
    assert replace(PLACE, project=project, jobs=(job,)).unit(job) == unit


def test_the_name_of_a_project_of_several_words_carries_a_mark() -> None:
    place = replace(PLACE, project="acme-eu", jobs=("weekly",))
    assert place.unit("weekly") == "crmetrics-acme-eu-1c5adebc-weekly"


def marked(plain: str, text: str) -> str:
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


PROJECTS = ("acme", "Acme", "acme-eu", "acme_eu", "acme eu", "acme-", "eu", "販売", "顧客",
            "a1b2c3d4", marked("acme-eu", "acme-eu"), "x" * 60, "x" * 60 + "y")  # fmt: skip
JOBS = ("weekly", "Weekly", "eu-weekly", "eu_weekly", "週次", "a1b2c3d4", "y-weekly", "y" * 60,
        marked("weekly", "Weekly"), f"{marked('eu', 'acme-eu')}-weekly",
        marked("eu-weekly", "eu_weekly"))  # fmt: skip


@pytest.mark.parametrize("form", ["systemd", "github", "airflow", "kubernetes"])
def test_no_two_projects_share_the_name_of_a_job(form: str) -> None:
    jobs = [exported(name) for name in JOBS]
    named = list[str]()
    for project in PROJECTS:
        found = export(form, jobs, replace(PLACE, project=project, jobs=JOBS))
        (text, *_) = found.values()
        if form == "airflow":
            named += [*found, *re.findall(r'dag_id="(.*)"', text)]
        elif form == "kubernetes":
            documents = list(yaml.safe_load_all(text))
            named += [f"{one['kind']} {one['metadata']['name']}" for one in documents]
        else:
            named += found
    assert len(named) == len(set(named)) >= len(PROJECTS) * len(JOBS)


@given(
    st.sampled_from(["0 8 * * MON", "30 0 * * 1-5", "15 23 1 * *", "0 0 1 1 *", "*/20 4 * * *",
                     "10 1 1 * FRI", "0 12 31 * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata",
                     "Pacific/Auckland", "Pacific/Honolulu"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 6, 1)),
)  # fmt: skip
def test_utc_lines_fire_at_every_time_of_the_schedule(
    schedule: str, zone_name: str, after: datetime
) -> None:
    cron, zone = parse_cron(schedule), ZoneInfo(zone_name)
    start = after.replace(tzinfo=UTC)
    lines = utc_lines(cron, zone, datetime(2026, 1, 1, tzinfo=UTC))
    found = next(firings(cron, zone, start))
    # What a clock change skips is made up for by the next line.
    assume(
        found.astimezone(zone).minute in cron.minutes and found.astimezone(zone).hour in cron.hours
    )
    assert any(croniter.match(line, found.replace(tzinfo=None)) for line in lines)
    assert len(lines) <= 4


# --- Airflow ---------------------------------------------------------------------------------


def test_the_dag_file_is_python_that_names_schedule_zone_and_command() -> None:
    job = exported(text='say "hi"\nand \\n', retries=3, time_limit=timedelta(hours=1))
    (text,) = files("airflow", job).values()
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    named = {ast.unparse(call.func): call for call in calls}
    assert ast.literal_eval(named["CronTriggerTimetable"].args[0]) == "0 8 * * MON"
    words = {word.arg: word.value for word in named["CrmetricsRun"].keywords}
    command = ast.literal_eval(words["bash_command"])
    assert (
        shlex.split(command.removeprefix("{% raw %}").removesuffix("{% endraw %}"))[:5] == COMMAND
    )
    dag = {word.arg: word.value for word in named["DAG"].keywords}
    assert ast.literal_eval(dag["description"]) == 'say "hi"\nand \\n'
    assert ast.literal_eval(words["retries"]) == 3
    assert ast.literal_eval(words["skip_on_exit_code"]) == [2]
    assert shlex.split(command)[-2:] == ["--pass-on", "partial"]


def test_airflow_itself_imports_the_dags(tmp_path: Path) -> None:
    pytest.importorskip("airflow", reason="Airflow is not installed")
    try:
        from airflow.dag_processing.dagbag import DagBag

        bag_of = DagBag
    except ImportError:  # Airflow 2
        from airflow.models import DagBag

        bag_of = partial(DagBag, include_examples=False)
    for name, text in files("airflow").items():
        (tmp_path / name).write_text(text)
    bag = bag_of(tmp_path)
    assert bag.import_errors == {}
    assert list(bag.dags) == [f"{UNIT}-weekly"]


# --- Kubernetes ------------------------------------------------------------------------------


def test_a_cron_job_keeps_zone_grace_and_limits() -> None:
    job = exported(misfire_grace=timedelta(hours=1), time_limit=timedelta(minutes=30), retries=1)
    (text,) = files("kubernetes", job, exported("x" * 60)).values()
    volume, first, second = yaml.safe_load_all(text)
    spec = first["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("0 8 * * MON", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] == 3600
    inner = spec["jobTemplate"]["spec"]
    assert (inner["backoffLimit"], inner["activeDeadlineSeconds"]) == (1, 1800)
    (container,) = inner["template"]["spec"]["containers"]
    assert container["command"][6:] == ["weekly", "--wait", "3600", "--pass-on", "partial"]
    hopeless, drained = inner["podFailurePolicy"]["rules"]
    assert hopeless["onExitCodes"] == {
        "containerName": container["name"], "operator": "In", "values": [2]
    }  # fmt: skip
    assert (hopeless["action"], drained["action"]) == ("FailJob", "Ignore")
    assert inner["template"]["spec"]["restartPolicy"] == "Never"  # a failure policy needs it
    assert container["image"] == "crmetrics:1.2.3"
    assert volume["metadata"]["name"] == UNIT
    assert len(second["metadata"]["name"]) <= 52


def test_jobs_with_long_names_do_not_become_one_cron_job() -> None:
    (text,) = files("kubernetes", exported("x" * 60 + "a"), exported("x" * 60 + "b")).values()
    names = [one["metadata"]["name"] for one in yaml.safe_load_all(text)][1:]
    assert len(set(names)) == 2
    assert max(len(name) for name in names) <= 52


@pytest.mark.parametrize(
    ("schedule", "told"), [("0 8 * * 7", "0 8 * * 0"), ("30 2 * * 5-7", "30 2 * * 0,5,6")]
)
def test_kubernetes_is_told_no_seventh_weekday(schedule: str, told: str) -> None:
    (text,) = files("kubernetes", exported(schedule=schedule)).values()
    assert list(yaml.safe_load_all(text))[1]["spec"]["schedule"] == told


# --- variables -------------------------------------------------------------------------------


def test_variables_without_a_default_are_needed_once_each() -> None:
    text = "a: ${A}\n# ${COMMENTED}\nb: {c: ${B}, d: ${A}}\ne: ${C:-x} $${D}\n"
    assert needed_names(text) == ["A", "B"]
