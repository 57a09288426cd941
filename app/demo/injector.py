"""Faults, as a network makes them, and the books about them.

What befalls a message is a hash of the seed and the message's identity: there is no generator to carry along, so that a
service that was killed injects the same faults again, and the books can be written at the end from the flights and the
decisions alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Fate = Literal["sent", "resent", "resent at the end", "delayed", "corrupted"]
"""What befalls a message, one of: sent once; sent twice, the copy right behind or behind the whole step; a prediction
sent in the next step, when its window has closed; sent as bytes that can never be an event."""

CORRUPTED, DELAYED, RESENT = 0.001, 0.005, 0.010
_RANGE = 2**64


class Flights(Protocol):
    """What departs and what arrives in a step (see ``app.demo.flights``)."""

    def departing(self, step: int) -> Any:
        """A table with ``prediction_id``."""

    def arriving(self, step: int) -> Any:
        """A table with ``prediction_id``."""


@dataclass(frozen=True, slots=True)
class Injector:
    """Faults of one run: the same seed, the same faults."""

    seed: int

    def prediction(self, version: str, prediction_id: str) -> Fate:
        """Fate of one version's answer; a shadow's answer has a fate of its own."""
        return _fate(self._draw("prediction", version, prediction_id))

    def outcome(self, prediction_id: str) -> Fate:
        """Fate of an outcome; outcomes are never delayed, labels come late enough."""
        fate = _fate(self._draw("outcome", "", prediction_id))
        return "sent" if fate == "delayed" else fate

    def corrupt(self, body: bytes) -> bytes:
        """Bytes that no consumer may accept, made from an event's body; which way is a hash of its identity."""
        event = json.loads(body)
        way = int(self._draw("way", event.get("version", ""), event["prediction_id"]) * 4)
        if way == 0:
            return body[: len(body) // 2]
        if "version" in event:
            changes: list[dict[str, Any]] = [
                {"scores": dict.fromkeys(event["scores"], 1.7)},
                {"features": {**event["features"], "distance": "far"}},
                {"scores": dict.fromkeys(event["scores"], float("nan"))},
            ]
        else:
            changes = [{"label": None}, {"label": 0.5}, {"event_time": event["event_time"][:19]}]
        return json.dumps(event | changes[way - 1]).encode()

    def _draw(self, *identity: str) -> float:
        """A number in [0, 1) that depends on the seed and the identity only."""
        digest = hashlib.blake2b("\0".join((str(self.seed), *identity)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / _RANGE


def _fate(draw: float) -> Fate:
    if draw < CORRUPTED:
        return "corrupted"
    if draw < CORRUPTED + DELAYED:
        return "delayed"
    if draw < CORRUPTED + DELAYED + RESENT / 2:
        return "resent"
    return "resent at the end" if draw < CORRUPTED + DELAYED + RESENT else "sent"


def tally(
    flights: Flights, first: int, last: int, versions: Callable[[int], Sequence[str]], injector: Injector
) -> dict[str, Any]:
    """The books: what was sent and what must have become of it, to the event.

    Args:
        flights: the data.
        first: first step of the run.
        last: last one, in which outcomes and what was delayed arrive, but nothing departs.
        versions: step -> versions that answered in it, the served one and the shadows.
        injector: of the run.

    Returns:
        The fields of ``summary.json`` that the injector can know, ``tallies`` by :data:`schemas.partials.Tally`.
    """
    tallies: Counter[str] = Counter()
    answered: dict[str, int] = {}
    labelled: list[str] = []
    sent = 0
    for step in range(first, last):
        for prediction_id in flights.departing(step)["prediction_id"].to_pylist():
            fates = [injector.prediction(version, prediction_id) for version in versions(step)]
            sent += _book(tallies, "predictions", fates)
            answered[prediction_id] = sum(fate != "corrupted" for fate in fates)
    for step in range(first, last + 1):
        for prediction_id in flights.arriving(step)["prediction_id"].to_pylist():
            fate = injector.outcome(prediction_id)
            sent += _book(tallies, "outcomes", [fate])
            if fate != "corrupted":
                labelled.append(prediction_id)

    def total(*names: str) -> int:
        return sum(tallies[name] for name in names)

    return {
        "events_in": sent,
        "counted": total("predictions.counted", "outcomes.counted"),
        "late": total("predictions.late"),
        "duplicate": total("predictions.duplicate", "outcomes.duplicate"),
        "correction": total("outcomes.correction"),
        "dead_lettered": total("predictions.dead", "outcomes.dead"),
        "pairs_joined": sum(answered.get(prediction_id, 0) for prediction_id in labelled),
        "outcomes_unmatched": sum(not answered.get(prediction_id, 0) for prediction_id in labelled),
        "tallies": dict(sorted(tallies.items())),
    }


def _book(tallies: Counter[str], topic: str, fates: Iterable[Fate]) -> int:
    """Enter messages into the books; how many records they are."""
    records = 0
    for fate in fates:
        if fate == "corrupted":
            tallies[f"{topic}.dead"] += 1
        else:
            tallies[f"{topic}.late" if fate == "delayed" else f"{topic}.counted"] += 1
        copies = fate.startswith("resent")
        tallies[f"{topic}.duplicate"] += copies
        records += 1 + copies
    return records
