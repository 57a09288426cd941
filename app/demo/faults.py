"""``make demo-faults``: things go wrong on purpose, and the audit log must show that each was stopped.

Ten weeks of flights with shorter times (``quick.yaml``), in one run:

- version 2 was fitted on shuffled labels: the judge stops it;
- one byte of version 3's artifact is flipped: it never loads, and the champion stays;
- version 4 is good offline, but the service hands it °C for °F: it is stopped in shadow, or rolled back;
- the service turns the champion's answers upside down for two days: an incident, but no request inside the cooldown.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import structlog
import typer
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table

from app import wiring
from app.demo import model, run
from app.stack import Stack, fresh
from app.status import ModelStatus
from retrain import dataset
from retrain.answers import answer_rows, candidate_id
from retrain.fit import LABEL, FeaturePlan, fit, save_model
from schemas.ids import canonical_json
from schemas.lifecycle import Candidate, Request
from schemas.partials import model_key
from schemas.spec import milliseconds
from schemas.tables import AUDIT
from schemas.windows import iso

log = structlog.get_logger()

T = TypeVar("T")

UNTIL = date(2013, 3, 11)
SHUFFLED, FLIPPED, CELSIUS = "2", "3", "4"
UPSIDE_DOWN = (date(2013, 3, 9), date(2013, 3, 10))

_AUDIT = """
SELECT body FROM audit_log WHERE namespace = {namespace:String} AND model = {model:String} AND kind = {kind:String}
ORDER BY at, id
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One fault, and the row of the audit log that shows what became of it."""

    fault: str
    held: bool
    id: str
    found: str


class Saboteur:
    """Looks at the public records several times a second, and does harm at the right moments."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._store = wiring.open_store(stack.settings)
        self._done: set[str] = set()

    def look(self, _status: ModelStatus, _lag: int) -> None:
        """Called as the demo's progress goes on."""
        supervisor = self._stack.supervisor
        if self._answered("1"):
            # The trainer must not answer the second request before the forger does.
            self._once("hold the trainer", lambda: supervisor.pause("trainer"))
        if (request := self._request(SHUFFLED)) is not None:
            self._once("forge an answer", lambda: self._forge(request))
            self._once("let the trainer go on", lambda: supervisor.resume("trainer"))
        if self._request(FLIPPED) is not None:
            self._once("hold the rollout", lambda: supervisor.pause("rollout"))
        if (candidate := self._answered(FLIPPED)) is not None:
            self._once("flip a bit", lambda: self._flip(candidate))
            self._once("let the rollout go on", lambda: supervisor.resume("rollout"))

    def _once(self, name: str, act: Callable[[], Any]) -> None:
        if name not in self._done:
            self._done.add(name)
            act()
            log.info("saboteur", did=name)

    def _request(self, version: str) -> Request | None:
        return _find(self._stack, "request", Request, lambda found: str(found.ordinal) == version)

    def _answered(self, version: str) -> Candidate | None:
        return _find(self._stack, "candidate", Candidate, lambda found: found.version == version)

    def _flip(self, candidate: Candidate) -> None:
        """Turn one bit in the middle of the artifact, as a bad disk would."""
        path = self._store.path(candidate.artifact)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def _forge(self, request: Request) -> None:
        """Answer a request with a model of shuffled labels, whole in every other respect."""
        warehouse, spec = self._stack.warehouse, model.document().spec
        table = dataset.read(warehouse, request, spec)
        training, holdout = dataset.split(table, request.holdout_from)
        rows = dataset.features_only(training, spec.features)
        labels = np.random.default_rng(0).permutation(rows[LABEL].to_numpy())
        rows = rows.set_column(rows.column_names.index(LABEL), LABEL, pa.array(labels))
        fitted = fit(rows, FeaturePlan.of(spec.features), seed=spec.retraining.seed, threads=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.skops"
            save_model(fitted, path)
            artifact = self._store.put(path.read_bytes())
        snapshot = self._store.put(dataset.to_parquet(table))
        candidate = Candidate(
            id=candidate_id(request.id),
            request_id=request.id,
            namespace=request.namespace,
            model=request.model,
            version=str(request.ordinal),
            status="ready",
            error="",
            manifest=self._store.put(canonical_json({"files": {"artifact": artifact, "snapshot": snapshot}})),
            artifact=artifact,
            snapshot=snapshot,
            probe="",
            rows=len(training),
            holdout_rows=len(holdout),
            metrics={},
        )
        warehouse.insert(AUDIT, answer_rows(request, candidate))
        settings = self._stack.settings
        producer = Producer(settings.producer())
        producer.produce(
            settings.topic("candidates"),
            key=model_key(request.namespace, request.model).encode(),
            value=msgspec.json.encode(candidate),
        )
        producer.flush(30)


def _rows(stack: Stack, kind: str) -> list[dict[str, Any]]:
    name = model.document().metadata
    parameters = {"namespace": name.namespace, "model": name.name, "kind": kind}
    return [json.loads(body) for (body,) in stack.warehouse.rows(_AUDIT, parameters)]


def _find(stack: Stack, kind: str, record: type[T], wanted: Callable[[T], bool]) -> T | None:
    found = (msgspec.convert(body, record) for body in _rows(stack, kind))
    return next((one for one in found if wanted(one)), None)


def checks(stack: Stack) -> list[Check]:
    """What the audit log says about each fault."""
    verdicts, steps = _rows(stack, "verdict"), _rows(stack, "rollout")
    return [
        judged(verdicts, steps, SHUFFLED, "fail", "fitted on shuffled labels"),
        _never_loaded(stack, verdicts, steps),
        celsius(verdicts, steps),
        _cooldown(stack),
    ]


def judged(
    verdicts: list[dict[str, Any]], steps: list[dict[str, Any]], version: str, outcome: str, fault: str
) -> Check:
    """The judge said so of a version, which then never shadowed."""
    found = [v for v in verdicts if v["version"] == version and v["stage"] == "judge"]
    shadowed = any(step["step"] == "start shadow" and _shadows(step, version) for step in steps)
    if not found:
        return Check(fault, False, "", f"no verdict on version {version}")
    return Check(fault, found[0]["outcome"] == outcome and not shadowed, found[0]["id"], found[0]["text"])


def _shadows(step: dict[str, Any], version: str) -> bool:
    return version in [route["version"] for route in step["shadows"]]


def _never_loaded(stack: Stack, verdicts: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Check:
    check = judged(verdicts, steps, FLIPPED, "error", "a flipped byte in the artifact")
    count = "SELECT count() FROM raw_predictions WHERE version = {version:String}"
    ((answers,),) = stack.warehouse.rows(count, {"version": FLIPPED})
    at = next((v["at"] for v in verdicts if v["id"] == check.id), 0)
    before = [step["champion"] for step in steps if step["decided_through"] <= at]
    after = [step["champion"] for step in steps if step["decided_through"] > at]
    stayed = bool(before) and (not after or after[0] == before[-1])
    text = f"{check.found}; it answered {answers} times, and the champion {'stayed' if stayed else 'changed'}"
    return Check(check.fault, check.held and answers == 0 and stayed, check.id, text)


def celsius(verdicts: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Check:
    """Good offline, and the days in service spoke against it: stopped in shadow, or rolled back."""
    fault = "served °C for °F"
    offline = [v for v in verdicts if v["version"] == CELSIUS and v["stage"] == "judge"]
    stopped = [v for v in verdicts if v["version"] == CELSIUS and v["stage"] != "judge" and v["outcome"] != "pass"]
    good = bool(offline) and offline[0]["outcome"] == "pass"
    serving = steps[-1]["champion"]["version"] if steps else ""
    if not good or not stopped:
        return Check(fault, False, "", f"good offline: {good}; stopped by {len(stopped)} verdicts")
    last = stopped[-1]
    # Evidence below 1 says that the days spoke against it, not that there were too few.
    against = last["numbers"]["e_better"] < 1
    return Check(
        fault, serving != CELSIUS and against, last["id"], f"{last['outcome']} in {last['stage']}: {last['text']}"
    )


def _cooldown(stack: Stack) -> Check:
    """The labelled loss leaves its band inside a request's cooldown: an incident, and no request until it is over."""
    fault = "a second cause inside the cooldown"
    cooldown = milliseconds(model.document().spec.retraining.cooldown)
    requests = _rows(stack, "request")
    gaps = [later["at"] - earlier["at"] for earlier, later in pairwise(requests)]
    for incident in reversed(_rows(stack, "incident")):
        losses = [c for c in incident["conditions"] if c["kind"] == "labelled_loss"]
        before = [r for r in requests if r["at"] <= incident["opened"] < r["at"] + cooldown]
        if losses and before:
            over = before[-1]["at"] + cooldown
            inside = [r for r in requests if incident["opened"] <= r["at"] < over]
            text = f"{losses[0]['text']}; open since {iso(incident['opened'])}, cooldown until {iso(over)}"
            held = not inside and all(gap >= cooldown for gap in gaps)
            return Check(fault, held, incident["id"], f"{text}; requests in between: {len(inside)}")
    return Check(fault, False, "", "no labelled loss outside its band inside a cooldown")


def main(
    root: Annotated[Path, typer.Option(help="Data, logs and results; emptied first.")] = Path("var/faults"),
    cache: Annotated[Path, typer.Option(help="Downloads and parsed flights; kept.")] = Path("var/cache"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Break things on purpose and show, by id in the audit log, that each was stopped; exit 1 if one was not."""
    wiring.configure_logging("faults")
    console = Console(stderr=as_json)
    os.environ[model.ENVIRONMENT] = str(files("app.demo").joinpath("quick.yaml"))
    fresh(root)
    with Stack(root, cache=cache, say=console.print) as stack:
        wiring.publish_model(stack.settings, model.first_generation())
        stack.start_roles()
        saboteur = Saboteur(stack)
        days = "/".join(day.isoformat() for day in UPSIDE_DOWN)
        run.start_service(stack, UNTIL, cache, "--celsius", CELSIUS, "--upside-down", days)
        run.follow(stack, UNTIL, console, saboteur.look, every=0.25)
        found = checks(stack)
    (root / "faults.json").write_text(json.dumps([asdict(check) for check in found], indent=2) + "\n")
    if as_json:
        sys.stdout.write((root / "faults.json").read_text())
    else:
        table = Table("fault", "stopped", "by (id in the audit log)", "what was found", title="Faults on purpose")
        for check in found:
            table.add_row(check.fault, "yes" if check.held else "NO", check.id, check.found)
        console.print(table)
    if not all(check.held for check in found):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
