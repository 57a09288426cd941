"""One channel: in order, again and again, refused for good, silenced, not made twice; and slow for itself only."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import notify_world as world
import pytest

from schemas.channels import Channel
from schemas.lifecycle import Incident
from streams.notify.book import Book, Change
from streams.notify.delivery import Line, NotTaken, Pace, Post, Ring
from streams.notify.ledger import Silence, Unanswered
from streams.notify.payloads import Call
from streams.notify.words import notice

FAST = Pace(give_up=1000.0, first_pause=0.001, longest_pause=0.002, remind=0.005)


class Ledger:
    """What ClickHouse would say and be told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.made: set[str] = set()
        self.silenced: list[Silence] = []
        self.there = True

    async def delivered(self, _incident: Incident, key: str) -> bool:
        if not self.there:
            raise Unanswered("away")
        return key in self.made

    async def silences(self) -> list[Silence]:
        if not self.there:
            raise Unanswered("away")
        return self.silenced

    async def write_delivery(self, incident: Incident, **row: Any) -> None:
        self.rows.append(row | {"incident": incident.id})

    def states(self) -> list[tuple[str, str, int]]:
        return [(row["event"], row["state"], row["attempts"]) for row in self.rows]


class Bench:
    """A line, what it sends to, and a clock that moves with every request."""

    def __init__(self, answers: Callable[[Call], int | Exception], channel: Channel | None = None) -> None:
        self.ledger = Ledger()
        self.sent: list[Call] = []
        self.finished: list[Ring] = []
        self.clock = 1000.0
        self._answers = answers
        self.line = Line(
            "pager",
            channel or world.channel(),
            self.post,
            ledger=self.ledger,  # type: ignore[arg-type]
            pace=FAST,
            now=lambda: self.clock,
            done=lambda _, ring: self.finished.append(ring),
        )

    async def post(self, _channel: Channel, request: Call) -> None:
        self.sent.append(request)
        answer = self._answers(request)
        if isinstance(answer, Exception):
            raise answer
        if answer >= 300:
            raise NotTaken(f"HTTP {answer}", final=answer < 500)

    def run(self, *changes: Change) -> None:
        asyncio.run(self._run(changes))

    async def _run(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            await self.line.put(self.ring(change))
        working = asyncio.create_task(self.line.work())
        await asyncio.wait_for(self.line.idle.wait(), 10)
        working.cancel()

    def ring(self, change: Change) -> Ring:
        return Ring(notice(change, "docs"), change.offset, self.clock)


def story() -> list[Change]:
    opened = world.incident()
    book = Book()
    grown = world.later(opened, world.condition("quality/b"))
    records = [opened, grown, world.later(grown, state="resolved")]
    return [change for offset, one in enumerate(records) if (change := book.learn(offset, one))]


def test_a_story_is_told_in_order_and_written_down() -> None:
    bench = Bench(lambda _: 200)
    bench.run(*story())
    assert bench.ledger.states() == [
        ("opened", "delivered", 1),
        ("updated", "delivered", 1),
        ("resolved", "delivered", 1),
    ]
    assert [ring.offset for ring in bench.finished] == [0, 1, 2]
    assert len({request.headers["Idempotency-Key"] for request in bench.sent}) == 3


def test_what_may_pass_is_tried_again_under_one_key_and_the_next_one_waits() -> None:
    answers = iter([503, 503, 200, 200])
    bench = Bench(lambda _: next(answers))
    bench.run(*story()[:2])
    assert bench.ledger.states() == [("opened", "retrying", 1), ("opened", "delivered", 3), ("updated", "delivered", 1)]
    assert len({request.headers["Idempotency-Key"] for request in bench.sent[:3]}) == 1


def test_a_refusal_is_final_and_a_row() -> None:
    bench = Bench(lambda request: 400 if len(bench.sent) == 1 else 200)
    bench.run(*story()[:2])
    assert bench.ledger.states() == [("opened", "failed", 1), ("updated", "delivered", 1)]
    assert bench.ledger.rows[0]["error"] == "HTTP 400"
    assert len(bench.finished) == 2


def test_an_outage_that_lasts_is_given_up_in_the_end_and_what_waited_as_long_is_tried_once() -> None:
    def answer(_: Call) -> int:
        bench.clock += 300.0
        return 503

    bench = Bench(answer)
    bench.run(*story())
    assert [state for _, state, _ in bench.ledger.states() if state != "retrying"] == ["gave up"] * 3
    assert [attempts for _, state, attempts in bench.ledger.states() if state == "gave up"] == [4, 1, 1]
    assert len(bench.finished) == 3


def test_a_ring_that_a_row_knows_is_not_made_again() -> None:
    changes = story()
    bench = Bench(lambda _: 200)
    bench.ledger.made = {changes[0].key("pager")}
    bench.run(*changes)
    assert len(bench.sent) == 2
    assert len(bench.finished) == 3


@pytest.mark.parametrize("incident", ["", "incident-0123456789abcdef"])
def test_a_silence_is_kept_and_written_down_and_the_end_still_told_to_machines(incident: str) -> None:
    for kind, ended in (("pagerduty", "delivered"), ("slack", "silenced")):
        bench = Bench(lambda _: 200, world.channel(kind, token=world.KEY))  # type: ignore[arg-type]
        bench.ledger.silenced = [Silence("default", "flights", incident)]
        bench.run(*story())
        states = [(event, state) for event, state, _ in bench.ledger.states()]
        assert states == [("opened", "silenced"), ("updated", "silenced"), ("resolved", ended)]


def test_an_error_of_our_own_is_a_row_and_holds_nobody_up() -> None:
    bench = Bench(lambda _: ZeroDivisionError("ours") if len(bench.sent) == 1 else 200)
    bench.run(*story()[:2])
    assert bench.ledger.states() == [("opened", "failed", 0), ("updated", "delivered", 1)]
    assert "ours" in bench.ledger.rows[0]["error"]


def test_a_silence_of_something_else_is_not_about_this() -> None:
    bench = Bench(lambda _: 200)
    bench.ledger.silenced = [Silence("default", "other", ""), Silence("default", "flights", "incident-other")]
    bench.run(*story())
    assert len(bench.sent) == 3


def test_when_clickhouse_cannot_be_asked_it_rings() -> None:
    bench = Bench(lambda _: 200)
    bench.ledger.there = False
    bench.run(*story())
    assert len(bench.sent) == 3


def test_a_queue_that_is_full_loses_its_oldest_and_says_so() -> None:
    opened = story()[0]
    bench = Bench(lambda _: 200)
    bench.run(*[opened] * 1_002)
    assert bench.ledger.states()[:2] == [("opened", "gave up", 0)] * 2
    assert "1000 newer notices" in bench.ledger.rows[0]["error"]
    assert len(bench.finished) == 1_002


def test_an_alertmanager_is_told_again_and_again_of_what_lasts() -> None:
    opened = story()[0]
    bench = Bench(lambda _: 200, world.channel("alertmanager"))

    async def listen() -> None:
        task = asyncio.create_task(bench.line.remind(lambda _: [notice(opened, "docs")]))
        while len(bench.sent) < 3:
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(listen())
    assert {request.url for request in bench.sent} == {"http://127.0.0.1:9/hook/api/v2/alerts"}
    assert bench.ledger.rows == []


def _post(answer: Callable[[httpx.Request], httpx.Response], channel: Channel, seconds: float = 5.0) -> NotTaken | None:
    async def send() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            await Post(client, seconds)(channel, Call(channel.url.get_secret_value(), {"Authorization": "x"}, b"{}"))

    try:
        asyncio.run(send())
    except NotTaken as error:
        return error
    return None


@pytest.mark.parametrize(("code", "final"), [(200, None), (202, None), (400, True), (404, True), (301, True)])
@pytest.mark.parametrize("kind", ["webhook", "slack"])
def test_which_answers_are_final(code: int, final: bool | None, kind: Any) -> None:
    error = _post(lambda _: httpx.Response(code), world.channel(kind))
    assert (error.final if error else None) == final


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_which_answers_may_pass(code: int) -> None:
    error = _post(lambda _: httpx.Response(code, headers={"Retry-After": "7"}), world.channel())
    assert error is not None
    assert (error.final, error.after) == (False, 7.0)


def test_no_answer_may_pass_and_a_redirect_is_not_followed() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody listens", request=request)

    error = _post(refuse, world.channel())
    assert error is not None
    assert not error.final
    moved = _post(lambda _: httpx.Response(302, headers={"Location": "http://169.254.169.254/"}), world.channel())
    assert moved is not None
    assert moved.final


def test_an_answer_that_does_not_end_is_neither_waited_for_nor_kept() -> None:
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 100_000

    class Mute(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

    error = _post(lambda _: httpx.Response(500, stream=Endless()), world.channel())
    assert error is not None
    assert len(str(error)) <= 300
    silent = _post(lambda _: httpx.Response(500, stream=Mute()), world.channel(), seconds=0.01)
    assert (str(silent), silent and silent.final) == ("no answer in 0.01 s", False)


def test_a_pause_is_as_long_as_the_other_side_asks_for_within_reason() -> None:
    bench = Bench(lambda _: 200)
    for asked, least in ((0.0, 0.0), (7.0, 7.0), (1e9, 300.0)):
        pause = bench.line._pause(SimpleNamespace(attempt_number=1), NotTaken("", final=False, after=asked))  # type: ignore[arg-type]
        assert least <= pause <= least + 1.0


def test_an_error_never_repeats_what_is_secret() -> None:
    channel = world.channel("slack", "https://hooks.example.org/services/T0/B0/s3cret", "t0ken")
    echo = _post(lambda request: httpx.Response(403, text=f"no {request.url} with t0ken for you"), channel)
    assert str(echo) == "HTTP 403: no *** with *** for you"
