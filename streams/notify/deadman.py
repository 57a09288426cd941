"""Dead-man rules: what has stopped without a word. Pure; the caller hands in the time, what arrived and what is open.

Decisions about models are functions of the log in event time. These are not, on purpose: only a clock can tell that
nothing comes any more. All times here are ms since the epoch, by the clock of whoever asks.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from schemas.ids import content_id
from schemas.lifecycle import Condition, Incident
from schemas.partials import model_key
from schemas.spec import ModelSpec, milliseconds
from schemas.windows import NEVER, Windows
from streams.notify import deadman_words as words
from streams.notify.usual import MINUTE, Arrivals
from streams.notify.words import INSTALLATION

Rule = Literal["ModelSilent", "OutcomesSilent", "MonitorStalled"]
Side = Literal["predictions", "outcomes"]

SHORTEST = 5 * MINUTE
"""No silence that is shorter is worth a page."""

UNKNOWN = 60 * MINUTE
"""The limit of what has no rhythm yet: fewer than two minutes in which something arrived."""

_SIDES: dict[str, Side] = {"ModelSilent": "predictions", "OutcomesSilent": "outcomes"}
"""What does not come, by rule."""

_TIMES_USUAL = 3
_MANY = 1_000


@dataclass(slots=True)
class _Heard:
    """One side of a model."""

    arrivals: Arrivals = field(default_factory=Arrivals)
    last: int | None = None
    flowing_since: int | None = None
    paused: bool = False

    def limit(self, at: int, shortest: int = SHORTEST) -> int:
        usual = self.arrivals.usual(at)
        return max(_TIMES_USUAL * usual, shortest) if usual else max(UNKNOWN, shortest)


@dataclass(slots=True)
class _Model:
    """What is known of one model."""

    spec: ModelSpec
    grid: Windows
    heard: dict[Side, _Heard] = field(default_factory=lambda: {"predictions": _Heard(), "outcomes": _Heard()})
    marks: dict[int, int] = field(default_factory=dict)
    boundary: int | None = None
    due: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_MANY))
    reported_when: int = NEVER


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule that holds now."""

    namespace: str
    model: str
    team: str
    cause: int
    condition: Condition


