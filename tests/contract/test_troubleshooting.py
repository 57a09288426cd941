"""Every message in ``docs/troubleshooting.md`` is one that the code prints."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from schemas.events import MAX_EVENT_BYTES
from streams.aggregate import explain
from streams.aggregate.decode import MAX_DEPTH

ROOT = Path(__file__).parents[2]
SOURCES = ("app", "bus", "compose", "streams", "warehouse", "sdk/driftline")
GOLDEN = ROOT / "tests" / "contract" / "golden" / "dead_letters.json"


def messages() -> list[str]:
    """The quoted messages: what has a gap or is a log event."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = {piece for line in text.splitlines() for piece in re.findall(r"`([^`]*)`", line)}
    return sorted(piece for piece in quoted if piece != "…" and ("…" in piece or piece.endswith(".away")))


@pytest.fixture(scope="module")
def printed() -> str:
    """All that the code can say: its strings, joined where Python joins them, and the golden messages."""
    code = [path.read_text() for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    joined = [re.sub(r"\"\s*\n\s*f?\"", "", text) for text in code]
    letters = [letter["detail"] for letter in json.loads(GOLDEN.read_text())]
    computed = [
        explain.too_deep(MAX_DEPTH),
        explain.too_large(MAX_EVENT_BYTES + 1, MAX_EVENT_BYTES),
        os.strerror(errno.ENOSPC),
    ]
    classes = ("cat", "dog")
    computed += [explain.missing_scores({"cat": 0.5}, classes), explain.no_class("label", "bird", classes)]
    computed.append(explain.no_number("prediction", "12.5"))
    return "\n".join([*joined, *letters, *computed])


@pytest.mark.parametrize("message", messages())
def test_the_message_is_printed(message: str, printed: str) -> None:
    parts = [part.strip() for part in message.split("…")]
    missing = [part for part in parts if part and part not in printed]
    assert not missing, f"no code says {missing}"


def test_there_are_messages_to_check() -> None:
    assert len(messages()) > 25
