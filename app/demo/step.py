"""What the demo's service sends in one step: a function of the flights, the answers and the injector, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from driftline import wire
from driftline.emitter import SourceTopic
from numpy.typing import NDArray

from app.demo import model
from app.demo.flights import FEATURES, Flights
from app.demo.injector import Fate, Injector

LATE_FROM = 0.5
"""Probability of being late from which on the service says "late"."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One version's answers to all flights that depart in a step.

    Attributes:
        scores: probability of being late, shape (flights,), in the order of ``Flights.departing``.
        latency_ms: time per flight; the batch's divided by its rows.
    """

    version: str
    role: wire.ServingRole
    scores: NDArray[np.float64]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Message:
    """One record to send."""

    topic: SourceTopic
    prediction_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose events they are."""

    namespace: str
    model: str


def content(
    flights: Flights,
    step: int,
    answers: Sequence[Answer],
    delayed: Sequence[Answer],
    *,
    injector: Injector,
    identity: Identity,
) -> list[Message]:
    """All messages of a step, in the order in which they are sent.

    First what was held up in the previous step (``delayed``: that step's answers), which is late by now; then
    predictions and outcomes by event time; then the copies that come at the end.
    """
    late = [message for _, message, _ in _predictions(flights, step - 1, delayed, injector, identity, delayed=True)]
    timely = _predictions(flights, step, answers, injector, identity, delayed=False)
    timely += _outcomes(flights, step, injector, identity)
    timely.sort(key=lambda entry: entry[0])
    sent, at_the_end = [], []
    for _, message, fate in timely:
        if fate == "corrupted":
            sent.append(Message(message.topic, message.prediction_id, injector.corrupt(message.body)))
            continue
        sent.append(message)
        if fate == "resent":
            sent.append(message)
        elif fate == "resent at the end":
            at_the_end.append(message)
    return [*late, *sent, *at_the_end]


_Entry = tuple[Any, Message, Fate]


def _predictions(
    flights: Flights, step: int, answers: Sequence[Answer], injector: Injector, identity: Identity, *, delayed: bool
) -> list[_Entry]:
    """The answers of a step that are held up (``delayed``), or those that are not; only what is sent is encoded."""
    if not answers:
        return []
    table = flights.departing(step)
    ids, departures = table["prediction_id"].to_pylist(), table["departure"].to_pylist()
    features = table.select(list(FEATURES)).to_pylist()
    entries: list[_Entry] = []
    for row, (prediction_id, departure) in enumerate(zip(ids, departures, strict=True)):
        for answer in answers:
            fate = injector.prediction(answer.version, prediction_id)
            if (fate == "delayed") != delayed:
                continue
            score = float(answer.scores[row])
            body = wire.prediction(
                identity.namespace,
                identity.model,
                prediction_id,
                version=answer.version,
                event_time=departure,
                features=features[row],
                prediction=model.label(score >= LATE_FROM),
                scores={model.LATE: score},
                latency_ms=answer.latency_ms,
                segments={"origin": features[row]["origin"]},
                role=answer.role,
            )
            entries.append((departure, Message("predictions", prediction_id, body), fate))
    return entries


def _outcomes(flights: Flights, step: int, injector: Injector, identity: Identity) -> list[_Entry]:
    table = flights.arriving(step).to_pydict()
    return [
        (
            arrival,
            Message(
                "outcomes",
                prediction_id,
                wire.outcome(
                    identity.namespace, identity.model, prediction_id, event_time=arrival, label=model.label(late)
                ),
            ),
            injector.outcome(prediction_id),
        )
        for prediction_id, arrival, late in zip(table["prediction_id"], table["arrival"], table["late"], strict=True)
    ]
