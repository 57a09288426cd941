"""``python -m retrain.fit_process``: one fit, in a process of its own, with limits, talking JSON.

The job comes as one line on stdin, the result leaves as one line on stdout; files go through the store. The limits are
set before anything large is imported. When the parent dies, stdin ends, and so does this process.
"""

import json
import os
import resource
import sys
import threading


def _limit(memory_mb: int, cpu_seconds: int) -> None:
    """Cap address space and processor time; the kernel enforces both."""
    size = memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    """Block until stdin ends, which it does when the parent is gone, however it went."""
    sys.stdin.read()
    os._exit(3)


def main() -> None:
    """Read the job, set the limits, fit, print the result."""
    line = sys.stdin.readline()
    limits = json.loads(line)["limits"]
    _limit(limits["memory_mb"], limits["cpu_seconds"])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # By default OpenMP's threads spin at barriers: on a busy machine that makes a small fit 20 times slower.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

    from retrain.fitting import run  # noqa: PLC0415  the limits come before the libraries

    sys.stdout.write(run(line) + "\n")
    sys.stdout.flush()
    # The watcher holds stdin's lock, which an ordinary exit would wait for.
    os._exit(0)


if __name__ == "__main__":
    main()
