"""What `columns:` of the project file may say: a field, or SQL over fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from crmetrics.plugin import ReadRequest, SourceError
from crmetrics_salesforce.soql import is_soql_name

_HEAD = "select (\n"


def require_sql(columns: Mapping[str, str]) -> None:
    """Raises ValidationError, with a place for each, for entries that are neither a field nor SQL.

    Whether the org has the fields is another question, which only the org can answer.
    """
    texts = {column: text for column, text in columns.items() if not is_soql_name(text.strip())}
    wrong = [
        InitErrorDetails(
            type="value_error",
            loc=(column,),
            input=texts[column],
            ctx={"error": ValueError(f"it is neither a field of Salesforce nor SQL: {problem}")},
        )
        for column, problem in _problems(texts).items()
    ]
    if wrong:
        raise ValidationError.from_exception_data("columns", wrong)


def _problems(texts: Mapping[str, str]) -> dict[str, str]:
    """Why texts are no SQL, by column."""
    if not texts:
        return {}
    import duckdb  # late: most project files name fields only

    found = {}
    with duckdb.connect() as connection:
        for column, text in texts.items():
            query = "select json_serialize_sql(?::varchar)"
            told = connection.execute(query, [f"{_HEAD}{text}\n)"]).fetchone()
            answer = json.loads(told[0]) if told else {}
            if answer.get("error"):
                at = int(answer.get("position") or 0) - len(_HEAD)
                is_short = at >= len(text)
                said = str(answer.get("error_message", "")).strip()
                found[column] = "it ends where more is due" if is_short else said
    return found


def fields_of(request: ReadRequest, column: str) -> Sequence[str]:
    """The fields that the project file's entry for a column reads.

    Raises SourceError when it is no expression over one record, or reads what no field can be.
    """
    fields = request.fields_of({}, [column])
    for name in fields:
        if not is_soql_name(name):
            raise SourceError(
                f"column {column!r} is mapped to {request.mapping[column]!r}, and {name!r} can be "
                f"no field of Salesforce: a field is letters, digits and underscores, such as "
                f"Segment__c. Correct `datasets: {request.dataset.name}: columns: {column}:` in "
                "crmetrics.yaml."
            )
    return fields
