"""A shop's own topics, which know nothing of driftline, and the model that maps them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from schemas.models import ModelRecord
from schemas.spec import Model

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

DOCUMENT = """
apiVersion: driftline/v1
kind: Model
metadata: {namespace: payments, name: fraud}
spec:
  positive_class: fraud
  features:
    - {name: amount, kind: number}
    - {name: country, kind: string}
    - {name: returning, kind: boolean}
  segments: [shop]
  windows: {width: P1D}
  source:
    predictions:
      topic: shop.decisions
      when: {path: type, equals: scored}
      id: request.id
      version: {header: model-version}
      time: {path: request.at, format: epoch_ms}
      features:
        amount: request.basket.total
        country: request.customer['home.country']
        returning: request.customer.orders[0].paid
      scores: {fraud: answer.p}
      prediction: answer.verdict
      latency_ms: answer.ms
      segments: {shop: request.shop}
    outcomes:
      topic: shop.chargebacks
      id: request
      time: {path: booked, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
      label: fraudulent
"""


def model(document: str = DOCUMENT, **source: Any) -> Model:
    """The model's document; ``source`` replaces parts of ``spec.source``, None takes one away."""
    body = yaml.safe_load(document)
    for name, part in source.items():
        if part is None:
            del body["spec"]["source"][name]
        elif isinstance(part, dict):
            body["spec"]["source"][name] |= part
        else:
            body["spec"]["source"][name] = part
    return Model.model_validate(body)


def record(document: str = DOCUMENT, **source: Any) -> ModelRecord:
    """Its first generation."""
    return ModelRecord.first(model(document, **source))


def decision(number: int, **given: Any) -> dict[str, Any]:
    """What the shop writes when it has scored a request."""
    return {
        "type": "scored",
        "request": {
            "id": number,
            "at": int((START + timedelta(minutes=number)).timestamp() * 1000),
            "shop": "de" if number % 2 else "fr",
            "basket": {"total": 10 + number % 7, "items": 3},
            "customer": {"home.country": "DE", "orders": [{"paid": True}]},
        },
        "answer": {"p": (number % 100) / 100, "verdict": "ok", "ms": 3.5},
    } | given


def chargeback(number: int) -> dict[str, Any]:
    """What the shop's bank writes a day later."""
    return {"request": str(number), "booked": "02.03.2026 14:30", "fraudulent": number % 5 == 0}
