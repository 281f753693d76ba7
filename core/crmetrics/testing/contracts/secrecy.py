"""Where a secret must not be seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def leaks(secrets: Iterable[str], shown: Iterable[tuple[str, Any]]) -> list[str]:
    """The places (name, text or object) whose text holds one of the secrets."""
    places = [(name, value if isinstance(value, str) else str(value)) for name, value in shown]
    return [name for name, text in places if any(secret in text for secret in secrets)]


def config_texts(config: Any) -> list[tuple[str, Any]]:
    """The ways in which a config model turns into text."""
    texts: list[tuple[str, Any]] = [("repr(config)", repr(config)), ("str(config)", str(config))]
    if hasattr(config, "model_dump_json"):
        texts.append(("config.model_dump_json()", config.model_dump_json()))
        texts.append(("config.model_dump()", repr(config.model_dump())))
    return texts


def error_texts(error: BaseException) -> list[tuple[str, Any]]:
    """What an error shows, with the errors that it was raised from."""
    texts: list[tuple[str, Any]] = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [(f"str({type(seen).__name__})", str(seen)), ("its attributes", vars(seen))]
        # A traceback prints the context unless `raise ... from None` hid it.
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return texts
