"""Names from content: an id is a hash of its cause, so that whoever repeats a step writes the same name."""

import hashlib
from typing import Any

import msgspec

_CANONICAL = msgspec.json.Encoder(order="deterministic")


def canonical_json(value: Any) -> bytes:
    """Encode ``value`` as JSON with sorted keys and no white space: equal values give equal bytes."""
    return _CANONICAL.encode(value)


def content_id(kind: str, *cause: Any) -> str:
    """Name a thing after its cause.

    Args:
        kind: what is named, e.g. ``"request"``; it becomes the prefix of the id.
        cause: JSON-able values that determine the thing.

    Returns:
        ``"<kind>-<16 hex digits>"``, the start of the SHA-256 of the canonical JSON of the cause.
    """
    return f"{kind}-{hashlib.sha256(canonical_json([kind, *cause])).hexdigest()[:16]}"


def sha256_hex(data: bytes) -> str:
    """SHA-256 of ``data`` as 64 hex digits: the address of a blob in the content-addressed store."""
    return hashlib.sha256(data).hexdigest()
