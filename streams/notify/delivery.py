"""One channel: its notices in order, each sent until it is taken, refused, or too old. No channel waits for another.

A refusal (4xx) is final; no answer, 408, 429 and 5xx are tried again, with back-off, until the notice is as old as the
operator's patience. What became of it is a row. A repeat after a crash is made only if no row says that it was made,
and carries the same ``Idempotency-Key``.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import httpx
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from schemas.channels import Channel
from streams.notify.ledger import Ledger, Unanswered
from streams.notify.payloads import Call, call, still_firing
from streams.notify.words import Notice, shortened

log = structlog.get_logger()

State = Literal["delivered", "failed", "retrying", "gave up", "silenced"]

_ERROR = 300
_LONGEST_QUEUE = 1_000
_LONGEST_PAUSE = 300.0
_TRY_AGAIN = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Ring:
    """A notice on its way to a channel.

    Attributes:
        offset: of the record that made it; None if no record did (an acknowledgement).
        at: when it was made, in seconds since the epoch.
    """

    notice: Notice
    offset: int | None
    at: float


class NotTaken(Exception):
    """The other side did not take a request; ``final`` if it never will, ``after`` seconds at least if it said so."""

    def __init__(self, why: str, *, final: bool, after: float = 0.0) -> None:
        super().__init__(why)
        self.final = final
        self.after = after


class _Later(Exception):
    """Try again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds.

    Attributes:
        give_up: how old a notice may become.
        first_pause: before the second attempt; then twice as long each time.
        longest_pause: between two attempts.
        timeout: of one request.
        remind: between two times that an Alertmanager is told of all that lasts.
        look: between two looks of the dead-man rules.
        leave: that requests under way get when the process is told to stop.
        answer: that a ring waits for ClickHouse.
    """

    give_up: float = 3600.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    timeout: float = 10.0
    remind: float = 60.0
    look: float = 15.0
    leave: float = 5.0
    answer: float = 2.0


class Post:
    """The HTTP client of all channels. Redirects are not followed: an address is the operator's, and nobody else's.

    Args:
        client: of httpx.
        timeout: seconds that one request may take altogether.
    """

    def __init__(self, client: httpx.AsyncClient, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    async def __call__(self, channel: Channel, request: Call) -> None:
        """Send once.

        Raises:
            NotTaken: with what the other side said, without what may be secret.
        """
        try:
            async with asyncio.timeout(self._timeout):
                code, said, after = await self._send(request)
        except TimeoutError:
            raise NotTaken(f"no answer in {self._timeout:g} s", final=False) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            final = isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
            raise NotTaken(_plainly(channel, f"{type(error).__name__}: {error}"), final=final) from None
        if not 200 <= code < 300:
            why = _plainly(channel, f"HTTP {code}: {said}")
            raise NotTaken(why, final=code < 500 and code not in _TRY_AGAIN, after=after)

    async def _send(self, request: Call) -> tuple[int, str, float]:
        """Code, the beginning of what was said, and after how many seconds to come again."""
        sending = self._client.stream("POST", request.url, headers=request.headers, content=request.body)
        said = b""
        async with sending as answer:
            async for part in answer.aiter_bytes(_ERROR):
                said += part
                if len(said) >= _ERROR:
                    break
            return answer.status_code, said[:_ERROR].decode(errors="replace"), _retry_after(answer)


class Line:
    """The way to one channel.

    Args:
        name: of the channel.
        channel: its settings.
        post: sends one request.
        ledger: where rows are asked for and written.
        pace: how long things take.
        now: seconds since the epoch.
        done: told of every ring when nothing more will happen to it.
        noted: told of the channel and of what became of a ring, whenever a row says so.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        post: Callable[[Channel, Call], Awaitable[None]],
        *,
        ledger: Ledger,
        pace: Pace,
        now: Callable[[], float],
        done: Callable[[str, Ring], None],
        noted: Callable[[str, str], None] = lambda _channel, _state: None,
    ) -> None:
        self.name = name
        self.channel = channel
        self._post = post
        self._ledger = ledger
        self._pace = pace
        self._now = now
        self._done = done
        self._noted = noted
        self._queue: deque[Ring] = deque()
        self._something = asyncio.Event()
        self.idle = asyncio.Event()

    async def put(self, ring: Ring) -> None:
        """Queue a notice; of a queue that is full the oldest leaves, with a row that says so."""
        if len(self._queue) >= _LONGEST_QUEUE:
            oldest = self._queue.popleft()
            await self._note(oldest, "gave up", 0, f"{_LONGEST_QUEUE} newer notices wait for this channel")
            self._done(self.name, oldest)
        self._queue.append(ring)
        self.idle.clear()
        self._something.set()

    async def work(self) -> None:
        """Send what is queued, in order, for ever."""
        while True:
            while self._queue:
                ring = self._queue.popleft()
                try:
                    await self._send(ring)
                except Exception as error:
                    # An error of our own must not hold up the rings behind it.
                    log.exception("notify.error", channel=self.name)
                    await self._note(ring, "failed", 0, _plainly(self.channel, repr(error)))
                self._done(self.name, ring)
            self._something.clear()
            self.idle.set()
            await self._something.wait()

    async def _send(self, ring: Ring) -> None:
        incident, key = ring.notice.change.incident, ring.notice.change.key(self.name)
        if call(self.name, self.channel, ring.notice, self._time()) is None:
            return
        try:
            if await self._ledger.delivered(incident, key):
                log.info("notify.already_delivered", incident=incident.id, channel=self.name, key=key)
                return
            if self._rings(ring) and any(silence.covers(incident) for silence in await self._ledger.silences()):
                await self._note(ring, "silenced", 0, "")
                return
        except Unanswered:
            # Better twice, under one key, than not at all.
            log.warning("notify.unasked", incident=incident.id, channel=self.name)
        attempts, why = await self._until_taken(ring)
        state: State = "delivered" if not why else "failed" if why.final else "gave up"
        await self._note(ring, state, attempts, str(why) if why else "")

    def _rings(self, ring: Ring) -> bool:
        """Whether a silence is about it: the end of an incident rings nobody, but where people read along."""
        return ring.notice.change.event != "resolved" or self.channel.kind == "slack"

    async def _until_taken(self, ring: Ring) -> tuple[int, NotTaken | None]:
        """How often it was sent, and why it was not taken in the end."""
        attempts, why = 0, None
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Later),
            wait=lambda state: self._pause(state, why),
            stop=lambda _: self._now() >= ring.at + self._pace.give_up,
            retry_error_callback=lambda _: None,
        )
        async for attempt in retrying:
            with attempt:
                attempts += 1
                request = call(self.name, self.channel, ring.notice, self._time())
                try:
                    await self._post(self.channel, request) if request else None
                    why = None
                except NotTaken as error:
                    why = error
                    if attempts == 1 and not error.final:
                        await self._note(ring, "retrying", attempts, str(error))
                    if not error.final:
                        raise _Later from error
        return attempts, why

    def _pause(self, state: RetryCallState, why: NotTaken | None) -> float:
        pause = wait_exponential_jitter(self._pace.first_pause, self._pace.longest_pause, jitter=self._pace.first_pause)
        return max(pause(state), min(why.after if why else 0.0, _LONGEST_PAUSE))

    async def remind(self, lasting: Callable[[str], list[Notice]]) -> None:
        """Tell an Alertmanager again and again of all that lasts and is not silenced; it forgets what it does not hear.

        Args:
            lasting: notices of the open incidents that a channel was told of.
        """
        broken = False
        while True:
            await asyncio.sleep(self._pace.remind)
            if not (notices := lasting(self.name)):
                continue
            try:
                silences = await self._ledger.silences()
                notices = [n for n in notices if not any(s.covers(n.change.incident) for s in silences)]
            except Unanswered:
                pass
            try:
                if notices:
                    await self._post(self.channel, still_firing(self.channel, notices, self._time()))
                broken = False
            except NotTaken as error:
                if not broken:
                    log.warning("notify.reminder_failed", channel=self.name, host=self.channel.host, error=str(error))
                broken = True

    async def _note(self, ring: Ring, state: State, attempts: int, error: str) -> None:
        change = ring.notice.change
        self._noted(self.name, state)
        say = log.info if state in {"delivered", "silenced"} else log.error
        say(
            f"notify.{state.replace(' ', '_')}",
            incident=change.incident.id,
            what=change.event,
            channel=self.name,
            host=self.channel.host,
            attempts=attempts,
            error=error,
        )
        await self._ledger.write_delivery(
            change.incident,
            channel=self.name,
            event=change.event,
            key=change.key(self.name),
            state=state,
            attempts=attempts,
            error=error,
        )

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def _retry_after(answer: httpx.Response) -> float:
    """Seconds that the other side asks for; 0 when it does not, or gives a date."""
    try:
        return max(0.0, float(answer.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0


def _plainly(channel: Channel, text: str) -> str:
    """An error without address and token; both may be secret."""
    for secret in (channel.url, channel.token):
        if secret is not None and (value := secret.get_secret_value()):
            text = text.replace(value, "***")
    return shortened(text, _ERROR)
