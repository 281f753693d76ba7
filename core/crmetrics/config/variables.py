"""Variables of the project file: `${NAME}` and `${NAME:-default}`.

They are filled in after the YAML was parsed, value by value, so that quotes, `#` or line breaks in
a value change nothing but that value. The environment wins over the `.env` beside the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from crmetrics.errors import Finding, did_you_mean

ENV_FILE = ".env"

_TOKEN = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{", re.DOTALL
)

# YAML reads an unquoted brace inside {a: ${X}} as the start of a mapping. The braces of variables
# are therefore hidden from the parser behind characters of the same length (lines and columns stay
# true) that nobody writes: two of the private use plane 16.
_BRACES = re.compile(r"\$\{([^{}\n]*)\}")
_OPEN, _CLOSE = "\U0010f07b", "\U0010f07d"


def hide_braces(text: str) -> str:
    """`text` with the braces of variables hidden from a YAML parser."""
    return _BRACES.sub(rf"${_OPEN}\1{_CLOSE}", text)


def show_braces(text: str) -> str:
    """The reverse of `hide_braces`."""
    return text.replace(_OPEN, "{").replace(_CLOSE, "}")


def needed_names(text: str) -> list[str]:
    """The variables without a default that a project file names, each once, in their order."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = _TOKEN.finditer("\n".join(lines))
    names = (match["name"] for match in found if match["default"] is None)
    return list(dict.fromkeys(name for name in names if name))


class Environment(Struct):
    """Where variables come from, and what was wrong with them. `.env` is read when first needed.

    findings: problems of the `.env` file itself.
    """

    variables: Mapping[str, str]
    directory: Path
    findings: list[Finding] = field(default_factory=list)
    _from_file: dict[str, str] | None = None

    def lookup(self, name: str) -> str | None:
        """The value of a variable; None if it is not set."""
        if name in self.variables:
            return self.variables[name]
        return self._file().get(name)

    def suggest(self, name: str) -> str:
        return did_you_mean(name, [*self._file(), *self.variables], limit=1)

    def _file(self) -> dict[str, str]:
        if self._from_file is None:
            self._from_file = self._read_file()
        return self._from_file

    def _read_file(self) -> dict[str, str]:
        path = self.directory / ENV_FILE
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as exc:
            reason = "it is not UTF-8" if isinstance(exc, UnicodeDecodeError) else exc.strerror
            self.findings.append(Finding(f"cannot be read: {reason}.", ENV_FILE))
            return {}
        return self._parse(text)

    def _parse(self, text: str) -> dict[str, str]:
        from io import StringIO

        from dotenv.parser import parse_stream

        values: dict[str, str] = {}
        for binding in parse_stream(StringIO(text)):
            if binding.error:
                # The line itself may hold a secret and is not shown.
                line = binding.original.line
                self.findings.append(
                    Finding("expected NAME=value, found something else.", ENV_FILE, line, 1)
                )
            elif binding.key and binding.value is not None:
                values[binding.key] = binding.value
        return values


class Filled(Struct, frozen=True):
    """A text with its variables filled in. problems: (message, hint) of those that could not be."""

    text: str
    variables: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()


def fill_in(text: str, environment: Environment) -> Filled:
    """`text` with every `${NAME}` replaced and `$${` turned into a literal `${`.

    An empty variable counts as missing where there is no default: CI systems pass secrets that
    were never set as empty texts.
    """
    names: list[str] = []
    problems: list[tuple[str, str]] = []

    def replace(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            if match[0] == "$${":
                return "${"
            problems.append(_malformed())
            return ""
        names.append(name)
        value = environment.lookup(name) or default
        if value is None:
            problems.append(_missing(name, environment))
        return value or ""

    filled = _TOKEN.sub(replace, text)
    return Filled(filled, tuple(names), tuple(problems))


def _missing(name: str, environment: Environment) -> tuple[str, str]:
    state = "is not set" if environment.lookup(name) is None else "is set but empty"
    hint = (
        f"Set it in the environment or in {ENV_FILE} beside the file, "
        f"or give a default: ${{{name}:-...}}."
    )
    return f"variable {name} {state}.", f"{environment.suggest(name)} {hint}".strip()


def _malformed() -> tuple[str, str]:
    return (
        "expected ${NAME} or ${NAME:-default}, found a '${' that is neither.",
        "Write $${ where a literal ${ is meant.",
    )
