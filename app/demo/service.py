"""The demo's live model: ``python -m app.demo.service``. Day by day it asks the router, answers, sends what happened.

It keeps nothing on disk but the router's cache: killed at any point, it finds in the topics how far it had come and
goes on with the next record, so that not one offset differs.
"""

import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated

import structlog
import typer
from driftline import Decision, Emitter, NotDecided, Router

from app import status, wiring
from app.demo import flights as data
from app.demo import model, resume
from app.demo.injector import Injector
from app.demo.sabotage import NONE, Sabotage
from app.demo.serving import Serving
from app.demo.step import Answer, Identity, content
from app.supervisor import GAVE_UP, end_with_supervisor
from schemas.settings import Settings
from schemas.windows import from_ms, iso
from warehouse.client import Warehouse

log = structlog.get_logger()

FIRST_STEP = data.step_on(date(2013, 1, 1))
SEED = 2013
BARRIER_SECONDS = 660.0
"""Longest wait for the circle: more than a fit may take (``retraining.max_runtime``), or a slow one ended the demo."""


class StageLate(RuntimeError):
    """A stage, or the broker, keeps the circle waiting; the message names it."""


def last_step(until: date) -> int:
    """The step after ``until``: nothing departs in it, the last day's late arrivals and maturity do come."""
    return data.step_on(until) + 1


class Service:
    """One model's service over the steps of simulated time.

    Args:
        settings: where Kafka and the store are.
        flights: the data.
        until: last day that flights depart on.
        warehouse: public records: the decision of an earlier step after a restart, and who is late.
        cache: the router's.
        sabotage: bugs that the service has.
    """

    def __init__(
        self,
        settings: Settings,
        flights: data.Flights,
        *,
        until: date,
        warehouse: Warehouse,
        cache: Path,
        sabotage: Sabotage = NONE,
    ) -> None:
        declared = model.document().metadata
        self.identity = Identity(declared.namespace, declared.name)
        self._settings = settings
        self._flights = flights
        self._last = last_step(until)
        self._warehouse = warehouse
        self._injector = Injector(SEED)
        self._serving = Serving(wiring.open_store(settings), sabotage)
        # Without gaps, what a partition holds of a step is a prefix of it, from which a restart goes on.
        gapless = settings.kafka(**{"enable.gapless.guarantee": True})
        self._emitter = Emitter(gapless, *self._names, topic_prefix=settings.topic_prefix)
        self._router = Router(settings.kafka(), *self._names, cache_path=cache, topic_prefix=settings.topic_prefix)

    @property
    def _names(self) -> tuple[str, str]:
        return self.identity.namespace, self.identity.model

    def run(self) -> None:
        """Send what is left of all steps.

        Raises:
            StageLate: the barrier did not open in time, or what is decided could not be read.
            ConnectionError: the broker did not take everything; start again, nothing is sent twice.
        """
        position = resume.find(self._settings, *self._names)
        first = FIRST_STEP if position.base is None else data.step_of(position.base)
        log.info("service.starts", step=iso(data.step_start(first)), already_sent=position.sent.total())
        before: list[Answer] = []
        if first > FIRST_STEP:
            before = self._answers(self._decided(first - 1), first - 1)
            self._wait(data.step_start(first))
        for step in range(first, self._last + 1):
            before = self.step(step, before, position)
            position = resume.Position()
        log.info("service.done", **{name: getattr(self._emitter.stats(), name) for name in ("delivered", "failed")})

    def step(self, step: int, before: list[Answer], position: resume.Position) -> list[Answer]:
        """One step: route, answer, send, promise, wait. Returns the answers, some of which are sent in the next step.

        Args:
            step: which one; everything before it is decided.
            before: answers of the previous step.
            position: what was sent of this step before a restart.
        """
        # 1. Routing is frozen for the step: the decision takes in all that happened before it.
        self._refresh(step)
        # 2. One batch per version.
        answers = self._answers(self._router.decision, step) if step < self._last else []
        # 3. In the order of event time.
        messages = content(self._flights, step, answers, before, injector=self._injector, identity=self.identity)
        for message in position.missing(messages):
            self._emitter.send(message.topic, message.prediction_id, message.body)
        self._delivered()
        # 4. Promise, in every partition, that the step is complete: only now that it is.
        end = data.step_start(step + 1)
        self._emitter.progress(from_ms(end), done=position.promised)
        self._delivered()
        # 5. The next step starts when all of this one is decided.
        self._wait(end)
        return answers

    def _delivered(self) -> None:
        self._emitter.flush(60)
        stats = self._emitter.stats()
        if stats.pending or stats.failed or stats.dropped:
            raise ConnectionError(f"the broker did not take all events of the step: {stats}")

    def _answers(self, decision: Decision, step: int) -> list[Answer]:
        return self._serving.answers(decision, self._flights.departing(step))

    def _decided(self, step: int) -> Decision:
        """The decision that was in force in a step, from the public record."""
        rows = self._warehouse.rows(
            "SELECT argMax(body, at), count() FROM rollouts WHERE namespace = {namespace:String} "
            "AND model = {model:String} AND at <= fromUnixTimestamp64Milli({start:Int64}, 'UTC')",
            {"namespace": self.identity.namespace, "model": self.identity.model, "start": data.step_start(step)},
        )
        return Decision.parse(json.loads(rows[0][0])) if rows[0][1] else Decision()

    def _refresh(self, step: int) -> None:
        """Read what is decided, to the end."""
        deadline = time.monotonic() + BARRIER_SECONDS
        while not self._router.refresh(timeout=30):
            if time.monotonic() >= deadline:
                raise StageLate(
                    f"topic {self._settings.topic('rollouts')} could not be read to its end within {BARRIER_SECONDS:g} "
                    f"s: see that Kafka is up and can be reached at {self._settings.bootstrap_servers}"
                )
            log.warning("service.waits_for_rollouts", step=step)

    def _wait(self, through: int) -> None:
        try:
            self._router.wait_decided(through, BARRIER_SECONDS)
        except NotDecided as error:
            found = [state for state in status.models(self._warehouse) if (state.namespace, state.model) == self._names]
            late = found[0].late_stage(through) if found else "aggregate"
            raise StageLate(f"the stage {late} is late: {error}; see its log") from error


def main(
    until: Annotated[str, typer.Option(help="Last day of 2013 that flights depart on.")] = "2013-12-31",
    cache: Annotated[Path, typer.Option(help="Folder of the parsed flights.")] = Path("var/cache"),
    decision_cache: Annotated[Path, typer.Option(help="The router's cache.")] = Path("var/demo/decision.json"),
    celsius: Annotated[str, typer.Option(help="Sabotage: this version gets its temperatures in °C.")] = "",
    upside_down: Annotated[str, typer.Option(help="Sabotage: FIRST/LAST day on which scores are inverted.")] = "",
) -> None:
    """Run the demo's service; addresses come from DRIFTLINE_* in the environment."""
    wiring.configure_logging("service")
    end_with_supervisor()
    settings = wiring.load_settings()
    flights = data.load(cache)
    warehouse = wiring.open_warehouse(settings)
    days = [date.fromisoformat(day) for day in upside_down.split("/") if day]
    service = Service(
        settings,
        flights,
        until=date.fromisoformat(until),
        warehouse=warehouse,
        cache=decision_cache,
        sabotage=Sabotage(celsius, (days[0], days[1]) if days else None),
    )
    try:
        service.run()
    except StageLate as error:
        log.error("service.gave_up", error=str(error))
        sys.exit(GAVE_UP)


if __name__ == "__main__":
    typer.run(main)
