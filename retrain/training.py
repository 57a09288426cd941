"""T1 and T2 of the trainer: from a request to a candidate in the store. Failure is an answer, too."""

import subprocess
import sys
import threading
from contextlib import suppress

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from retrain import collecting, dataset
from retrain.answers import candidate_id
from retrain.fitting import Job, Limits, Result
from retrain.models import ModelBook, UnknownGeneration
from retrain.store import Store
from schemas.ids import canonical_json
from schemas.lifecycle import Candidate, Request
from schemas.spec import ModelSpec
from warehouse.client import Warehouse

_CPU_FACTOR = 8
"""Processor seconds per second of wall time: the fit may use several cores."""


class FitError(Exception):
    """The fit ended without a model; the text says why, in the same words in any run."""


class Training:
    """One training; :meth:`cancel` may be called from another thread."""

    def __init__(self, warehouse: Warehouse, store: Store, models: ModelBook, request: Request) -> None:
        self._warehouse = warehouse
        self._store = store
        self._models = models
        self._request = request
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Kill the fit; what :meth:`run` then returns is to be thrown away."""
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()

    def run(self) -> Candidate:
        """The answer: ``ready`` with a manifest, or ``error`` with the reason."""
        request = self._request
        try:
            spec = self._models.record(request.namespace, request.model, request.generation).parsed()
        except UnknownGeneration as error:
            # Whoever asked has read it, so it was deleted since.
            return _answer(request, "", error=str(error))
        if request.reason == "reference":
            return self._collect(spec)
        table = dataset.read(self._warehouse, request, spec)
        snapshot = self._store.put(dataset.to_parquet(table))
        first = request.reason == "bootstrap"
        job = Job(
            store=str(self._store.root.resolve()),
            snapshot=snapshot,
            holdout_from=None if first else request.holdout_from,
            spec=spec.model_dump(mode="json"),
            limits=Limits(
                memory_mb=spec.retraining.max_memory_mb,
                cpu_seconds=int(spec.retraining.max_runtime.total_seconds() * _CPU_FACTOR) + 1,
            ),
        )
        try:
            result = self._fit(job, spec)
        except FitError as error:
            return _answer(request, snapshot, error=str(error))
        manifest = self._store.put(_manifest(request, job, result, parent=_parent(request, table)))
        return _answer(request, snapshot, result=result, manifest=manifest)

    def _collect(self, spec: ModelSpec) -> Candidate:
        """A reference is asked for: no version comes of it."""
        try:
            found = collecting.collect(self._warehouse, self._store, self._request, spec)
        except (collecting.NoRows, ValueError) as error:
            return _answer(self._request, "", error=str(error))
        answer = _answer(self._request, found.snapshot, error="")
        return replace(answer, status="ready", manifest=found.manifest, rows=found.rows)

    def _fit(self, job: Job, spec: ModelSpec) -> Result:
        """Run the fit's process within its limits.

        Raises:
            FitError: it took too long, was killed, or said why it cannot fit.
        """
        limit = spec.retraining.max_runtime.total_seconds()
        with self._lock:
            if self._cancelled:
                raise FitError("cancelled")
            # stdin stays open: it ends when this process does, and the fit with it.
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "retrain.fit_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            output, errors = _converse(process, msgspec.json.encode(job).decode() + "\n")
        finally:
            expired = not timer.is_alive()
            timer.cancel()
        if expired:
            raise FitError(f"the fit took more than {limit:g} s (retraining.max_runtime) and was stopped")
        if process.returncode < 0:
            raise FitError(
                f"the fit was killed by signal {-process.returncode}; it may use {spec.retraining.max_memory_mb} MB "
                "(retraining.max_memory_mb)"
            )
        if process.returncode:
            raise FitError(errors.strip().splitlines()[-1] if errors.strip() else f"exit code {process.returncode}")
        return msgspec.json.decode(output, type=Result)


def _converse(process: subprocess.Popen[str], line: str) -> tuple[str, str]:
    """Send one line and read all that the process says, without closing its stdin."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("the process must be started with three pipes")
    errors: list[str] = []
    reader = threading.Thread(target=lambda stream: errors.append(stream.read()), args=(process.stderr,), daemon=True)
    reader.start()
    with suppress(BrokenPipeError):  # it died at once: its exit code and last words say why
        process.stdin.write(line)
        process.stdin.flush()
    output = process.stdout.read()
    reader.join()
    process.wait()
    process.stdin.close()
    return output, errors[0]


def _answer(
    request: Request, snapshot: str, *, error: str = "", result: Result | None = None, manifest: str = ""
) -> Candidate:
    return Candidate(
        id=candidate_id(request.id),
        request_id=request.id,
        namespace=request.namespace,
        model=request.model,
        version="" if request.reason == "reference" else str(request.ordinal),
        status="ready" if result else "error",
        error=error,
        manifest=manifest,
        artifact=result.artifact if result else "",
        snapshot=snapshot,
        probe=result.probe if result else "",
        rows=result.rows if result else 0,
        holdout_rows=result.holdout_rows if result else 0,
        metrics=result.metrics if result else {},
    )


def _parent(request: Request, table: pa.Table) -> str | None:
    """The version that served the newest row; the first training has no parent."""
    return None if request.reason == "bootstrap" or not len(table) else str(table["version"][-1].as_py())


def _manifest(request: Request, job: Job, result: Result, *, parent: str | None) -> bytes:
    """What the candidate is made of and from: every file by its hash."""
    files = {"artifact": result.artifact, "snapshot": job.snapshot}
    if result.reference:
        files["reference"] = result.reference
    return canonical_json(
        {
            "version": str(request.ordinal),
            "parent": parent,
            "files": files,
            "request": request,
            "seed": job.spec["retraining"]["seed"],
            "parameters": result.parameters,
            "libraries": result.libraries,
            "rows": result.rows,
            "holdout_rows": result.holdout_rows,
            "metrics": result.metrics,
            "importances": result.importances,
            "probe": result.probe,
        }
    )
