"""Masks secrets, credentials and the names in e-mail addresses in what is kept of an exchange."""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import unquote

from crmetrics.secrets import redact

_MASK = "********"
_CREDENTIALS = (
    "access_token|refresh_token|id_token|client_id|client_secret|assertion|password|signature|token|api_key"
    "|apikey|sessionId"
)
_JSON_CREDENTIAL = re.compile(rf'("(?:{_CREDENTIALS})"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE)
_FORM_CREDENTIAL = re.compile(rf"((?:^|[&?])(?:{_CREDENTIALS})=)[^&\s]*", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?:(?<!\\)(?=\\)|(?<![\w.+%'!#$*^|~`\\-]))"  # where a name begins, or JSON escapes before it
    r"((?:\\\\)*(?:\\[^u\\])?)((?:\\u(?!0040)[0-9a-fA-F]{4}|[\w.+%'!#$*^|~`-])+?)"
    r"(@|%40|\\u0040)(?=[\w-]+\.[\w.-]*\w)"  # as it stands, in an address of the web, in JSON
)
MASKED_NAME = re.compile(r"masked-[0-9a-f]{16}")
_salt = os.urandom(16)
"""Made anew by each process, and kept nowhere: nobody can try names until one fits."""


def masked(text: str) -> str:
    """The text without known secrets, values that look like credentials, and names in addresses.

    One address is masked alike wherever it stands, so that what asks for it again finds it.
    """
    text = without_credentials(text)
    has_address = any(at in text for at in ("@", "%40", r"\u0040"))
    return _ADDRESS.sub(_without_name, text) if has_address else text


def without_credentials(text: str) -> str:
    """The text without known secrets and values that look like credentials."""
    text = _JSON_CREDENTIAL.sub(rf'\1"{_MASK}"', redact(text))
    return _FORM_CREDENTIAL.sub(rf"\1{_MASK}", text)


def _without_name(found: re.Match[str]) -> str:
    before, name, at = found.groups()
    if not MASKED_NAME.fullmatch(name):
        told = hashlib.blake2b(unquote(name).lower().encode(), key=_salt, digest_size=8)
        name = f"masked-{told.hexdigest()}"
    return f"{before}{name}{at}"
