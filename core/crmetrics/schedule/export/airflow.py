"""An Airflow DAG file: a DAG per job, each with one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.schedule.export.place import ExportedJob, Place
from crmetrics.schedule.loop import HOPELESS

_HEAD = '''\
"""The crmetrics jobs of {project} as DAGs, for Airflow 2.9 and later.

Copy this file into the dags folder. The workers need crmetrics, the project folder and these
variables in their environment: {variables}.
"""

from datetime import datetime, timedelta, timezone

from airflow import DAG
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable

try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:  # Airflow 2
    from airflow.operators.bash import BashOperator


class CrmetricsRun(BashOperator):
    """A run that is not tried again where nothing changes until somebody mends the project."""

    def execute(self, context):
        try:
            return super().execute(context)
        except AirflowSkipException as exc:  # skip_on_exit_code
            raise AirflowFailException("the project file or the call is wrong, see above") from exc
'''

_DAG = """

with DAG(
    dag_id={dag_id},
    description={description},
    schedule=CronTriggerTimetable({schedule}, timezone={zone}),
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    # A run reports every period that was missed, so one run makes up for all.
    catchup=False,
    max_active_runs=1,
    tags=["crmetrics"],
):
    CrmetricsRun(
        task_id="run",
        bash_command={command},
        append_env=True,
        skip_on_exit_code={hopeless},
        retries={retries},
        retry_delay=timedelta(seconds={retry_after_s:g}),
        retry_exponential_backoff=True,
        execution_timeout={limit},
    )
"""


def files(jobs: Sequence[ExportedJob], place: Place) -> Mapping[str, str]:
    """One file with a DAG per job."""
    name = place.unit().replace("-", "_")
    variables = ", ".join(place.variables) or "none"
    text = _HEAD.format(project=_sentence(place.project), variables=variables)
    for job in jobs:
        limit = job.job.time_limit
        text += _DAG.format(
            dag_id=_string(place.unit(job.name)),
            description=_string(job.description or f"crmetrics job {job.name}"),
            schedule=_string(job.schedule),
            zone=_string(place.zone),
            command=_string(
                _untemplated(place.shell(job.name, "--wait", "3600", "--pass-on", "partial"))
            ),
            hopeless=list(HOPELESS),
            retries=job.job.retries,
            retry_after_s=job.job.retry_after.total_seconds(),
            limit="None" if limit is None else f"timedelta(seconds={limit.total_seconds():g})",
        )
    return {f"{name}.py": text}


def _string(text: str) -> str:
    """A Python literal in double quotes."""
    import json

    return json.dumps(text)


def _sentence(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')


def _untemplated(command: str) -> str:
    """Airflow reads a command as a Jinja template."""
    return f"{{% raw %}}{command}{{% endraw %}}" if "{" in command else command
