"""Memory that was let go of goes back to the system, though what is still used lies between."""

import psutil  # type: ignore[import-untyped]

from streams.aggregate.memory import bound_arenas, give_back

BLOCKS, BLOCK = 100_000, 1_024
"""Large enough for the C library, small enough for its heap."""


def test_pages_between_what_is_used_are_given_back() -> None:
    blocks = [bytes(BLOCK) for _ in range(BLOCKS)]
    kept = blocks[::1_000]
    blocks.clear()
    before = psutil.Process().memory_info().rss
    give_back()
    assert before - psutil.Process().memory_info().rss > BLOCKS * BLOCK // 2
    assert len(kept) == BLOCKS // 1_000


def test_arenas_are_bounded_once_or_again() -> None:
    assert bound_arenas(8)
    assert bound_arenas(8)
