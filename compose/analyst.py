"""The user ``analyst`` of the embedded server: it reads, and nothing else.

ClickHouse's own ``readonly = 1`` refuses what changes data or settings, and table functions that reach files or
addresses. What it lets through in an embedded engine is refused here, after the engine's own parser has written the
statement down again: no comment, heredoc or quoting hides a word then.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping

from compose.engine import Engine, QueryError, Request
from compose.statements import quoted, words

NAME = "analyst"

_LIMITS = {"max_execution_time": "60", "max_memory_usage": str(4 * 10**9), "max_result_rows": str(5 * 10**6)}
_READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS", "USE"}
# An embedded engine has no folder that its functions are kept in: these read files, variables, or text as a statement;
# sqlite makes the file that it is then not allowed to read.
_FUNCTIONS = {"file", "python", "eval", "sqlite"}

# As ClickHouse does in this mode, other settings are refused; these say how to answer, and clients send them unasked.
_SETTINGS = {
    "async_insert", "cancel_http_readonly_queries_on_client_close", "date_time_output_format", "insert_deduplicate",
    "join_use_nulls", "log_comment", "readonly", "session_timezone", *_LIMITS,
}  # fmt: skip
_SETTING_PREFIXES = ("param_", "output_format_")


def authenticate(name: str, password: str, expected: str) -> None:
    """Let ``default`` in without a password, and the analyst with the one that the server was started with.

    Raises:
        QueryError: anybody else, as ClickHouse says it.
    """
    if name in ("", "default"):
        return
    right = hmac.compare_digest(password.encode(), expected.encode())
    if name != NAME or not expected or not right:
        hint = "" if expected else " (the server was started without DRIFTLINE_ANALYST_PASSWORD)"
        raise QueryError(
            f"Code: 516. DB::Exception: {name}: Authentication failed: password is incorrect, or there is no user with "
            f"such name{hint}. Users here: default, {NAME}. (AUTHENTICATION_FAILED)",
            516,
        )


def credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, str]:
    """User and password of a request: HTTP's basic authentication, ClickHouse's headers, or parameters."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "?", ""
        return name, password
    return (
        headers.get("X-ClickHouse-User") or query.get("user", ""),
        headers.get("X-ClickHouse-Key") or query.get("password", ""),
    )


def settings(given: Mapping[str, str]) -> dict[str, str]:
    """The settings of an analyst's request: what it asked for, within the limits, read-only.

    Raises:
        QueryError: it asked for more.
    """
    for name in given:
        if name not in _SETTINGS and not name.startswith(_SETTING_PREFIXES):
            raise _readonly(f"Cannot modify '{name}' setting in readonly mode")
    return {**given, **_LIMITS, "readonly": "1"}


def check(engine: Engine, statement: bytes) -> None:
    """Hold a statement to reading.

    Raises:
        QueryError: it does something else, or is no statement.
    """
    plain = engine.run(
        Request(f"SELECT formatQuerySingleLine({quoted(statement.decode())})".encode(), default_format="RawBLOB")
    )
    found = words(plain.body)
    if not found or found[0].upper() not in _READS:
        raise _readonly(f"{NAME} may only {', '.join(sorted(_READS))}")
    if "OUTFILE" in found:
        raise _readonly("INTO OUTFILE would write on the server")
    for function in found:
        if function.lower() in _FUNCTIONS:
            raise _readonly(f"{function} reads what is not in the database")


def _readonly(why: str) -> QueryError:
    return QueryError(f"Code: 164. DB::Exception: {NAME}: {why}. (READONLY)", 164)
