"""Messages that are worked off together: what a batch is, when it is acknowledged, and that a stop waits for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import bus.apps
from bus.apps import InHand


class Stream:
    """Faust's, of numbers."""

    def __init__(self) -> None:
        self.enable_acks = True
        self.waiting = asyncio.Queue[int]()
        self.taken = 0
        self.acked = list[int]()

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.waiting.put_nowait(number)

    async def events(self) -> AsyncIterator[int]:
        while True:
            number = await self.waiting.get()
            self.taken += 1
            yield number

    async def ack(self, number: int) -> None:
        self.acked.append(number)


@pytest.fixture(autouse=True)
def _five_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.apps, "_MOST_TOGETHER", 5)


def test_what_waits_is_one_batch_and_acknowledged_when_it_is_done() -> None:
    async def work() -> None:
        stream: Any = Stream()
        batches: Any = InHand().together(stream)
        stream.send(1, 2, 3)
        assert await anext(batches) == [1, 2, 3]
        stream.send(*range(4, 11))
        assert not stream.enable_acks, "Faust would acknowledge what is cut off"
        assert stream.acked == []
        assert await anext(batches) == [4, 5, 6, 7, 8]
        assert stream.acked == [1, 2, 3]
        await asyncio.sleep(0)
        assert stream.taken == 9, "one more than was given, which a rebalance may take away"
        assert await anext(batches) == [9, 10]
        assert stream.acked == list(range(1, 9))
        await batches.aclose()
        assert stream.acked == list(range(1, 9)), "nobody said that the last ones were done"

    asyncio.run(asyncio.wait_for(work(), 10))


def test_a_stop_waits_for_the_batch_and_lets_no_other_begin() -> None:
    async def work() -> None:
        stream: Any = Stream()
        in_hand, begun, go_on = InHand(), list[list[int]](), asyncio.Event()

        async def agent() -> None:
            async for batch in in_hand.together(stream):
                begun.append(batch)
                await go_on.wait()

        stream.send(1)
        running = asyncio.ensure_future(agent())
        while not begun:
            await asyncio.sleep(0.001)
        stream.send(2)
        finished = asyncio.ensure_future(in_hand.finish(10))
        await asyncio.sleep(0)
        assert not finished.done()
        go_on.set()
        await finished
        assert stream.acked == [1]
        while not stream.waiting.empty():
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.wait({running})
        assert (begun, stream.acked) == ([[1]], [1])

    asyncio.run(asyncio.wait_for(work(), 20))
