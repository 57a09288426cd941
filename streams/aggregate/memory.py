"""Memory of the process: a checkpoint's rows come and go by the hundred megabytes, and allocators keep their pages."""

import ctypes
from collections.abc import Callable

import pyarrow as pa

_ARENA_MAX = -8
"""``M_ARENA_MAX`` of glibc's ``mallopt``."""


def bound_arenas(count: int) -> bool:
    """Let threads share ``count`` heaps; to be called before there are threads. False: this C library has no such call.

    Else each of librdkafka's threads keeps a heap of its own as large as the most that it ever fetched.
    """
    mallopt = _glibc("mallopt")
    return mallopt is not None and mallopt(_ARENA_MAX, count) == 1


def give_back() -> None:
    """Return free pages to the system; where the C library has no such call, Arrow's alone."""
    pa.default_memory_pool().release_unused()
    if (trim := _glibc("malloc_trim")) is not None:
        trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None)
