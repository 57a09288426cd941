"""Dead letters in words for people, and as JSON for machines."""

import base64
import re
from collections import Counter
from typing import Any

from app.dead_letters.letters import Letter, place_name
from app.dead_letters.replay import Replay
from schemas.windows import iso

_SHOWN_BYTES = 10_000


def printable(data: bytes) -> str:
    """Bytes for a terminal: text where it is text, hex where not; control characters are escaped, long ones cut."""
    cut = data[:_SHOWN_BYTES]
    more = f"\n… {len(data) - _SHOWN_BYTES:,} bytes more (--raw writes all)" if len(data) > _SHOWN_BYTES else ""
    try:
        text = data.decode()[:_SHOWN_BYTES]
    except UnicodeDecodeError:
        lines = [cut[start : start + 32] for start in range(0, len(cut), 32)]
        return "\n".join(f"{32 * i:08x}  {line.hex(' ')}" for i, line in enumerate(lines)) + more
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", text) + more


def line(letter: Letter) -> str:
    """A letter on two lines: where, when, why and whose; then the detail."""
    whose = letter.model or "no model"
    detail = printable(letter.detail.encode())
    return f"{letter.name}  {iso(letter.log_ts)}  {letter.reason}  {whose}  {letter.state}\n    {detail}"


def whole(letter: Letter, fate: str) -> str:
    """All about a letter, for people."""
    rows = {
        "dead letter": letter.name,
        "logged": iso(letter.log_ts),
        "reason": letter.reason,
        "detail": letter.detail,
        "model": letter.model or "cannot be read",
        "prediction": letter.prediction_id or "cannot be read",
        "key": "none" if letter.key is None else printable(letter.key),
    }
    rows |= {f"header {name}": "null" if value is None else printable(value) for name, value in letter.headers}
    if letter.replayed:
        partition, offset, at = letter.replayed
        rows["replayed"] = f"{iso(at)} to {letter.place[0]}/{partition}/{offset}: {fate}"
    text = "\n".join(f"{name:<12} {printable(value.encode())}" for name, value in rows.items())
    return f"{text}\n{len(letter.value):,} bytes:\n{printable(letter.value)}"


def as_json(letter: Letter, fate: str = "") -> dict[str, Any]:
    """A letter for a machine; bytes are base64."""
    found: dict[str, Any] = {
        "place": letter.name,
        "log_ts": iso(letter.log_ts),
        "reason": letter.reason,
        "detail": letter.detail,
        "model": letter.model or None,
        "prediction_id": letter.prediction_id or None,
        "state": letter.state,
        "key": None if letter.key is None else base64.b64encode(letter.key).decode(),
        "headers": [[name, None if v is None else base64.b64encode(v).decode()] for name, v in letter.headers],
        "original": base64.b64encode(letter.value).decode(),
    }
    if letter.replayed:
        partition, offset, at = letter.replayed
        place = f"{letter.place[0]}/{partition}/{offset}"
        found["replayed"] = {"at": iso(at), "place": place} | ({"became": fate} if fate else {})
    return found


def told(found: Replay, *, dry_run: bool) -> str:
    """What a replay came to, for people."""
    verb = "would be sent again" if dry_run else "sent again"
    lines = [f"{letter.name} {f'-> {place_name(new)}' if new else 'fits'}" for letter, new in found.sent]
    lines += [f"{letter.name} would be dead again: {problem}" for letter, problem in found.refused]
    lines += [f"{letter.name} was sent again before" for letter in found.already]
    by_reason = Counter(letter.reason for letter, _ in found.sent)
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in by_reason.most_common())
    lines.append(
        f"{len(found.sent):,} {verb}{f' ({reasons})' if reasons else ''}, {len(found.refused):,} would be dead again, "
        f"{len(found.already):,} were sent before"
    )
    if found.sent and not dry_run:
        lines.append("A prediction whose window has closed meanwhile is stored and joined, and tallied as late.")
    return printable("\n".join(lines).encode())


def replay_as_json(found: Replay) -> dict[str, Any]:
    """What a replay came to, for a machine."""
    return {
        "sent": [
            {"place": letter.name, "reason": letter.reason, "new_place": place_name(new) if new else None}
            for letter, new in found.sent
        ],
        "refused": [{"place": letter.name, "problem": problem} for letter, problem in found.refused],
        "already": [letter.name for letter in found.already],
    }
