"""Whether objects can be asked for the conditions of the project file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from crmetrics.plugin import did_you_mean
from crmetrics_salesforce.catalog import Survey
from crmetrics_salesforce.describe import SObject
from crmetrics_salesforce.options import SalesforceDatasetOptions
from crmetrics_salesforce.reach import Reach
from crmetrics_salesforce.soql import compared_in

_LONGEST_SHOWN = 80
_UNNAMED = {
    "where": "of an object that is not named all records are read",
    "is_test": "records of an object that is not named are no test records",
    "is_spam": "records of an object that is not named are no spam",
}


class Applying:
    """The conditions of one dataset against the objects that it comes from."""

    def __init__(self, own: SalesforceDatasetOptions | None, survey: Survey) -> None:
        self._own = own
        self._survey = survey

    def of(self, key: str, reach: Reach) -> str:
        """The condition that marks or chooses records of an object; empty without one."""
        # Rows that are put together from several records have no rule that marks them.
        if self._own is None or (key != "where" and reach.stream.relation):
            return ""
        return self._own.rule(key, reach.stream.object)

    def misfit(self, key: str, reach: Reach) -> str:
        """Why a condition cannot be asked of an object, and the way out; empty when nothing is
        known against it."""
        name, rule = reach.stream.object, self.of(key, reach)
        lacking = _lacking(rule, reach.sobject)
        if not lacking:
            return ""
        fields = ", ".join(lacking)
        fitting = [r.stream.object for r in self._survey.reaches if not _lacking(rule, r.sobject)]
        if fitting and not self._is_by_object(key):
            text = json.dumps(rule if len(rule) <= _LONGEST_SHOWN else "...", ensure_ascii=False)
            written = ", ".join(f"{each}: {text}" for each in fitting)
            return (
                f"`{key}:` of {self._survey.dataset} goes to all its objects, and {name} has no "
                f"{fields}, or hides it from the user. Write a condition for each object that it "
                f"is for: `{key}: {{{written}}}`; {_UNNAMED[key]}."
            )
        close = did_you_mean(lacking[0], [f.name for f in reach.sobject.fields.values()], limit=1)
        told = (
            f"`{key}:` of {self._survey.dataset} looks at {fields}, and {name} has no such field, "
            f"or hides it from the user. {close}"
        ).rstrip()
        return f"{told} Correct the condition, or give the user read access to the field."

    def unused(self) -> Iterator[str]:
        """Sentences about conditions that nothing is asked for by: of objects whose place another
        one takes, and marks of rows that are no records."""
        reaches = self._survey.reaches
        read = [reach.stream.object for reach in reaches]
        known = {*read, *(absence.stream.object for absence in self._survey.absent)}
        for key, rule in self._own.rules().items() if self._own is not None else ():
            if key != "where" and reaches and all(reach.stream.relation for reach in reaches):
                yield (
                    f"`{key}:` of {self._survey.dataset} is not asked for: its rows are put "
                    "together from several records, and none is marked by itself. Leave records "
                    "out by `where:`."
                )
                continue
            for name in rule if isinstance(rule, dict) else ():
                if name not in known:
                    yield (
                        f"`{key}:` has a condition for {name}, whose records are not read, because "
                        f"the org has {', '.join(read)}: nothing is asked for by it."
                    )

    def _is_by_object(self, key: str) -> bool:
        return self._own is not None and isinstance(self._own.rules().get(key), dict)


def _lacking(condition: str, sobject: SObject) -> Sequence[str]:
    """Fields that a condition compares, and that the object does not show."""
    found = []
    for path in compared_in(condition):
        first, *rest = path.split(".")
        if rest and first.lower() == sobject.name.lower():  # `Contact.Email` of a contact
            first, *rest = rest
        if (sobject.parent(first) if rest else sobject.field(first)) is None:
            found.append(path)
    return found
