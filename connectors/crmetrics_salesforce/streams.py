"""What is read: datasets as objects of Salesforce, with what has to be put together.

A stream reads one object for one dataset; several streams may fill one. Where a column lies in
another object (a companion), or a row of the dataset is made of several records, the rows are put
together in a DuckDB file of their own, see `assembling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Entry = str | tuple[str, ...]
"""A field or a SQL expression over fields; several: the first whose fields the org has."""

ORG_CURRENCY = "org_currency()"
"""In an entry: the currency of an org that has only one; one with several has CurrencyIsoCode."""

CURSORS = ("SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime")


@dataclass(frozen=True)
class Companion:
    """Records of another object that belong to the main ones.

    table: its name in the SQL. link: the field that holds the id of a main record (or of its
    `group`); "" = a small object that is read whole. touches: a change of such a record changes the
    row of the main record. is_rule: `where` comes from the project file. if_shown: further fields,
    that are null where the org has none of them, or hides them.
    """

    table: str
    object: str
    fields: tuple[str, ...]
    link: str = ""
    where: str = ""
    touches: bool = False
    is_rule: bool = False
    if_shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extra:
    """A column that is put together: it counts as a field in the mapping.

    needs: fields of the main object. join and value: SQL over `m` (the main rows) and tables.
    """

    value: str
    join: str = ""
    needs: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True)
class Stream:
    """One object read for one dataset.

    fields: canonical column -> entry. extras: names that entries may use like fields. relation: SQL
    in place of the main rows, when a row of the dataset is no record of the object; it needs the
    fields `base` and `companions`. group: the records that share this field are read together, for
    `relation` looks at them side by side. where_shown: a condition that is left out where its
    fields are hidden from the user. instead_of: read only when the org lacks that object. removals:
    how records that are gone for good are found: in the log of deletions, by comparing ids, or not
    at all (what a service forgets by age stays true). forgets: rows that were read stay when
    everything is read anew, because the org shows them no longer. ripens: a field whose instant
    changes the row when it passes, without a change of the record. belongs_to: an object and the
    column with its ids: rows leave with the record that they are the history of. doubts: SQL over
    the tables that gives sentences about what in them makes numbers doubtful. remembered: columns
    from records that Salesforce forgets by age: what was read of them before is the table `former`,
    with the id, and stays. if_shown: fields for `relation` that are null where the org has none of
    them, or hides them. is_renewed: read whole every `refresh_formulas`, and rows that do not come
    then leave: they are made of several records each, and no log tells of which.
    """

    dataset: str
    object: str
    fields: Mapping[str, Entry]
    where: str = ""
    where_shown: str = ""
    extras: Mapping[str, Extra] = field(default_factory=dict)
    relation: str = ""
    base: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()
    group: str = ""
    instead_of: str = ""
    removals: Literal["log", "none"] = "log"
    forgets: bool = False
    ripens: str = ""
    belongs_to: tuple[str, str] | None = None
    doubts: str = ""
    remembered: tuple[str, ...] = ()
    is_renewed: bool = False
    if_shown: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Tells the streams of a dataset apart."""
        return f"{self.dataset}.{self.object}"
