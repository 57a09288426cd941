"""What happens inside the fit's process: snapshot in; artifact, reference, metrics, importances and probe out."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from detectors.sketch import losses
from retrain import baseline, dataset
from retrain.fit import FeaturePlan, fit, importances, save_model, score
from retrain.store import Store
from schemas.ids import canonical_json, sha256_hex
from schemas.spec import ModelSpec

FOLDS = 5
PROBE_ROWS = 1_000
PROBE_DIGITS = 6
LIBRARIES = ("scikit-learn", "skops", "numpy", "pyarrow", "pandas")


class Limits(Struct, frozen=True):
    """What the process may use."""

    memory_mb: int
    cpu_seconds: int


class Job(Struct, frozen=True):
    """A fit to be done.

    Attributes:
        store: root of the content-addressed store.
        snapshot: address of the rows.
        holdout_from: rows predicted from here on are not fitted on; None fits on all (the first training).
        spec: ``ModelSpec`` as JSON values.
    """

    store: str
    snapshot: str
    holdout_from: int | None
    spec: dict[str, Any]
    limits: Limits


class Result(Struct, frozen=True):
    """What a fit made; addresses are of the store, ``reference`` is empty unless it was the first training."""

    artifact: str
    reference: str
    rows: int
    holdout_rows: int
    metrics: dict[str, float]
    importances: dict[str, float]
    probe: str
    parameters: dict[str, str]
    libraries: dict[str, str]


def run(line: str) -> str:
    """Do the job in ``line`` and return the result as one line of JSON.

    Raises:
        retrain.store.BlobError: the snapshot is damaged or missing.
        ValueError: the rows do not allow a fit (none, or of one class only).
    """
    return msgspec.json.encode(_run(msgspec.json.decode(line, type=Job))).decode()


def _run(job: Job) -> Result:
    spec = ModelSpec.model_validate(job.spec)
    seed = spec.retraining.seed
    store = Store(Path(job.store))
    table = dataset.from_parquet(store.get(job.snapshot))
    training, holdout = (
        (table, table.slice(0, 0)) if job.holdout_from is None else dataset.split(table, job.holdout_from)
    )
    plan = FeaturePlan.of(spec.features)
    rows = dataset.features_only(training, spec.features)
    if not len(rows):
        raise ValueError("no labelled row before the held-out range: wait for labels, or take a longer history")
    model = fit(rows, plan, seed=seed, threads=_threads())
    first = job.holdout_from is None
    judged = training if first else holdout
    explained = dataset.features_only(judged if len(judged) else training, spec.features)
    gains = {name: round(value, 9) for name, value in importances(model, explained, seed=seed).items()}
    reference = ""
    if first:
        judged_scores = _out_of_sample(training, spec, seed)
        reference = store.put(msgspec.json.encode(baseline.build(training, spec, judged_scores, gains)))
    else:
        judged_scores = score(model, dataset.features_only(holdout, spec.features))
    return Result(
        artifact=_save(store, model),
        reference=reference,
        rows=len(training),
        holdout_rows=len(holdout),
        metrics=metrics(judged["label"].to_numpy().astype(np.float64), judged_scores),
        importances=gains,
        probe=probe(model, explained),
        parameters={k: str(v) for k, v in sorted(model.named_steps["trees"].get_params().items())},
        libraries={name: version(name) for name in LIBRARIES},
    )


def _threads() -> int:
    """All cores: the fit's process lets OpenMP's threads sleep while they wait, so busy stages get their share."""
    return len(os.sched_getaffinity(0))


def _out_of_sample(table: pa.Table, spec: ModelSpec, seed: int) -> NDArray[np.float64]:
    """Scores of every row by a model that saw nothing of the row's window (K folds of whole windows)."""
    windows = table["window_start"].to_numpy()
    _, place = np.unique(windows, return_inverse=True)
    scores = np.empty(len(table))
    plan = FeaturePlan.of(spec.features)
    for fold in range(FOLDS):
        held = place % FOLDS == fold
        if held.any():
            rest = dataset.features_only(table.filter(pa.array(~held)), spec.features)
            model = fit(rest, plan, seed=seed, threads=_threads())
            scores[held] = score(model, dataset.features_only(table.filter(pa.array(held)), spec.features))
    return scores


def _save(store: Store, model: Pipeline) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        save_model(model, path)
        return store.put(path.read_bytes())


def metrics(label: NDArray[np.float64], scores: NDArray[np.float64]) -> dict[str, float]:
    """AUC, log-loss and Brier score, to nine digits; AUC is left out if there is one class, all without rows."""
    if not len(label):
        return {}
    log_loss, brier = losses(scores, label.astype(bool))
    found = {"log_loss": log_loss.mean(), "brier": brier.mean()}
    if 0 < label.sum() < len(label):
        found["auc"] = roc_auc_score(label, scores)
    return {name: round(float(value), 9) for name, value in sorted(found.items())}


def probe(model: Pipeline, table: pa.Table) -> str:
    """Hash of the model's rounded answers on up to ``PROBE_ROWS`` rows, evenly spread.

    Artifacts of the same model differ in bytes (skops writes wall times); their answers do not.
    """
    places = np.unique(np.linspace(0, len(table) - 1, PROBE_ROWS).astype(np.int64))
    answers = score(model, table.take(pa.array(places)))
    return sha256_hex(canonical_json([round(float(value), PROBE_DIGITS) for value in answers]))
