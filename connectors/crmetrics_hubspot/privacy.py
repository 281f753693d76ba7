"""What is never read of a record: names, addresses, numbers and texts of people."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crmetrics.plugin import ReadRequest
from crmetrics_hubspot.properties import PropertyInfo

_PERSONS = frozenset({"contacts", "leads", "users"})
_OF_PERSONS = frozenset(
    {
        "address", "company", "date_of_birth", "email", "fax", "firstname", "hs_email",
        "hs_family_name", "hs_full_name_or_email", "hs_given_name", "hs_lead_name",
        "hs_main_phone", "hs_additional_phone", "jobtitle", "lastname", "mobilephone", "phone",
        "salutation", "street", "twitterhandle", "work_email",
    }
)  # fmt: skip
_ANYWHERE = frozenset(
    {
        "content", "email", "firstname", "hs_additional_emails", "hs_body_preview",
        "hs_body_preview_html", "hs_call_body", "hs_call_from_number", "hs_call_recording_url",
        "hs_call_title", "hs_call_to_number", "hs_call_transcript", "hs_communication_body",
        "hs_content", "hs_email_bcc_email", "hs_email_cc_email", "hs_email_from_email",
        "hs_email_from_firstname", "hs_email_from_lastname", "hs_email_from_raw",
        "hs_email_headers", "hs_email_html", "hs_email_sender_email", "hs_email_sender_firstname",
        "hs_email_sender_lastname", "hs_email_subject", "hs_email_text", "hs_email_to_email",
        "hs_email_to_firstname", "hs_email_to_lastname", "hs_email_to_raw",
        "hs_internal_meeting_notes", "hs_ip_timezone", "hs_meeting_body", "hs_meeting_title",
        "hs_next_step", "hs_note_body", "hs_notes", "hs_task_body", "hs_task_subject",
        "hs_ticket_summary", "ip_address", "ip_city", "lastname", "mobilephone", "phone",
        "hs_searchable_calculated_phone_number", "subject", "address", "address2", "street",
        "hs_shipping_address_street", "hs_shipping_address_name", "hs_shipping_address_phone",
        "hs_billing_address_street", "hs_billing_address_name", "hs_billing_address_email",
        "description",
    }
)  # fmt: skip
_TYPES = frozenset({"phone_number"})
_FIELD_TYPES = frozenset({"phonenumber", "textarea", "html", "file"})
"""What people write in a form with several lines, or attach."""


def is_personal(kind: str, known: Mapping[str, PropertyInfo], name: str) -> bool:
    """True for a property that is never requested. known: the properties of the object."""
    told = known.get(name)
    if told is not None and (
        told.type in _TYPES or told.field_type in _FIELD_TYPES or told.is_sensitive
    ):
        return True
    return name in _ANYWHERE or (kind in _PERSONS and name in _OF_PERSONS)


class Asked:
    """What a read may give of what is asked: without columns that the project file would fill with
    such properties.

    columns: those that are left. fields: what the project file's entries for them read. kind: whose
    properties they are; is_private: says it of one of them.
    """

    def __init__(self, request: ReadRequest, kind: str, is_private: Callable[[str], bool]) -> None:
        self._request = request
        self._refused: dict[str, str] = {}
        for column in request.mapping:
            for name in request.fields_of({}, [column]):
                if is_private(name):
                    self._refused.setdefault(column, reason(kind, name))
        self.columns = tuple(name for name in request.columns if name not in self._refused)
        self.mapping = {c: t for c, t in request.mapping.items() if c not in self._refused}
        self.fields = request.fields_of({}, list(self.mapping)) if self.mapping else ()

    def tell(self) -> None:
        """Tell the user which columns are not read, and why."""
        for column, why in self._refused.items():
            self._request.notice(f"{column} cannot be read: {why}.")


def reason(kind: str, name: str) -> str:
    return f"{kind}.{name} holds names, addresses or texts of people, which are never read"
