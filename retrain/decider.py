"""One tick of the rollout, decided and recorded; blocking, and without Kafka but for the specs.

Decide, record in ClickHouse, then tell: the row of ``rollouts`` is written last, holds the state after the tick, and
is the outbox of the tick's messages. What is repeated after a crash writes the same rows.
"""

import msgspec
import structlog
from msgspec import Struct

from detectors import gate
from retrain import examine, machine, paired
from retrain.answers import find_answer
from retrain.judge import Finding
from retrain.machine import Baseline, Effects, Tick
from retrain.models import ModelBook, UnknownGeneration
from retrain.paired import Observation
from retrain.state import Contender, State, public
from retrain.store import BlobError, Store
from schemas.ids import canonical_json
from schemas.lifecycle import Candidate, Report, Request, Rollout
from schemas.models import ModelRecord
from schemas.settings import Settings
from schemas.spec import ModelSpec, milliseconds
from schemas.tables import AUDIT, PAIRED_WINDOWS, ROLLOUTS
from schemas.windows import from_ms
from warehouse.client import Warehouse

log = structlog.get_logger()

_NEWEST_WINDOW = """
SELECT toUnixTimestamp64Milli(max(window_start)) FROM partials
WHERE namespace = {namespace:String} AND model = {model:String} AND view = 'tally'
"""

ModelKey = tuple[str, str]


class Outbox(Struct, frozen=True):
    """What a tick tells: ``record`` (first, if any) and ``rollout``."""

    rollout: Rollout
    record: ModelRecord | None = None


class _Row(Struct, frozen=True):
    """The ``state`` column of ``rollouts``."""

    machine: State
    record: ModelRecord | None = None


class _Held(Struct):
    """What is remembered of a model between doorbells; ClickHouse has all of it.

    Attributes:
        at: last decided tick, None before the first.
        width: of the windows then, in milliseconds; 0 if not known.
        reports: reports that came as messages and are not decided, by their ``at``.
    """

    state: State
    at: int | None = None
    width: int = 0
    reports: dict[int, Report] = {}


