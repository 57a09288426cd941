"""The monitor: rebuild, merge, tick, report, tell (as in ``streams.monitor``)."""

from typing import NamedTuple

from .state import Count, Key, Message
from .world import MATURITY, NEVER, PARTITIONS, WIDTH, Refused, Steps, Violation, World

REVISED = ("matured", "overdue", "late_label", "predictions.late", "predictions.duplicate", "outcomes.duplicate")


class Detector(NamedTuple):
    """A toy sequential test: order matters, and so does what it remembers."""

    evidence: int = 0
    latched: bool = False
    cooldown: int = 0

    def step(self, n: int, total: int) -> "tuple[Detector, bool, bool]":
        """The next state, whether to alert, whether to request a retraining."""
        evidence, cooldown = max(0, self.evidence + total - 4 * n), max(0, self.cooldown - 1)
        alert = evidence > 6 and not self.latched
        request = alert and cooldown == 0
        return Detector(evidence, (self.latched or alert) and evidence > 0, 3 if request else cooldown), alert, request


class Report(NamedTuple):
    """A tick: what it closed, what it tested, and the state after it."""

    model: str
    window: int
    counted: Count
    tested: Count
    detector: Detector
    first: int
    alerts: tuple[str, ...]
    requests: tuple[str, ...]


class Held:
    """What is known of a model: per partition the newest content, and how far it has come."""

    def __init__(self) -> None:
        self.seqs: dict[int, int] = {}
        self.heard: dict[int, int] = {}
        self.marks: dict[int, int] = {}
        self.rows: dict[tuple[int, Key], tuple[int, Count]] = {}
        self.changed: set[int] = set()
        self.last: Report | None = None

    def mark(self, partition: int, seq: int, marks: tuple[int, int], now: int) -> None:
        self.seqs[partition], self.marks[partition], self.heard[partition] = seq, min(marks), now

    def put(self, partition: int, key: Key, seq: int, count: Count, anyhow: bool = False) -> None:
        if anyhow or self.rows.get((partition, key), (-1, ()))[0] < seq:
            self.rows[partition, key] = seq, count
            if key[1] in REVISED:
                self.changed.add(key[2])

    def total(self, kind: str, window: int) -> Count:
        found = [count for (_, key), (_, count) in self.rows.items() if key[1:] == (kind, window)]
        return sum(n for n, _ in found), sum(total for _, total in found)


