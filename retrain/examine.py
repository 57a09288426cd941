"""The judge's hands: fetch snapshot and artifacts by their hashes, score the held-out rows, ask the judge.

Every blob is verified before anything parses it. What is damaged, missing or refused is an *error* verdict, and the
champion stays.
"""

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from retrain import baseline, dataset
from retrain.fit import RefusedModelError, load_model, score
from retrain.judge import Finding, judge
from retrain.state import Contender
from retrain.store import BlobError, Store
from schemas.lifecycle import Candidate, Request
from schemas.models import Reference
from schemas.spec import ModelSpec


class NoReference(Exception):
    """A first candidate without what was normal."""


class Unscorable(Exception):
    """A version that cannot answer for the held-out rows, because the spec's features changed since it was fitted."""


def examine(
    store: Store, spec: ModelSpec, request: Request, candidate: Candidate, champion: Contender | None
) -> Finding:
    """Judge a candidate on the held-out rows of its snapshot; without a champion, only see that it is whole.

    Args:
        store: where the blobs are.
        spec: of the request's generation, by which the snapshot was made.
        request: the one that the candidate answers.
        candidate: ready.
        champion: who serves, if anybody.
    """
    try:
        # One thread: others of the machine have work, and OpenMP's threads spin while they wait for theirs.
        with threadpool_limits(limits=1, user_api="openmp"):
            return _examine(store, spec, request, candidate, champion)
    except (BlobError, RefusedModelError, NoReference, Unscorable) as error:
        return Finding("error", f"{type(error).__name__}: {error}", {})


def _examine(
    store: Store, spec: ModelSpec, request: Request, candidate: Candidate, champion: Contender | None
) -> Finding:
    model = load_model(store.get(candidate.artifact))
    if champion is None:
        reference(store, candidate.manifest)
        return Finding("pass", "first version: there is nothing to compare it with", candidate.metrics)
    _, holdout = dataset.split(dataset.from_parquet(store.get(candidate.snapshot)), request.holdout_from)
    rows = dataset.features_only(holdout, spec.features)
    return judge(
        label=holdout["label"].to_numpy().astype(np.float64),
        candidate=_scores(f"candidate {candidate.version}", model, rows, request),
        champion=_scores(f"champion {champion.version}", load_model(store.get(champion.artifact)), rows, request),
        window=holdout["window_start"].to_numpy(),
        segments=baseline.segments(holdout, spec),
        gate=spec.gate,
    )


def _scores(who: str, model: Pipeline, rows: pa.Table, request: Request) -> NDArray[np.float64]:
    """Scores of the held-out rows.

    Raises:
        Unscorable: a feature that the version was fitted on is gone, or is of another kind now.
    """
    try:
        return score(model, rows)
    except (KeyError, TypeError, ValueError) as error:
        fitted = ", ".join(sorted(map(str, model.feature_names_in_)))
        raise Unscorable(
            f"{who} was fitted on the columns {fitted} and cannot score the held-out rows of generation "
            f"{request.generation} ({error}); keep a feature declared, and of its kind, until a version that was "
            "fitted without it serves"
        ) from error


def reference(store: Store, manifest: str) -> Reference:
    """What was normal, as a first candidate's manifest names it.

    Raises:
        BlobError: manifest or reference are damaged or missing.
        NoReference: the manifest names none, or it cannot be read.
    """
    try:
        files = msgspec.json.decode(store.get(manifest))["files"]
        return msgspec.json.decode(store.get(files["reference"]), type=Reference)
    except (KeyError, TypeError, msgspec.MsgspecError) as error:
        raise NoReference(f"manifest {manifest} names no readable reference: {error!r}") from error
