"""The model side of the demo's service: from a routing decision to answers, one batch per version."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
import structlog
from driftline import Decision, Route

from app.demo.sabotage import NONE, Sabotage
from app.demo.step import Answer
from retrain import fit
from retrain.store import BlobError, Store

log = structlog.get_logger()

RULE_OF_THUMB = "0"
RULE_SCORE = 0.2
"""Before there is a model the service says: one flight in five is late."""


class Serving:
    """Loads artifacts by their hash, keeps them in memory, and answers.

    An artifact that is missing, damaged or refused never replaces a model that works: the champion that is
    loaded keeps serving, under its own version; a shadow is left out.
    """

    def __init__(self, store: Store, sabotage: Sabotage = NONE) -> None:
        self._store = store
        self._sabotage = sabotage
        self._loaded: dict[str, Any] = {}
        self._champion: Route | None = None

    def answers(self, decision: Decision, table: pa.Table) -> list[Answer]:
        """Answers of the served version and of every shadow to all rows of ``table``."""
        if decision.champion is not None and self._load(decision.champion) is not None:
            self._champion = decision.champion
        if self._champion is None:
            served = Answer(RULE_OF_THUMB, "champion", np.full(table.num_rows, RULE_SCORE), 0.0)
        else:
            served = self._ask(self._champion, table, shadow=False)
        shadows = [route for route in decision.shadows if route != self._champion and self._load(route) is not None]
        return [served, *(self._ask(route, table, shadow=True) for route in shadows)]

    def _ask(self, route: Route, table: pa.Table, *, shadow: bool) -> Answer:
        started = time.perf_counter()
        scores = fit.score(self._loaded[route.artifact], self._sabotage.features(route.version, table))
        scores = self._sabotage.scores(table, scores, champion=not shadow)
        latency_ms = (time.perf_counter() - started) * 1000 / max(1, table.num_rows)
        return Answer(route.version, "shadow" if shadow else "champion", scores, round(latency_ms, 4))

    def _load(self, route: Route) -> Any | None:
        if route.artifact not in self._loaded:
            try:
                self._loaded[route.artifact] = fit.load_model(self._store.get(route.artifact))
            except (BlobError, fit.RefusedModelError) as error:
                serving = self._champion.version if self._champion else RULE_OF_THUMB
                log.error("service.artifact_refused", version=route.version, serving=serving, error=str(error))
                return None
        return self._loaded[route.artifact]
