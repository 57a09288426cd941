"""One server as a child process: its own session, a log, a remembered port, and an end when its owner ends.

Kafka and the embedded ClickHouse differ in what they run; how a server is started, awaited, stopped and found again
after its owner was killed is the same, and is here.
"""

import atexit
import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil  # type: ignore[import-untyped]

_PORTS = range(20_000, 32_768)
_TRIES = 500


class ServerError(RuntimeError):
    """A local server did not start; the message ends with the end of its log."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses now.

    It lies below those that systems hand to outgoing connections (from 32768 on, Linux; elsewhere higher): a server
    takes seconds to listen, and is away while it restarts, and a port that any connection may be given is gone by then.

    Raises:
        ServerError: hundreds of them are in use.
    """
    for _ in range(_TRIES):
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise ServerError(f"no free port among {_TRIES} tried of {_PORTS.start} to {_PORTS.stop - 1} on 127.0.0.1")


def answers(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:``port``."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def remembered_ports(root: Path, wanted: Mapping[str, int | None]) -> dict[str, int]:
    """Ports by name: what the caller wants, else what ``root`` used before, else free ones; written down in ``root``.

    A server that comes back on its old port is found again by clients that never noticed.
    """
    notes = root / "ports.json"
    before: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):  # an owner that was killed may leave half a file
        before = dict(json.loads(notes.read_text()))
    ports = {name: port or before.get(name) or free_port() for name, port in wanted.items()}
    root.mkdir(parents=True, exist_ok=True)
    write_whole(notes, json.dumps(ports))
    return ports


def write_whole(path: Path, text: str) -> None:
    """Replace a file by one with this text; whoever is killed meanwhile leaves the old one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


class Lock:
    """A directory is used by one process at a time; the system lets go of it however that process ends.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Lock the directory until :meth:`release`, or the end of this process.

        Raises:
            ServerError: another process has it.
        """
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise ServerError(
                f"{self._path.parent} is used by another driftline, process {holder}. Stop it (kill {holder}), or name "
                "another folder with --root."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let others have the directory."""
        if self._file:
            self._file.close()
            self._file = None


class ServerProcess:
    """A child process in its own session, so that Ctrl-C in a terminal reaches its owner first.

    Args:
        name: what to call it in errors and files.
        root: directory of its log (``<name>.log``) and of its process id (``<name>.pid``).
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.log = root / f"{name}.log"
        self._pid_file = root / f"{name}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(
        self,
        command: Sequence[str],
        *,
        port: int,
        ready: Callable[[], bool],
        patience: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Run ``command`` and wait until ``ready`` says so.

        Args:
            command: program and arguments.
            port: where it will listen on 127.0.0.1; must be free.
            ready: asked again and again; True ends the wait.
            patience: seconds until the wait is given up.
            env: environment added to ours.
            cwd: working directory.

        Raises:
            ServerError: the port is taken, the process ended, or it was not ready in time.
        """
        if self.pid:
            return
        self._end_orphan()
        if answers(port):
            raise ServerError(
                f"{self.name}: port {port} of 127.0.0.1 is taken by another program. "
                f"Stop that program, or choose another port (driftline up --{self.name}-port; it is remembered in "
                f"{self.log.parent / 'ports.json'})."
            )
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        write_whole(self._pid_file, str(self._process.pid))
        atexit.register(self.kill)
        deadline = time.monotonic() + patience
        while not ready():
            if self._process.poll() is not None:
                raise ServerError(f"{self.name} ended with code {self._process.returncode}. {self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} was not ready within {patience:g} s. {self.tail()}")
            time.sleep(0.02)

    def stop(self, patience: float = 20.0) -> None:
        """Ask the process to end (SIGTERM) and wait; after ``patience`` seconds it is killed."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        self.kill()

    def kill(self) -> None:
        """End the process and its session at once (SIGKILL), as a crash would."""
        if self._process:
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None
            self._pid_file.unlink(missing_ok=True)
        atexit.unregister(self.kill)

    def tail(self, lines: int = 15) -> str:
        """Return the end of the log, introduced by its path."""
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"The end of {self.log}:", *text[-lines:]])

    def _end_orphan(self) -> None:
        """End a server that outlived its owner (after kill -9 nobody cleans up): it holds the port and the data."""
        if not self._pid_file.exists():
            return
        with contextlib.suppress(psutil.Error, ValueError):
            orphan = psutil.Process(int(self._pid_file.read_text()))
            # Process ids are used again: it is ours only if its command line names our directory.
            if any(str(self.log.parent) in word for word in orphan.cmdline()):
                orphan.kill()
                orphan.wait(10)
        self._pid_file.unlink(missing_ok=True)


class LocalServer(ABC):
    """A server of this machine with a directory of its own; its data survive stop, kill and start.

    Args:
        name: what to call it in errors and files.
        root: directory of data, log and remembered ports. One process may use it at a time.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.root = root.resolve()
        self._process = ServerProcess(name, self.root)

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs, else None."""
        return self._process.pid

    @property
    def ended(self) -> str:
        """Why the server is not running although it was started, for people; empty while it runs."""
        return "" if self.pid else f"{self._process.name} has ended. {self._process.tail()}"

    @abstractmethod
    def start(self) -> str:
        """Start the server, wait until it answers and return its address.

        Raises:
            ServerError: it does not start; the message quotes the end of its log.
        """

    def stop(self) -> None:
        """Stop the server in order; waits."""
        self._process.stop()

    def kill(self) -> None:
        """Kill the server (SIGKILL), as a crash would."""
        self._process.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
