"""The decision clock of one model: what is held, what was decided, and the next tick. No I/O, no clock.

Tick ``at`` runs when every partition's watermarks have passed it. What it decides is a function of the log before
``at``, so whoever runs it, in whatever order the messages came, decides the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from schemas.lifecycle import PerformanceWindow, Report
from schemas.partials import ALL, PartialMessage
from streams.monitor import (
    alarms,
    calibrating,
    collecting,
    conditions,
    context,
    life,
    observing,
    page,
    requests,
    rules,
    volume,
    watching,
)
from streams.monitor.close import Metric, closed, traffic, unclean
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.labelled import revised, tested
from streams.monitor.state import State


@dataclass(frozen=True, slots=True)
class Tick:
    """All that one tick decided."""

    report: Report
    state: State
    metrics: list[Metric]


class ModelMonitor:
    """One model's partials and state."""

    def __init__(self, namespace: str, model: str, held: Held, state: State | None = None) -> None:
        """Go on from ``state``, the one of the last tick; None before the first."""
        self.namespace = namespace
        self.model = model
        self.held = held
        self.state = state

    def apply(self, message: PartialMessage) -> bool:
        """Take a checkpoint's changes; False when they are old.

        Raises:
            ValueError: the message is from a partition that does not exist.
        """
        return self.held.apply(message)

    def lacks(self, messages: Iterable[PartialMessage]) -> bool:
        """Whether one of these says that there is something new without saying what."""
        return any(not message.whole and not self.held.has(message.partition, message.seq) for message in messages)

    def due(self, generations: Generations) -> int | None:
        """Start of the window that the next tick closes; None when not all partitions have passed its end."""
        start = self.state.at if self.state else self._first()
        if start is None or start + generations.at(start).width > self.held.watermark():
            return None
        return start

    def tick(self, start: int, generations: Generations) -> Tick:
        """Decide on the end of the window that starts at ``start``, which must be what :meth:`due` returned."""
        held, generation = self.held, generations.at(start)
        at = start + generation.width
        before = self.state or State(first=start, at=start)
        marks = held.passed(at)
        who = {"namespace": self.namespace, "model": self.model}

        # 1. Close the window.
        metrics = list(closed(held, generation, start))

        # 2. Test, once, the window whose labels are mature now.
        mature = start - generation.maturity
        judged: list[PerformanceWindow] = []
        run, newest, labelled = before.run, before.tested, None
        others: list[PerformanceWindow] = []
        tested_generation = generations.at(mature) if mature >= before.first else generation
        if mature >= before.first:
            judged, numbers = tested(held, tested_generation, mature)
            metrics += numbers
            led = observing.leading(held.served(mature), newest.version if newest else "")
            labelled = next((window for window in judged if window.version == led), None)
            others = [window for window in judged if window is not labelled and window.version in held.served(mature)]
            newest = labelled or newest
            run = conditions.advance(run, labelled, tested_generation)

        # 3. Revise what late events and late labels have changed.
        for window_start in sorted(w for w in held.changed if w < at):
            metrics += unclean(held, generations.at(window_start), window_start)
            metrics += revised(held, generations.at(window_start), window_start)
            held.changed.discard(window_start)

        # 4. Say what the scores let one expect, unless labels say that they mean something else now.
        meant = calibrating.judge(before, held, generation, start, tested=tested_generation, labelled=labelled)
        metrics += meant.expected

        # 5. Update the incident.
        served, tested_by = self._served(start), self._served(mature) if mature >= before.first else None
        ruled, found_by_rules = rules.judge(
            before.rules, generation, metrics, window=start, served=served, mature=mature, tested_by=tested_by
        )
        # What a team's models share is known by the tick before: a repeated tick decides by the same.
        pages = generations.pages if before.pages is None else before.pages
        evidence = alarms.weigh(
            held,
            before,
            alarms.Windows(generation, start, tested_generation, labelled, others),
            pages=pages,
            estimate_error=meant.error,
            rebaselined=generations.rebaselined(start),
        )
        by_hard_rules = conditions.find(held, generation, start, served, None if evidence.of_loss else run, pages=pages)
        counted = traffic(held, start)[ALL]
        by_volume = volume.judge(before.volume, generation, start, counted, pages=pages)
        found = by_hard_rules | found_by_rules | evidence.found | by_volume.found
        team = generation.spec.team
        incident, quiet = life.update(before.incident, before.quiet, found, **who, team=team, at=at)
        resolved = incident is not None and incident.state == "resolved"
        state = replace(
            before,
            at=at,
            rows=before.rows + counted,
            seqs={str(partition): mark.seq for partition, mark in marks.items()},
            run=run,
            tested=newest,
            rules=ruled,
            quiet=quiet,
            watched=watching.released(evidence.watched) if resolved else evidence.watched,
            matured=meant.matured,
            leading=evidence.leads,
            newcomers=evidence.newcomers,
            pages=generations.pages,
            volume=by_volume.seen,
            scored=meant.scored,
        )

        # 6. Decide on a request: for a training, or, where nothing is trained, for a reference.
        # What is wrong with a version beside the one that leads is no reason to train anew.
        grounds = found.without("labelled_loss", {window.version for window in others})
        if not any(condition.kind == "labelled_loss" for condition in grounds.active):
            grounds |= conditions.above_band(held, generation, start, run)
        request, state = requests.ask(
            state, generations.at(at), found=grounds, incident=incident, marks=marks, **who, at=at
        )
        reference, state = collecting.ask(state, generations.at(at), marks=marks, **who, at=at)

        # 7. Say what the incident means, and what was done.
        if incident is not None:
            scene = page.Scene(
                generation=generation,
                window=start,
                at=at,
                active=frozenset(condition.key for condition in found.active),
                unknown=found.unknown,
                quiet=quiet,
                moved=context.moved(held, generation, start),
                state=state,
                claim=evidence.claim,
                pages=pages,
            )
            incident = page.tell(incident, scene)
        state = replace(state, incident=incident if incident is not None and incident.state == "open" else None)

        report = Report(
            namespace=self.namespace,
            model=self.model,
            at=at,
            window_start=start,
            generation=generation.number,
            as_of={str(partition): mark.positions for partition, mark in marks.items()},
            counted=counted,
            tested=judged,
            incident=incident,
            requests=[asked for asked in (request, reference) if asked],
            not_judged=tuple(generation.not_judged),
            pages=pages,
            claim=evidence.claim,
            streams=tuple(evidence.streams),
        )
        self.state = state
        held.forget(at, generations.floor(start))
        return Tick(report, state, metrics)

    def _first(self) -> int | None:
        """The first window in which anything was counted, once nothing can come before it any more."""
        held = self.held
        return next((w for w in held.windows() if held.tally(w, "predictions.counted")), None)

    def _served(self, window: int) -> str | None:
        """Who gave most of the answers of a window that were used (the first by name of equals).

        The log says so itself; what a rollout has published by now would depend on how far stage 4 has come.
        """
        answers = self.held.served(window)
        return min(answers, key=lambda version: (-answers[version], version), default=None)