class DeadMan:
    """The rules of one installation.

    Args:
        partitions: source partitions; a window is due when all of them have passed its end.
        stalled_after: for so long, in ms, events may wait to be counted.
    """

    def __init__(self, partitions: int, stalled_after: int = SHORTEST) -> None:
        self._partitions = partitions
        self._stalled_after = max(stalled_after, SHORTEST)
        self._models: dict[str, _Model] = {}
        self._calm: dict[str, int] = {}

    def know(self, specs: Mapping[str, ModelSpec]) -> list[str]:
        """Watch these models and no others; returns the names (``namespace/model``) of those that are new."""
        for gone in self._models.keys() - specs.keys():
            del self._models[gone]
        new = sorted(specs.keys() - self._models.keys())
        for key, spec in specs.items():
            if key in self._models:
                self._models[key].spec, self._models[key].grid = spec, spec.grid()
            else:
                self._models[key] = _Model(spec, spec.grid())
        return new

    def remember(self, key: str, side: Side, minutes: Iterable[int]) -> None:
        """What a table knows of a model's arrivals: minutes since the epoch."""
        if (model := self._models.get(key)) is not None:
            heard = model.heard[side]
            heard.arrivals.extend(minutes)
            last = heard.arrivals.last
            if last is not None and (heard.last is None or last > heard.last):
                heard.last = last
                heard.flowing_since = heard.flowing_since or last

    def arrived(self, key: str, side: Side, at: int) -> None:
        """An event of a model was counted, late or a duplicate."""
        if (model := self._models.get(key)) is None:
            return
        heard = model.heard[side]
        if heard.last is None or heard.paused:
            heard.flowing_since, heard.paused = at, False
        heard.arrivals.add(at)
        heard.last = max(at, heard.last or at)

    def passed(self, key: str, partition: int, watermark: int, at: int) -> None:
        """A source partition's watermark of a model, the lower of both sides."""
        if (model := self._models.get(key)) is None:
            return
        model.marks[partition] = max(watermark, model.marks.get(partition, NEVER))
        if len(model.marks) < self._partitions or (lowest := min(model.marks.values())) == NEVER:
            return
        boundary = model.grid.start(lowest)
        # Which windows were reported before we looked is not known: the first boundary is where watching starts.
        if model.boundary is not None and boundary > model.boundary:
            model.due.append((boundary, at))
        model.boundary = max(boundary, model.boundary or boundary)

    def reported(self, key: str, through: int, at: int) -> None:
        """The monitor reported a model's window that ends at ``through``."""
        if (model := self._models.get(key)) is not None:
            while model.due and model.due[0][0] <= through:
                model.due.popleft()
            model.reported_when = max(at, model.reported_when)

    def tick(
        self, now: int, *, through: int, clickhouse_away_since: int | None, lasting: Sequence[Incident]
    ) -> list[Incident]:
        """What to tell now: incidents opened, grown or resolved.

        Args:
            now: the time.
            through: all that arrived before this instant has been counted.
            clickhouse_away_since: None while it answers.
            lasting: all open incidents of dead-man rules.
        """
        found = self._stalled(now, through, clickhouse_away_since)
        found += [silent for key in sorted(self._models) for silent in self._silent(key, through)]
        told = []
        known = {(_rule(incident), incident.namespace, incident.model): incident for incident in lasting}
        active: set[str] = set()
        for what in _grouped(found):
            rule = what[0].condition.name
            before = known.get((rule, what[0].namespace, what[0].model))
            if before is None:
                told.append(_opened(rule, what, now))
                continue
            active.add(before.id)
            keys = {condition.key for condition in before.conditions}
            if new := [one.condition for one in what if one.condition.key not in keys]:
                conditions = [*before.conditions, *new]
                told.append(words.complete(replace(before, updated=now, changed=now, conditions=conditions)))
        return told + self._resolved(now, lasting, active)

    def _resolved(self, now: int, lasting: Sequence[Incident], active: set[str]) -> list[Incident]:
        """What has been over for longer than its limit, so that what comes and goes does not ring each time."""
        told = []
        for incident in lasting:
            over = replace(incident, updated=now, changed=now, state="resolved")
            if self._unknown(incident):
                told.append(words.unwatched(over))
            elif incident.id in active or self._still(incident):
                self._calm.pop(incident.id, None)
            elif now - self._calm.setdefault(incident.id, now) >= words.calm(incident):
                told.append(words.over(over))
        self._calm = {incident.id: self._calm[incident.id] for incident in lasting if incident.id in self._calm}
        return told

    def _unknown(self, incident: Incident) -> bool:
        """Whether an incident's model is watched no more."""
        return incident.model != INSTALLATION and model_key(incident.namespace, incident.model) not in self._models

    def _still(self, incident: Incident) -> bool:
        """Whether nothing has arrived since a silence began: that the limit of another hour is longer ends nothing.

        By the minute, which is all that a table remembers.
        """
        side = _SIDES.get(_rule(incident))
        if side is None:
            return False
        last = self._models[model_key(incident.namespace, incident.model)].heard[side].last
        return last is None or last // MINUTE <= incident.conditions[0].since // MINUTE

    def _silent(self, key: str, through: int) -> list[_Found]:
        model = self._models[key]
        predictions, outcomes = model.heard["predictions"], model.heard["outcomes"]
        if predictions.last is None:
            return []
        namespace, name = key.split("/", 1)
        limit, silence = predictions.limit(through), through - predictions.last
        if silence > limit:
            predictions.paused = True
            condition = words.model_silent(key, predictions.last, silence, limit, predictions.arrivals.usual(through))
            return [_Found(namespace, name, model.spec.team, predictions.last, condition)]
        if outcomes.last is None:
            return []
        # Labels come later than what they are of: after a pause of predictions they may take as long as they mature.
        maturity = milliseconds(model.spec.windows.label_maturity)
        since = max(outcomes.last, (predictions.flowing_since or NEVER) + maturity)
        usual = outcomes.arrivals.usual(through)
        limit = outcomes.limit(through, SHORTEST if usual else max(SHORTEST, maturity))
        if through - since <= limit:
            return []
        condition = words.outcomes_silent(key, outcomes.last, through - outcomes.last, limit, usual)
        cause = max(outcomes.last, predictions.flowing_since or outcomes.last)
        return [_Found(namespace, name, model.spec.team, cause, condition)]

    def _stalled(self, now: int, through: int, away_since: int | None) -> list[_Found]:
        def installation(cause: int, condition: Condition) -> _Found:
            return _Found(INSTALLATION, INSTALLATION, "default", cause, condition)

        found = []
        if away_since is not None and now - away_since > self._stalled_after:
            found.append(installation(away_since, words.clickhouse_away(away_since, now, self._stalled_after)))
        if now - through > self._stalled_after:
            found.append(installation(through, words.nothing_counted(through, now, self._stalled_after)))
        if found:
            return found
        late = dict[str, tuple[int, int, int]]()
        for key, model in self._models.items():
            if model.due and now - max(model.due[0][1], model.reported_when) > self._stalled_after:
                late[key] = *model.due[0], max(model.due[0][1], model.reported_when)
        if len(late) > 1:
            # One cause most likely, and one page.
            first, stopped = min(at for _, at, _ in late.values()), min(when for _, _, when in late.values())
            return [installation(stopped, words.no_reports(sorted(late), first, now, self._stalled_after))]
        for key, (boundary, at, stopped) in late.items():
            namespace, name = key.split("/", 1)
            condition = words.no_report(key, boundary, at, now, self._stalled_after)
            found.append(_Found(namespace, name, self._models[key].spec.team, stopped, condition))
        return found


def _rule(incident: Incident) -> str:
    return incident.conditions[0].name


def _grouped(found: Iterable[_Found]) -> list[list[_Found]]:
    groups: dict[tuple[str, str, str], list[_Found]] = {}
    for one in found:
        groups.setdefault((one.condition.name, one.namespace, one.model), []).append(one)
    return list(groups.values())


def _opened(rule: str, what: Sequence[_Found], now: int) -> Incident:
    """A new incident; its id is that of whoever else finds the same silence."""
    first = what[0]
    return words.complete(
        Incident(
            id=content_id("incident", rule, first.namespace, first.model, first.cause),
            namespace=first.namespace,
            model=first.model,
            opened=now,
            updated=now,
            changed=now,
            state="open",
            conditions=[one.condition for one in what],
            severity=first.condition.severity,
            team=first.team,
        )
    )