class Monitor:
    """One process of stage 2."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.group = world, name, world.monitors
        self.held: dict[str, Held] = {}
        self.at = 0
        self.join()

    def join(self) -> None:
        self.member, self.generation = self.world.name(self.name), -1
        self.group.join(self.member)

    def run(self) -> Steps:
        while True:
            yield
            match self.group.poll(self.member, self.generation):
                case "lost":
                    self.held = {}
                    self.join()
                case "revoke":
                    self.held = {}
                    self.group.join(self.member)
                case "assign":
                    self.held, self.generation = {}, self.group.generation
                    self.at = self.group.committed.get(0, 0)
                case "steady" if 0 in self.group.owned[self.member] and self.at < len(self.world.messages):
                    try:
                        yield from self.message(self.world.messages[self.at])
                    except Refused:
                        self.group.leave(self.member)
                        self.held = {}
                        self.join()

    def message(self, message: Message) -> Steps:
        mutant = self.world.mutant
        if mutant == "ack-first":
            yield from self.acknowledge()
        if fresh := message.model not in self.held:
            yield from self.rebuild(message.model)
        held = self.held[message.model]
        new = message.seq > held.seqs.get(message.partition, 0) or mutant == "no-dominance"
        if new:
            held.mark(message.partition, message.seq, message.marks, self.world.now)
            for key, count in message.changed.items():
                held.put(message.partition, key, message.seq, count, anyhow=mutant == "no-dominance")
        if new or (fresh and mutant != "no-evaluate-on-touch"):
            yield from self.evaluate(message.model, held)
        if mutant != "ack-first":
            yield from self.acknowledge()

    def acknowledge(self) -> Steps:
        yield from self.world.step()
        if not self.group.commit(self.member, self.generation, {0: self.at + 1}):
            raise Refused
        self.at += 1

    def rebuild(self, model: str) -> Steps:
        """The last report, then the heads, then the rows: no watermark without the content it vouches for."""
        world, held = self.world, Held()

        def last() -> Report | None:
            found = [report for (m, _), (_, report) in world.reports.items() if m == model]
            return max(found, key=lambda report: report.window, default=None)

        def rows() -> list[tuple[int, Key, int, Count]]:
            return [(p, key, seq, count) for (p, key), (seq, count) in world.partials.items() if key[0] == model]

        def heads() -> list[tuple[int, int, tuple[int, int]]]:
            return [(p, seq, head.marks[model]) for p, (seq, head) in world.heads.items() if model in head.marks]

        held.last = yield from world.query(last)
        found = yield from world.query(rows)
        yield from world.step()
        for p, seq, marks in (yield from world.query(heads)):
            held.mark(p, seq, marks, world.now)
        if world.mutant != "rebuild-rows-first":
            yield from world.step()
            found = yield from world.query(rows)
        for row in found:
            held.put(*row)
        if held.last is not None and world.mutant != "no-reemit":
            yield from self.tell(held.last)
        if held.last is not None and world.mutant == "detector-forgets":
            held.last = held.last._replace(detector=Detector())
        self.held[model] = held

    def evaluate(self, model: str, held: Held) -> Steps:
        """Every tick that all partitions have passed, in order."""
        while True:
            mark = self.watermark(held)
            counted = (key[2] for (_, key) in held.rows if key[1] == "predictions.counted")
            start = held.last.window + WIDTH if held.last else min(counted, default=None)
            if start is None or start + WIDTH > mark:
                return
            yield from self.tick(model, held, start)

    def watermark(self, held: Held) -> int:
        mutant, now = self.world.mutant, self.world.now
        if mutant == "no-watermark-order":
            return max(held.marks.values(), default=NEVER)
        marks = dict.fromkeys(range(PARTITIONS), NEVER) | held.marks
        if mutant == "idle-at-monitor":
            marks = {p: m for p, m in marks.items() if now - held.heard.get(p, 0) < 150} or marks
        return min(marks.values())

    def tick(self, model: str, held: Held, start: int) -> Steps:
        world, before = self.world, held.last
        yield from world.step()
        first = before.first if before else start
        counted, tested = held.total("predictions.counted", start), (0, 0)
        if start - MATURITY >= first:
            tested = held.total("matured", start - MATURITY)
        detector, alert, request = (before.detector if before else Detector()).step(*counted)
        name = f"{model}/{start}" if world.mutant != "random-alert-id" else f"{model}/{world.rng.random()}"
        report = Report(model, start, counted, tested, detector, first, (name,) * alert, (name,) * request)
        for window in sorted(w for w in held.changed if w < start + WIDTH):
            version = sum(seq for (_, key), (seq, _) in held.rows.items() if key[2] == window and key[1] in REVISED)
            content = {kind: held.total(kind, window) for kind in REVISED}
            yield from world.step()
            yield from self.revise((model, window), version, content)
            held.changed.discard(window)
        known = world.reports.get((model, start), (0, report))[1]
        if known != report and world.mutant != "random-alert-id":
            raise Violation("report", f"{known} is said again as {report}")
        yield from world.insert(world.reports, [((model, start), 0, report)])
        held.last = report
        yield from world.step()
        yield from self.tell(report)

    def revise(self, key: tuple[str, int], version: int, content: dict[str, Count]) -> Steps:
        """Who has read a revision never reads an older one afterwards, whoever wakes up and writes."""
        world = self.world
        row = key, 0 if world.mutant == "report-last-wins" else version, (version, content)
        yield from world.insert(world.revised, [row])
        world.revisions[key] = max(version, world.revisions.get(key, 0))
        if (stands := world.revised[key][1][0]) < world.revisions[key]:
            raise Violation("revision", f"{key} has gone back from {world.revisions[key]} to {stands}")

    def tell(self, report: Report) -> Steps:
        """Alerts and requests; receivers keep one of each id."""
        for topic, ids in ((self.world.alerts, report.alerts), (self.world.requests, report.requests)):
            yield
            topic.update(ids)
        self.world.changed_at = self.world.now
