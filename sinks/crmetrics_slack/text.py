"""Text that Slack shows as it is: no mention, no link, no markup comes out of data."""

from __future__ import annotations

import re

_BREAK = "\u200b"  # zero width: unseen, but it keeps Slack from reading a token
_BROADCAST = re.compile(r"@(?=(?:channel|here|everyone)\b)", re.IGNORECASE)
_MARKUP = re.compile(r"([*_~`])")
_LONGEST = 4_001  # no text in a message is longer; the rest need not be looked at
_OPEN_ENTITY = re.compile(r"&[a-z]{0,3}$")


def escaped(text: str) -> str:
    """Data for a plain_text object or the fallback text.

    Slack decodes entities in both; escaping also turns `<!channel>` into mere text.
    """
    text = text[:_LONGEST].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BROADCAST.sub("@" + _BREAK, text)


def inert(text: str) -> str:
    """Data for an mrkdwn object: also `*`, `_`, `~` and backticks stay what they are."""
    return _MARKUP.sub(rf"{_BREAK}\1{_BREAK}", escaped(text))


def size(text: str) -> int:
    """Length in UTF-16 units, the longer way to count: limits then hold whichever Slack uses."""
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, limit: int) -> str:
    """Escaped text of at most `limit` units, ended by `…` when something was cut off; never cut
    inside an entity or a character."""
    if size(text) <= limit:
        return text
    # A character of two units whose second half is beyond the limit is dropped whole.
    kept = text.encode("utf-16-le")[: 2 * (limit - 1)].decode("utf-16-le", errors="ignore")
    return _OPEN_ENTITY.sub("", kept).rstrip() + "…"