class Decider:
    """Decides ticks of all models; one thread at a time."""

    def __init__(self, settings: Settings, warehouse: Warehouse, store: Store) -> None:
        self._warehouse = warehouse
        self._store = store
        self._models = ModelBook(settings)
        self._specs: dict[tuple[str, str, int], ModelSpec] = {}
        self._held: dict[ModelKey, _Held] = {}

    def forget(self, key: ModelKey | None = None) -> None:
        """Drop what is remembered (of all models): the next touch reads ClickHouse."""
        if key is None:
            self._held.clear()
        else:
            self._held.pop(key, None)

    def touch(self, key: ModelKey, report: Report | None = None) -> Outbox | None:
        """Take note of a report; on the first touch load the last row and return its messages, to be sent again."""
        again = None
        if key not in self._held:
            self._held[key], again = self._load(key)
        held = self._held[key]
        if report is not None and (held.at is None or report.at > held.at):
            held.reports[report.at] = report
        return again

    def decide(self, key: ModelKey) -> Outbox | None:
        """Decide the next tick of a touched model, if everything that it needs is there; record it."""
        held = self._held[key]
        report = self._next_report(key, held)
        if report is None:
            return None
        spec = self._spec(report.namespace, report.model, report.generation)
        answers: list[tuple[Request, Candidate]] = []
        for request in machine.due(held.state, tuple(report.requests), report.at):
            candidate = find_answer(self._warehouse, request)
            if candidate is None:
                held.reports[report.at] = report
                return None
            answers.append((request, candidate))
        tick = Tick(
            at=report.at,
            requests=tuple(report.requests),
            observation=self._observe(held.state, spec, report),
            answers=tuple(answers),
        )
        state, effects = machine.step(held.state, spec.gate, tick, self._judge)
        outbox = Outbox(
            rollout=public(state, report.at),
            record=self._generation(spec, report, effects.baseline) if effects.baseline else None,
        )
        self._record(key, tick, state, effects, outbox)
        held.state, held.at, held.width = state, report.at, milliseconds(spec.windows.width)
        held.reports = {at: kept for at, kept in held.reports.items() if at > report.at}
        return outbox

    def _load(self, key: ModelKey) -> tuple[_Held, Outbox | None]:
        rows = self._warehouse.rows(
            "SELECT toUnixTimestamp64Milli(`at`), body, state FROM rollouts FINAL "
            "WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY `at` DESC LIMIT 1",
            {"namespace": key[0], "model": key[1]},
        )
        if not rows:
            return _Held(State(namespace=key[0], model=key[1])), None
        ((at, body, state),) = rows
        row = msgspec.json.decode(state, type=_Row)
        return _Held(row.machine, at=int(at)), Outbox(msgspec.json.decode(body, type=Rollout), row.record)

    def _next_report(self, key: ModelKey, held: _Held) -> Report | None:
        """The report after the last decided one; the monitor writes them in order, so the oldest newer row is it."""
        if held.at is not None and held.at + held.width in held.reports:
            return held.reports[held.at + held.width]
        rows = self._warehouse.rows(
            "SELECT body FROM reports FINAL WHERE namespace = {namespace:String} AND model = {model:String} "
            "AND `at` > fromUnixTimestamp64Milli({after:Int64}, 'UTC') ORDER BY `at` LIMIT 1",
            {"namespace": key[0], "model": key[1], "after": -1 if held.at is None else held.at},
        )
        return msgspec.json.decode(rows[0][0], type=Report) if rows else None

    def _judge(self, request: Request, candidate: Candidate, champion: Contender | None) -> Finding:
        """By the generation that the snapshot was made by, which may be older than the tick's."""
        spec = self._spec(request.namespace, request.model, request.generation)
        return examine.examine(self._store, spec, request, candidate, champion)

    def _spec(self, namespace: str, model: str, number: int) -> ModelSpec:
        generation = (namespace, model, number)
        if generation not in self._specs:
            try:
                self._specs[generation] = self._models.record(*generation).parsed()
            except UnknownGeneration:
                oldest = self._models.generations(namespace, model)[0]
                if number > oldest.generation:
                    raise
                # The model was deleted and declared again since: what is left of it is decided by the new document.
                return oldest.parsed()
        return self._specs[generation]

    def _observe(self, state: State, spec: ModelSpec, report: Report) -> Observation | None:
        width, maturity = milliseconds(spec.windows.width), milliseconds(spec.windows.label_maturity)
        window_start = report.at - maturity - width
        if state.trial is None or not machine.wants(state, window_start):
            return None
        return paired.observe(
            self._warehouse,
            namespace=report.namespace,
            model=report.model,
            challenger=state.trial.challenger.version,
            champion=state.trial.opponent.version,
            window_start=window_start,
            width=width,
            maturity=maturity,
            as_of=report.as_of,
        )

    def _generation(self, spec: ModelSpec, report: Report, baseline: Baseline) -> ModelRecord | None:
        """The generation that begins with a reference: the same spec, and what was normal.

        One cause makes one generation: if another process took this step and published its record, before it died or
        lost the partition, it is this one, and not the one before the next. None when the reference cannot be had.
        """
        known = self._models.generations(report.namespace, report.model)
        for record in known:
            if record.cause_id == baseline.cause_id:
                return record
        try:
            reference = examine.reference(self._store, baseline.manifest)
        except (BlobError, examine.NoReference) as error:
            log.error("rollout.no_reference", cause=baseline.cause_id, error=str(error))
            return None
        return known[-1].next(
            reference=reference,
            effective_from=first_uncounted(self._warehouse, report, milliseconds(spec.windows.width)),
            cause_id=baseline.cause_id,
        )

    def _record(self, key: ModelKey, tick: Tick, state: State, effects: Effects, outbox: Outbox) -> None:
        at = from_ms(tick.at)
        if tick.observation is not None and effects.trial is not None:
            seen, trial = tick.observation, effects.trial
            better, worse = gate.e_value(trial.better), gate.e_value(trial.worse)
            numbers = [seen.n, seen.difference, better, worse, trial.better.share_clipped]
            pair = [from_ms(seen.window_start), seen.challenger, seen.champion]
            self._warehouse.insert(PAIRED_WINDOWS, [[*key, *pair, *numbers]])
        self._warehouse.insert(AUDIT, [row.row() for row in effects.audit])
        row = _Row(state, outbox.record)
        body, after = canonical_json(outbox.rollout).decode(), canonical_json(row).decode()
        self._warehouse.insert(ROLLOUTS, [[*key, at, body, after]])
        for entry in effects.audit:
            log.info(f"rollout.{entry.kind}", id=entry.id, version=entry.version, text=entry.body.get("text"))


def first_uncounted(warehouse: Warehouse, report: Report, width: int) -> int:
    """Start of the first window from ``report.at`` on of which nothing is counted yet, in milliseconds.

    A new generation begins there: a window that was begun under the old one, without reference, stays there whole.
    Sources that wait for ``decided_through`` (the demo's) have sent nothing later, and it is ``report.at``. Of others
    it depends on when it is asked; so it is asked once, and kept in the outbox.

    A small race is left: the aggregator may begin one more window after it was asked and before the generation
    reaches the ``models`` topic. Rows of that window are then counted partly under each generation, and the features
    that are shown of it, in the bins of the new one, are those of the second part.

    Args:
        warehouse: where the partials are.
        report: of the tick that decided on the generation.
        width: of the model's windows, in milliseconds.
    """
    ((newest,),) = warehouse.rows(_NEWEST_WINDOW, {"namespace": report.namespace, "model": report.model})
    return max(report.at, int(newest) + width)
