"""The demo's model as its owner declares it (``model.yaml``), and how its service writes what happened."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import yaml

from schemas.models import ModelRecord
from schemas.spec import Model

Label = Literal["late", "on-time"]
LATE: Final = "late"
ON_TIME: Final = "on-time"


ENVIRONMENT = "DRIFTLINE_DEMO_MODEL"
"""Environment variable with the path of another document, e.g. ``quick.yaml`` with shorter times."""


def document() -> Model:
    """The model's document, checked."""
    other = os.environ.get(ENVIRONMENT)
    source = Path(other) if other else files("app.demo").joinpath("model.yaml")
    return Model.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))


def first_generation() -> ModelRecord:
    """What is published before the first event."""
    return ModelRecord.first(document())


def label(late: bool) -> Label:
    """Name of what happened, or of what a score stands for."""
    return LATE if late else ON_TIME
