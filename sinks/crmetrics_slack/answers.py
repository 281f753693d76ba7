"""What Slack's refusals mean and what to do about them."""

from __future__ import annotations

_OUR_FAULT = (
    "the message is not valid for Slack. This is a defect of crmetrics: please report it with the "
    "output of `crmetrics run JOB --dry-run`."
)
_GONE = (
    "the webhook no longer exists. Make a new one in the settings of the Slack app and set it as "
    "webhook_url."
)
_FORBIDDEN = (
    "the workspace does not allow this app to post there. Ask an administrator of the workspace, "
    "or make a webhook for another channel."
)
_ARCHIVED = "the channel is archived. Unarchive it, or make a webhook for another channel."

# Matched as parts of the body: some answers wrap the word in JSON.
_MEANINGS: tuple[tuple[str, str], ...] = (
    ("invalid_payload", _OUR_FAULT),
    ("invalid_blocks", _OUR_FAULT),
    ("no_text", _OUR_FAULT),
    ("missing_text_or_fallback_or_attachments", _OUR_FAULT),
    ("too_many_attachments", _OUR_FAULT),
    ("msg_blocks_too_long", _OUR_FAULT),
    ("action_prohibited", _FORBIDDEN),
    ("posting_to_general_channel_denied", _FORBIDDEN),
    ("restricted_action", _FORBIDDEN),
    ("channel_is_archived", _ARCHIVED),
    ("channel_not_found", _GONE),
    ("user_not_found", _GONE),
    ("invalid_token", _GONE),
    ("no_service", _GONE),
    ("no_team", _GONE),
    ("no_active_hooks", _GONE),
)


def meaning_of(status: int, answer: str) -> str:
    """A refusal in plain words with the way out. Nothing was posted."""
    for word, meaning in _MEANINGS:
        if word in answer:
            return meaning
    if 300 <= status < 400:
        return "the address redirects. Set the webhook's own address as webhook_url."
    if status in (404, 410):
        return _GONE
    if status in (401, 403):
        return _FORBIDDEN
    return "nothing was posted. Check webhook_url and base_url of the sink."


# --- the Web API -----------------------------------------------------------------------------

_TOKEN = (
    "the token is not accepted. Install the app again and set its bot token (xoxb-...) as token."
)
_CHANNEL = (
    "the bot does not see that channel. Check channel of the sink, best its id (C...), and invite "
    "the bot to it (/invite)."
)
_ERRORS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired",
         "not_allowed_token_type"),
        _TOKEN,
    ),
    (("channel_not_found", "not_in_channel", "invalid_channel"), _CHANNEL),
    (("is_archived",), "the channel is archived. Unarchive it, or set another channel."),
    (
        ("restricted_action", "posting_to_channel_denied", "team_access_not_granted",
         "messages_tab_disabled", "no_permission", "access_denied"),
        _FORBIDDEN,
    ),
    (
        ("message_not_found", "cant_update_message"),
        "the message is gone or belongs to somebody else. `crmetrics run JOB --resend` posts it "
        "anew.",
    ),
    (("edit_window_closed",), "the workspace does not allow to change old messages."),
    (
        ("no_text", "msg_too_long", "invalid_blocks", "invalid_blocks_format", "invalid_arguments",
         "msg_blocks_too_long", "invalid_attachments", "metadata_too_large",
         "invalid_metadata_format", "cannot_reply_to_message"),
        _OUR_FAULT,
    ),
    (("ratelimited", "rate_limited", "message_limit_exceeded"), "too many calls. Run again later."),
)  # fmt: skip


def meaning_of_error(error: str, needed: str = "") -> str:
    """A refusal of the Web API in plain words with the way out. Nothing was done."""
    if error == "missing_scope":
        scope = f" {needed}" if needed else " that it needs"
        return (
            f"the app lacks the scope{scope}. Add it in the settings of the app and reinstall it."
        )
    for words, meaning in _ERRORS:
        if error in words or any(error.startswith(f"{word}_") for word in words):
            return meaning
    return "nothing was done. Check token and channel of the sink."
