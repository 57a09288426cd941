"""What an HTTP server must know of a SQL statement: where an INSERT's data begin, its result's format, its words."""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    rb"""(?P<skip>\s+|--[^\n]*|/\*.*?\*/)
       | '(?:[^'\\]|\\.|'')*' | (?P<name>"(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*`)
       | (?P<open>[(\[{]) | (?P<close>[)\]}]) | (?P<word>\w+) | .""",
    re.VERBOSE | re.DOTALL,
)
_FORMAT = re.compile(rb"\s+(\w+)[ \t\r\f]*\n?")
_SETTING = re.compile(rb"\s+\w+\s*=")
_RESULT_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*(?:SETTINGS\b[^']*)?$", re.IGNORECASE)
_NOT_DATA = {b"SELECT", b"WITH", b"VALUES", b"FROM", b"WATCH"}


class Insert(NamedTuple):
    """``INSERT ... SETTINGS ... FORMAT x`` whose data follow the statement; ``settings`` may be empty."""

    head: str
    settings: str
    format: str
    data: bytes


def split_insert(text: bytes) -> Insert | None:
    """Split ``INSERT ... FORMAT x <data>``; None for every other statement (``INSERT ... VALUES`` and ``SELECT`` too).

    The data begin after the line that names the format, as in ClickHouse.

    Args:
        text: the whole request: statement, then data in any encoding.

    Raises:
        UnicodeDecodeError: the statement itself is not UTF-8.
    """
    depth, first, settings = 0, True, len(text)
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "skip":
            continue
        word = token["word"].upper() if kind == "word" else b""
        if first and word != b"INSERT":
            return None
        first = False
        depth += (kind == "open") - (kind == "close")
        if depth == 0 and word in _NOT_DATA:
            return None
        if depth == 0 and word == b"SETTINGS" and _SETTING.match(text, token.end()):
            settings = token.start()
        if depth == 0 and word == b"FORMAT" and (name := _FORMAT.match(text, token.end())):
            settings = min(settings, token.start())
            head, changed = text[:settings].decode(), text[settings : token.start()].decode()
            return Insert(head, changed, name[1].decode(), text[name.end() :])
    return None


def result_format(statement: str, default: str) -> str:
    """Return the format that the statement itself asks for at its end, else ``default``."""
    found = _RESULT_FORMAT.search(statement[-500:].encode())
    return found[1].decode() if found else default


def words(statement: bytes) -> list[str]:
    """The words of a statement in order, quoted names too; not the contents of strings and comments."""
    found = (token["word"] or token["name"] for token in _TOKEN.finditer(statement))
    return [word.decode(errors="replace").strip('`"') for word in found if word]


def quoted(value: str) -> str:
    """Return a SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
