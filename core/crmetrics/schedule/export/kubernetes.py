"""Kubernetes manifests: a volume for the project, and a CronJob per job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crmetrics.schedule.export.place import ExportedJob, Place, shortened
from crmetrics.schedule.loop import HOPELESS

_PROJECT = "/project"
_LONGEST_NAME = 52  # a CronJob's; its jobs add eleven characters
_LONGEST_LABEL = 63
_HEAD = """\
# The volume holds the project folder with its warehouse: copy crmetrics.yaml and what it names to
# it once. The secret {name} holds the variables of the project file{variables}:
#   kubectl create secret generic {name} --from-env-file=.env
"""


_FAILURES = {
    "rules": [
        # Not tried again: nothing changes until somebody mends the project file.
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": "crmetrics",
                "operator": "In",
                "values": [int(code) for code in HOPELESS],
            },
        },
        # A node that is drained is no failed attempt.
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
    ]
}


def files(jobs: Sequence[ExportedJob], place: Place) -> Mapping[str, str]:
    """One file of several documents."""
    import yaml

    name = shortened(place.unit(), _LONGEST_LABEL)
    named = f" ({', '.join(place.variables)})" if place.variables else ""
    documents = [_volume(name), *(_cron_job(job, place, name) for job in jobs)]
    text = yaml.safe_dump_all(documents, sort_keys=False, width=100)
    return {f"{name}.yaml": _HEAD.format(name=name, variables=named) + text}


def _volume(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }


def _cron_job(job: ExportedJob, place: Place, name: str) -> dict[str, object]:
    settings = job.job
    spec: dict[str, object] = {
        "backoffLimit": settings.retries,
        "podFailurePolicy": _FAILURES,
        "template": {"spec": _pod(job, place, name)},
    }
    if settings.time_limit is not None:
        spec["activeDeadlineSeconds"] = int(settings.time_limit.total_seconds())
    cron: dict[str, object] = {
        "schedule": _schedule(job),
        "timeZone": place.zone,
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": spec},
    }
    if settings.misfire_grace is not None:
        # Below ten seconds the controller may never start it.
        cron["startingDeadlineSeconds"] = max(10, int(settings.misfire_grace.total_seconds()))
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": shortened(place.unit(job.name), _LONGEST_NAME)},
        "spec": cron,
    }


def _schedule(job: ExportedJob) -> str:
    """The five fields; Kubernetes knows no seventh weekday, which cron takes for Sunday."""
    *fields, weekdays = job.schedule.split()
    if "7" in weekdays:
        weekdays = ",".join(str(day) for day in sorted(job.job.cron.weekdays))
    return " ".join([*fields, weekdays])


def _pod(job: ExportedJob, place: Place, name: str) -> dict[str, object]:
    command = ["crmetrics", "--log-format", "json", "-C", _PROJECT, "run", job.name]
    return {
        "restartPolicy": "Never",
        # What is being sent when the pod is ended has some seconds for its answer.
        "terminationGracePeriodSeconds": 120,
        "containers": [
            {
                "name": "crmetrics",
                "image": place.image or f"crmetrics:{place.version or 'latest'}",
                "command": [*command, "--wait", "3600", "--pass-on", "partial"],
                "envFrom": [{"secretRef": {"name": name, "optional": True}}],
                "volumeMounts": [{"name": "project", "mountPath": _PROJECT}],
            }
        ],
        "volumes": [{"name": "project", "persistentVolumeClaim": {"claimName": name}}],
    }
