"""The demo's ``model.yaml`` fits the data, and the step grid of the service."""

from app.demo import model
from app.demo.flights import FEATURES, STEPS


def test_the_spec_declares_the_features_of_the_data() -> None:
    declared = {feature.name: feature.kind for feature in model.document().spec.features}
    assert declared == FEATURES


def test_windows_are_the_steps() -> None:
    assert model.document().spec.grid() == STEPS


def test_the_first_generation_can_be_read_back() -> None:
    record = model.first_generation()
    assert record.parsed() == model.document().spec
    assert record.reference is None
    assert record.key().startswith(b"demo/flight-delay/000000/record-")
