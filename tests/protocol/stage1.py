"""The aggregator: assign, classify, checkpoint C1 - C7, adopt when idle (as in ``streams.aggregate``)."""

from collections.abc import Callable

from .state import NOTHING, SIDE_NAMES, SILENCE, Checkpoint, Message, State
from .world import (
    HORIZON,
    LABEL_HORIZON,
    LATENESS,
    MATURITY,
    MODELS,
    NEVER,
    SKEW,
    WIDTH,
    Record,
    Refused,
    Steps,
    Violation,
    World,
)


class Aggregator:
    """One process of stage 1."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.group = world, name, world.aggregators
        self.states: dict[int, State] = {}
        self.join()

    def join(self) -> None:
        self.member, self.generation = self.world.name(self.name), -1
        self.group.join(self.member)

    def drop(self) -> None:
        if self.world.mutant != "keep-state":
            self.states = {}

    def run(self) -> Steps:
        world = self.world
        while True:
            yield
            try:
                match self.group.poll(self.member, self.generation):
                    case "lost":
                        self.drop()
                        self.join()
                    case "revoke":
                        yield from self.checkpoint()
                        self.drop()
                        self.group.join(self.member)
                    case "assign":
                        self.drop()
                        self.generation = self.group.generation
                        yield from self.assign(self.group.owned[self.member])
                    case "steady":
                        yield from world.step()
                        for state in list(self.states.values()):
                            yield from self.batch(state)
                        if world.chance(0.3):
                            yield from self.checkpoint()
                        if world.chance(0.2):
                            yield from self.adopt_if_idle()
            except Refused:
                self.group.leave(self.member)
                self.drop()
                self.join()

    def assign(self, partitions: list[int]) -> Steps:
        """Pointers, then heads; repeat C5 - C7 of what is decided; go on where it ended."""
        world, starts = self.world, {}
        pointers = {p: self.group.committed.get(p, NOTHING) for p in partitions}
        for p in partitions:
            pointer: Checkpoint = pointers[p]
            head: Checkpoint = yield from world.query(lambda p=p: world.heads.get(p, (0, NOTHING))[1])  # type: ignore[misc]
            if not head.seq <= pointer.seq <= head.seq + 1:
                if self.group.committed.get(p, NOTHING) != pointer or not self.group.current(
                    self.member, self.generation
                ):
                    raise Refused
                raise Violation("pointer", p, pointer, head)
            redo = (p, pointer.seq, "-" if world.mutant == "no-owner" else pointer.owner)
            if world.mutant == "no-pointer":
                redo = max((key for key in world.redo if key[0] == p), default=redo)
            starts[p] = world.redo[redo][1] if pointer.seq else NOTHING
        if world.mutant != "no-redo":
            yield from self.reveal([start for start in starts.values() if start.seq], again=True)
        for p, start in starts.items():
            if p in self.states:
                continue  # only a mutant has kept it
            marks = {} if world.mutant == "watermark-not-kept" else start.marks
            state = State(p, self.member, start.seq, list(start.positions), {m: [*marks[m]] for m in marks}, world.now)
            state.committed = start.positions
            rows = yield from world.query(lambda p=p: {k[1]: v for k, (_, v) in world.partials.items() if k[0] == p})  # type: ignore[misc]
            state.counts = rows
            self.states[p] = state

    # Classify

    def batch(self, state: State) -> Steps:
        """Predictions against outcomes below the outcomes' position, then outcomes against predictions below theirs."""
        for side in range(2):
            log, at = self.world.logs[side][state.partition], state.positions[side]
            for record in log[at : at + self.world.rng.randrange(6)]:
                yield from self.classify(state, record)
                state.positions[side] = record.offset + 1

    def classify(self, state: State, record: Record) -> Steps:
        world, model, side = self.world, record.model, record.side
        dead = record.dead
        if world.mutant == "future-moves-clock":
            dead = record.bad
        if world.mutant == "wall-clock-future":
            dead = record.bad or record.time > world.clock + SKEW
        if dead:
            state.dead.append(record)
            state.count("", f"{SIDE_NAMES[side]}.dead", 0)
            return
        marks = state.marks.setdefault(model, [NEVER, NEVER])
        if record.home != record.partition:
            state.astray.append(record)
            state.count(model, f"{SIDE_NAMES[side]}.misrouted", record.window)
            return
        copies = yield from self.known(state, record, side)
        others = yield from self.known(state, record, 1 - side)
        recent = [copy for copy in copies if copy.ts >= record.ts - HORIZON or world.mutant == "dedupe-any-age"]
        late = side == 0 and record.window + WIDTH <= marks[0]
        verdict = "duplicate" if recent else "late" if late else "counted"
        state.count(model, f"{SIDE_NAMES[side]}.{verdict}", record.window, record.value)
        state.heard[model, side] = world.now
        state.accepted.append(record)
        state.memory[record] = verdict
        if not copies and others:
            other = min(others, key=lambda r: r.offset)
            was_late = late if side == 0 else others[other] == "late"
            pair = (record, other) if side == 0 else (other, record)
            self.join_pair(state, pair, was_late, side)
        marks[side] = max(marks[side], record.time - LATENESS)
        if world.chance(0.1):
            state.memory = {r: v for r, v in state.memory.items() if r in state.accepted}  # eviction

    def known(self, state: State, record: Record, side: int) -> Steps:
        """The rows of this id: memory has those since the last checkpoint, ClickHouse those below it."""
        world, p = self.world, state.partition
        duplicates = side == record.side
        below = state.committed[side]
        if world.mutant == ("unbounded-dedupe" if duplicates else "unbounded-join"):
            below = 10**9

        def read() -> dict[Record, str]:
            return {
                row: verdict
                for key, (_, (row, verdict)) in world.raw.items()
                if key[:2] == (side, p) and key[2] < below and (row.model, row.id) == (record.model, record.id)
            }

        found: dict[Record, str] = yield from world.query(read)
        if world.mutant == ("dedupe-memory-only" if duplicates else "join-memory-only"):
            found = {}
        mine = {r: v for r, v in state.memory.items() if (r.side, r.model, r.id) == (side, record.model, record.id)}
        return found | mine

    def join_pair(self, state: State, pair: tuple[Record, Record], late: bool, second: int) -> None:
        prediction, outcome = pair
        model, window = prediction.model, prediction.window
        if abs(outcome.time - prediction.time) > LABEL_HORIZON:
            state.count(model, "late_label", window)
            return
        labelled = state.marks[model][1]
        if self.world.mutant == "mature-by-label-time":
            labelled, late = outcome.time, False
        in_time = second == 0 or labelled < window + WIDTH + MATURITY
        value = int((prediction.value > 4) == bool(outcome.value))
        state.count(model, "matured" if in_time and not late else "overdue", window, value)

    # Idle

    def adopt_if_idle(self) -> Steps:
        """At the end of both logs, silent for long: adopt the largest watermark there is, in its own checkpoint."""
        world = self.world
        silent = [
            (state, model, side)
            for state in self.states.values()
            if all(len(world.logs[i][state.partition]) == state.positions[i] for i in range(2))
            for model in MODELS
            for side in range(2)
            if world.now - max(state.since, state.heard.get((model, side), 0)) >= SILENCE
        ]
        if not silent or world.mutant == "idle-at-monitor":
            return
        if world.mutant != "adopt-uncommitted":
            yield from self.checkpoint()
        recorded = yield from world.query(lambda: [head.marks for _, head in world.heads.values()])
        for state, model, side in silent:
            tops = [max((marks[model][i] for marks in recorded if model in marks), default=NEVER) for i in range(2)]
            top = tops[0] if side == 0 else max(tops[1], tops[0] - MATURITY)
            marks = state.marks.setdefault(model, [NEVER, NEVER])
            if top > marks[side]:
                marks[side] = top
                state.adoptions.append((model, side, state.positions[side], top))
        if world.mutant != "adopt-uncommitted":
            yield from self.checkpoint()

    # Checkpoint

    def checkpoint(self) -> Steps:
        """C1 - C7 of every partition that has changed, each step for all of them."""
        world, mutant = self.world, self.world.mutant
        states = [state for state in self.states.values() if state.dirty()]
        if not states:
            return
        redos = [self.redo(state) for state in states]
        raw = [
            ((r.side, r.partition, r.offset), 0 if mutant == "verdict-last-wins" else s.seq + 1, (r, s.memory[r]))
            for s in states
            for r in s.accepted
        ]
        yield from world.step()  # C0
        if mutant != "raw-after-commit":
            yield from world.insert(world.raw, raw)  # C1
        yield from world.step()
        for state in states:  # C2
            yield
            world.dead_letters.update(state.dead)
        if mutant != "forward-after-commit":
            yield from self.forward(states)
        yield from world.insert(world.redo, [((r.partition, r.seq, r.owner), 0, r) for r in redos])  # C3
        yield from world.step()
        if mutant == "publish-before-commit":
            yield from self.reveal(redos)
        yield from self.commit(redos)  # C4
        yield from world.step()
        if mutant == "raw-after-commit":
            yield from world.insert(world.raw, raw)
        if mutant == "forward-after-commit":
            yield from self.forward(states)
        yield from self.reveal(redos)  # C5 - C7
        for state, redo in zip(states, redos, strict=True):
            state.seq, state.committed = redo.seq, redo.positions
            state.changed, state.accepted, state.dead, state.astray, state.adoptions = set(), [], [], [], []

    def redo(self, state: State) -> Checkpoint:
        return Checkpoint(
            partition=state.partition,
            seq=state.seq + 1,
            owner="-" if self.world.mutant == "no-owner" else state.owner,
            positions=(state.positions[0], state.positions[1]),
            marks={model: (marks[0], marks[1]) for model, marks in state.marks.items()},
            changed={key: state.counts[key] for key in sorted(state.changed)},
            adoptions=tuple(state.adoptions),
        )

    def commit(self, redos: list[Checkpoint]) -> Steps:
        """One request for all partitions; anything but a success ends the membership."""
        while True:
            yield
            answer = self.group.commit(self.member, self.generation, {redo.partition: redo for redo in redos})
            if answer is None and self.world.mutant == "retry-commit":
                continue
            if not answer and self.world.mutant != "ignore-commit-result":
                raise Refused
            return

    def forward(self, states: list[State]) -> Steps:
        """Send misrouted events on, to where their ids live."""
        for state in states:
            for record in state.astray:
                yield
                event = (record.model, record.id, record.time, record.value, record.bad)
                self.world.append(record.side, record.home, event)

    def reveal(self, redos: list[Checkpoint], again: bool = False) -> Steps:
        """C5 - C7 of decided checkpoints; anybody may do it, any number of times."""
        world = self.world

        def rows() -> Steps:
            changed = [((r.partition, key), r.seq, count) for r in redos for key, count in r.changed.items()]
            yield from world.insert(world.partials, changed)
            yield from world.step()

        def heads() -> Steps:
            yield from world.insert(world.checkpoints, [((r.partition, r.seq, r.owner), 0, r) for r in redos])
            yield from world.insert(world.heads, [(r.partition, r.seq, r) for r in redos])
            yield from world.step()

        def messages() -> Steps:
            for redo in redos:
                for model, marks in redo.marks.items():
                    yield
                    changed = {key: count for key, count in redo.changed.items() if key[0] == model}
                    world.messages.append(Message(redo.partition, redo.seq, model, marks, changed))
                    world.changed_at = world.now
            yield from world.step()

        order: tuple[Callable[[], Steps], ...] = rows, heads, messages
        if world.mutant == "record-before-rows":
            order = heads, rows, messages
        if world.mutant == "publish-before-record":
            order = messages, rows, heads
        if again and world.mutant == "no-republish":
            order = rows, heads
        for step in order:
            yield from step()
