"""`crmetrics schema`: what an editor needs to check and complete the project file."""

from __future__ import annotations

import json
from pathlib import Path

from crmetrics.cli.options import command, output_option
from crmetrics.cli.output import write_text
from crmetrics.cli.session import Session, pass_session


@command("schema")
@output_option
@pass_session
def schema(session: Session, output: Path | None) -> None:
    """Print the JSON Schema of crmetrics.yaml, with the options of all plugins that are found.

    Save it (-o crmetrics.schema.json) and name it in the first line of the project file:

    \b
    # yaml-language-server: $schema=crmetrics.schema.json
    """
    from crmetrics.config import json_schema

    registry = session.registry
    document = json_schema(registry.connectors, registry.sinks)
    write_text(json.dumps(document, indent=2, ensure_ascii=False), output, session.console)
