"""The supervisor keeps processes running, knows who has finished and who never will, and leaves nobody behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from app.supervisor import GAVE_UP, Supervisor

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "logs", give_up_after=3)
    yield made
    made.stop(grace=5)


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_killed_role_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start("role", SLEEPER, {})
    first = supervisor.pid("role")
    supervisor.kill9("role")
    until(lambda: supervisor.pid("role") not in {None, first})
    assert supervisor.restarts() == {"role": 1}
    until(lambda: supervisor.log_tail("role").splitlines()[-1:] == ["up"])


def test_a_paused_role_does_nothing_until_it_is_resumed(supervisor: Supervisor) -> None:
    supervisor.start("role", SLEEPER, {})
    process = psutil.Process(supervisor.pid("role"))
    supervisor.pause("role")
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    supervisor.resume("role")
    until(lambda: process.status() != psutil.STATUS_STOPPED)
    assert supervisor.restarts() == {"role": 0}


def test_a_role_that_has_done_its_work_is_left_alone(supervisor: Supervisor) -> None:
    supervisor.start("job", [sys.executable, "-c", ""], {}, once=True)
    until(lambda: supervisor.finished("job"))
    assert supervisor.restarts() == {"job": 0}


@pytest.mark.parametrize(("code", "restarts"), [(1, 3), (GAVE_UP, 0)])
def test_a_role_that_cannot_live_is_named(supervisor: Supervisor, code: int, restarts: int) -> None:
    supervisor.start("role", [sys.executable, "-c", f"raise SystemExit({code})"], {})
    until(lambda: supervisor.failed == "role")
    assert supervisor.restarts() == {"role": restarts}


def test_stopping_ends_the_children_too_even_paused_ones(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    program = f"import subprocess; subprocess.run({SLEEPER!r})"
    supervisor.start("role", [sys.executable, "-c", program], {})
    leader = psutil.Process(supervisor.pid("role"))
    until(leader.children)
    family = [leader, *leader.children()]
    supervisor.pause("role")
    supervisor.stop(grace=5)
    until(lambda: not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family))


def test_roles_end_with_their_supervisor(tmp_path: Path) -> None:
    role = "import app.supervisor as s; s.end_with_supervisor(); print('up', flush=True); s.time.sleep(600)"
    program = f"""
import sys, time
from pathlib import Path
from app.supervisor import Supervisor
supervisor = Supervisor(Path({str(tmp_path)!r}))
supervisor.start("role", [sys.executable, "-c", {role!r}], {{}})
while "up" not in supervisor.log_tail("role"):
    time.sleep(0.05)
print(supervisor.pid("role"), flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    orphan = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    until(lambda: not _alive(orphan))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
