"""One schedule: who moves next, and which fault comes when, all from one seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from .oracle import check, check_revised
from .producers import new_records
from .stage1 import Aggregator
from .stage2 import Monitor
from .world import END, MODELS, PARTITIONS, WIDTH, Group, Steps, Violation, World

NAMES = ("aggregator1", "aggregator2", "monitor1", "monitor2")
LIMIT, QUIET = 30_000, 600
"""Steps after which a schedule must have ended; steps without a change after which it has."""


@dataclass
class Process:
    """A process: killed when it is forgotten, stopped until ``wakes``."""

    work: Aggregator | Monitor
    steps: Steps
    wakes: int = 0


def run(seed: int, mutant: str = "") -> None:
    """Run one schedule to its quiet end and compare everything with the logs.

    Raises:
        Violation: the protocol (or the mutant of it) failed.
    """
    Schedule(World(seed, mutant)).run()


class Schedule:
    """Processes, and the chance that rules them."""

    def __init__(self, world: World) -> None:
        rng = world.rng
        self.world, self.plan = world, new_records(rng)
        self.processes: dict[str, Process] = {}
        self.faults_until = rng.randint(1200, 3500)
        self.rate, self.aimed = rng.choice((0, 0.002, 0.006, 0.015)), rng.choice((0, 0.03, 0.15))

    def run(self) -> None:
        world = self.world
        for name in NAMES:
            self.start(name)
        self.rest()
        check(world)
        # What was sent on came behind the events that close all windows: one more tick tells of it.
        for model, p, side in product(MODELS, range(PARTITIONS), range(2)):
            world.append(side, p, (model, 60_000 + p, END + 2 * WIDTH, 0, False))
        self.rest()
        check(world)
        check_revised(world)

    def rest(self) -> None:
        """Go on until everything is read and nothing changes any more."""
        world = self.world
        while world.now - world.changed_at < QUIET or world.faults or not self.all_read():
            self.step()
            if world.now > LIMIT:
                raise Violation("progress", f"not at rest after {LIMIT} steps")

    def all_read(self) -> bool:
        """Whether everything that was sent is decided, and everything that was told is read."""
        world, committed = self.world, self.world.aggregators.committed
        ends = {p: (len(world.logs[0][p]), len(world.logs[1][p])) for p in range(len(world.logs[0]))}
        decided = {p: committed[p].positions if p in committed else (0, 0) for p in ends}
        return decided == ends and world.monitors.committed.get(0, 0) == len(world.messages)

    def start(self, name: str) -> None:
        work = Aggregator(self.world, name) if name.startswith("a") else Monitor(self.world, name)
        self.processes[name] = Process(work, work.run())

    def awake(self) -> list[str]:
        return [name for name, process in self.processes.items() if process.wakes <= self.world.now]

    def groups(self) -> Iterator[Group]:
        yield from (self.world.aggregators, self.world.monitors)

    def step(self) -> None:
        world, rng = self.world, self.world.rng
        world.now += 1
        if world.faults and world.now > self.faults_until and not self.plan:
            world.faults, world.away_until, world.stuck_until = False, 0, 0
            world.changed_at = world.now  # while all were stopped, quiet meant nothing
            for process in self.processes.values():
                process.wakes = 0
        for name in self.awake():
            work = self.processes[name].work
            if work.member in work.group.members:
                work.group.members[work.member] = world.now  # a heartbeat
        if world.now % 5 == 0:
            for group in self.groups():
                group.tick()
        if world.faults and world.chance(self.rate):
            self.fault()
        for name in NAMES:
            if name not in self.processes and (world.chance(0.01) or not world.faults):
                self.start(name)
        self.produce()
        if awake := self.awake():
            self.work(rng.choice(awake))

    def produce(self) -> None:
        world = self.world
        if self.plan and world.chance(0.05):
            ts, _, side, partition, event = self.plan.pop(0)
            world.clock = max(world.clock, ts)
            world.append(side, partition, event)
            if not self.plan:  # the last messages meet faults, too
                self.faults_until = max(self.faults_until, world.now + world.rng.randint(0, 800))

    def work(self, name: str) -> None:
        world = self.world
        for _ in range(world.rng.choice((1, 1, 4, 12))):
            world.hot = False
            next(self.processes[name].steps)
            if world.hot and world.faults and world.chance(self.aimed):
                self.fault_between_steps(name)
                return

    def fault(self) -> None:
        world, rng, awake = self.world, self.world.rng, self.awake()
        match rng.choice(("kill", "kill", "stop", "stop", "away", "stuck", "rebalance")):
            case "kill" if awake:
                del self.processes[rng.choice(awake)]
            case "stop" if awake:
                self.processes[rng.choice(awake)].wakes = world.now + rng.randint(20, 500)
            case "away":
                world.away_until = world.now + rng.randint(5, 150)
            case "stuck":  # inserts into one table fail, say by too many parts
                world.stuck_until = world.now + rng.randint(20, 300)
            case _:
                rng.choice([*self.groups()]).rebalance()

    def fault_between_steps(self, name: str) -> None:
        world, rng = self.world, self.world.rng
        match rng.choice(("kill", "stop", "long stop", "stuck")):
            case "kill":
                del self.processes[name]
            case "stop":
                self.processes[name].wakes = world.now + rng.randint(5, 55)
            case "long stop":
                self.processes[name].wakes = world.now + rng.randint(70, 1500)
            case "stuck":
                world.stuck_until = world.now + rng.randint(20, 300)
        if world.chance(0.3):
            rng.choice([*self.groups()]).rebalance()
