"""Run the roles as processes: each in its own session with its own log, restarted when it dies, stopped in order."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger()

GAVE_UP = 3
"""Exit code of a process that says: starting me again will not help."""

_OWNER = "DRIFTLINE_SUPERVISOR_PID"
# All processes share the machine's cores: OpenMP's threads must not spin while they wait for each other.
_SHARED = {"OMP_WAIT_POLICY": "PASSIVE"}
_LOOK_EVERY = 0.05
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
_HEALTHY_AFTER = 30.0


@dataclass
class _Role:
    name: str
    argv: list[str]
    env: dict[str, str]
    log_path: Path
    once: bool
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    delay: float = _FIRST_DELAY
    restart_at: float | None = None
    finished: bool = False
    exits: list[int] = field(default_factory=list)


def end_with_supervisor() -> None:
    """End this process soon after its supervisor ended, however that went: nobody would ever stop it."""
    owner = os.environ.get(_OWNER)

    def watch() -> None:
        while str(os.getppid()) == owner:
            time.sleep(1.0)
        os._exit(GAVE_UP)

    if owner is not None:
        threading.Thread(target=watch, name="end-with-supervisor", daemon=True).start()


class Supervisor:
    """Keeps processes running.

    A process that dies is started again after a delay that doubles from 0.1 s to 30 s and falls back after 30 s of
    health. A process of its own session (and so process group) is stopped together with its children.

    Args:
        log_dir: one ``<role>.log`` per role, appended to over restarts.
        give_up_after: restarts of one role in a row, without health between; then, or when it exits with
            :data:`GAVE_UP`, :attr:`failed` names it.
    """

    def __init__(self, log_dir: Path, *, give_up_after: int = 8) -> None:
        self._log_dir = log_dir
        self._give_up_after = give_up_after
        self._roles: dict[str, _Role] = {}
        self._in_a_row: dict[str, int] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self.failed: str | None = None
        log_dir.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], *, once: bool = False) -> None:
        """Start a role.

        Args:
            name: of the role and of its log file.
            argv: command line.
            env: additions to this process's environment.
            once: an exit with code 0 ends it for good; any other exit restarts it like everybody else.
        """
        environment = {**_SHARED, **os.environ, **env, _OWNER: str(os.getpid())}
        role = _Role(name, list(argv), environment, self._log_dir / f"{name}.log", once)
        with self._lock:
            self._roles[name] = role
            self._spawn(role)

    def pid(self, name: str) -> int | None:
        """Process id of a role; ``None`` while it is down."""
        with self._lock:
            process = self._roles[name].process
            return process.pid if process is not None else None

    def finished(self, name: str) -> bool:
        """Whether a ``once`` role has done its work."""
        with self._lock:
            return self._roles[name].finished

    def restarts(self) -> dict[str, int]:
        """Role -> how often it was started again."""
        with self._lock:
            return {name: role.restarts for name, role in self._roles.items()}

    def kill9(self, name: str) -> None:
        """Kill a role's whole process group as a machine's failure would; it is restarted as after any death."""
        self._signal(name, signal.SIGKILL)

    def pause(self, name: str) -> None:
        """Freeze a role (``SIGSTOP``): it lives, and does nothing."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a frozen role go on."""
        self._signal(name, signal.SIGCONT)

    def log_tail(self, name: str, lines: int = 20) -> str:
        """The last lines of a role's log."""
        path = self._roles[name].log_path
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self, *, grace: float = 10.0) -> None:
        """Stop all in the order of their start: ``SIGTERM``, and ``SIGKILL`` to whatever is left after ``grace`` s."""
        self._stopping.set()
        self._thread.join()
        with self._lock:
            alive = [role for role in self._roles.values() if role.process is not None]
            for role in alive:
                for number in (signal.SIGCONT, signal.SIGTERM):
                    self._signal(role.name, number)
            deadline = time.monotonic() + grace
            for role in alive:
                assert role.process is not None  # noqa: S101 - narrowed by the list above
                try:
                    role.process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    log.warning("supervisor.killed", stopped=role.name, grace=grace)
                    self._signal(role.name, signal.SIGKILL)
                    role.process.wait()
                role.process = None

    def _signal(self, name: str, number: signal.Signals) -> None:
        with self._lock:
            process = self._roles[name].process
            if process is not None and process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)

    def _spawn(self, role: _Role) -> None:
        with role.log_path.open("ab") as output:
            role.process = subprocess.Popen(
                role.argv,
                env=role.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        role.started, role.restart_at = time.monotonic(), None

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            with self._lock:
                for role in self._roles.values():
                    self._look_after(role)

    def _look_after(self, role: _Role) -> None:
        now = time.monotonic()
        if role.restart_at is not None and now >= role.restart_at:
            role.restarts += 1
            self._spawn(role)
        elif role.process is not None and (code := role.process.poll()) is not None:
            # Children of a role that died alone (a fit) must not outlive it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(role.process.pid, signal.SIGKILL)
            role.process = None
            role.exits.append(code)
            if role.once and code == 0:
                role.finished = True
                return
            healthy = now - role.started > _HEALTHY_AFTER
            role.delay = _FIRST_DELAY if healthy else min(role.delay * 2, _LONGEST_DELAY)
            in_a_row = self._in_a_row[role.name] = 1 if healthy else self._in_a_row.get(role.name, 0) + 1
            if code == GAVE_UP or in_a_row > self._give_up_after:
                self.failed = role.name
                return
            role.restart_at = now + role.delay
            log.warning("supervisor.died", died=role.name, exit=code, restart_in=role.delay, restarts=role.restarts)
