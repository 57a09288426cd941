"""A role in a thread of the test's own process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def running(role: Callable[[threading.Event], None]) -> Iterator[Callable[[], bool]]:
    """Run a role beside the test until the block ends; what it raises is raised here. Yields whether it has ended."""
    stop, failures = threading.Event(), []

    def work() -> None:
        try:
            role(stop)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: not thread.is_alive()
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    for failure in failures:
        raise failure
