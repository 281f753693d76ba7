"""One delivery with the ledger of a warehouse file, in this process or in one that dies on the way.

python deliver_once.py '{"kind": "files", "options": {...}, "folder": "...", "moment": "during",
                         "during": "...", "run_id": "run-1", "value": 0.4}'

A process dies by SIGKILL: `before` it writes, `after` it has written and before that is noted, or
`during`: when it calls the function that `during` names, for the first time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from crmetrics.deliver import Ledger, Outcome, Terms, create_deliveries, deliver
from crmetrics.message import Breakdown, SegmentLine
from crmetrics.plugin import Delivery, Receipt, Sink, SinkContext
from crmetrics.warehouse.connection import EngineSettings, connect
from crmetrics_database.sink import DatabaseSink
from crmetrics_email.sink import EmailSink
from crmetrics_files.sink import FilesSink
from crmetrics_google_chat.sink import GoogleChatSink
from crmetrics_slack.sink import SlackSink
from crmetrics_teams.sink import TeamsSink
from crmetrics_webhook.sink import WebhookSink
from result_rows import delivery, kpi, line, message, table

NOW = datetime(2026, 2, 2, 8, tzinfo=UTC)
KINDS: dict[str, type[Sink]] = {
    kind.name: kind
    for kind in (
        DatabaseSink, EmailSink, FilesSink, GoogleChatSink, SlackSink, TeamsSink, WebhookSink
    )
}  # fmt: skip


def given(run_id: str, value: float = 0.4) -> Delivery:
    """The report of a run; the same for the same value."""
    groups = Breakdown(("owner.team",), (SegmentLine({"owner.team": "East"}, 0.4, "40 %", n=10),))
    rows = table(kpi(value=value), kpi(value=0.5, segment={"owner.team": "East"}))
    said = line(value=value, value_text=f"{value:.1%}", breakdowns=(groups,))
    return delivery(rows, message(said), run_id=run_id)


def deliver_once(
    kind: type[Sink], options: dict[str, Any], folder: Path, run_id: str, value: float = 0.4
) -> Outcome:
    """What `crmetrics run` does with one sink."""
    sink = kind(kind.Config(**options), SinkContext("it", folder, project="acme"))
    settings = EngineSettings(path=folder / "warehouse.duckdb", timezone="UTC")
    with connect(settings, read_only=False) as session:
        create_deliveries(session)
        terms = Terms(ledger=Ledger(session), now=lambda: NOW)
        [outcome] = deliver({"it": sink}, given(run_id, value), terms)
    return outcome


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(kind: type[Sink], moment: str) -> type[Sink]:
    """The sink that kills its process just before or just after it has written."""

    def write(self: Sink, delivery: Delivery) -> Receipt:
        if moment == "before":
            die()
        receipt = kind.write(self, delivery)
        if moment == "after":
            die()
        return receipt

    return type(f"Dying{kind.__name__}", (kind,), {"write": write})


def die_when_called(name: str) -> None:
    """Die when a function of this name is entered."""

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call") and name in (
            frame.f_code.co_name,
            getattr(argument, "__name__", ""),
        ):
            die()

    sys.setprofile(watch)
    threading.setprofile(watch)


def main() -> None:
    asked = json.loads(sys.argv[1])
    kind = KINDS[asked["kind"]]
    if asked["moment"] in ("before", "after"):
        kind = dying(kind, asked["moment"])
    elif asked["during"]:
        die_when_called(asked["during"])
    folder, run_id = Path(asked["folder"]), asked["run_id"]
    deliver_once(kind, asked["options"], folder, run_id, asked["value"])


if __name__ == "__main__":
    main()
