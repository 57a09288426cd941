"""Notify: whom incidents are told, and what is told because nothing comes any more.

``member`` reads ``alerts`` and rings channels; ``watch`` feeds the dead-man rules; ``book``, ``progress``, ``deadman``,
``usual``, ``words`` and ``payloads`` are pure.
"""

import asyncio
import threading
from collections.abc import Callable

import structlog

from observe import Observer
from schemas.settings import Settings
from streams.notify.delivery import Pace
from streams.notify.ledger import Ledger
from streams.notify.member import Lost, Member
from warehouse.client import Warehouse

log = structlog.get_logger()


def run(
    settings: Settings,
    *,
    connect: Callable[[], Warehouse],
    now: Callable[[], float],
    stop: threading.Event,
    pace: Pace | None = None,
    observer: Observer | None = None,
) -> None:
    """Tell people until ``stop`` is set. One process does so at a time; others wait to take over.

    Args:
        settings: brokers, channels.
        connect: opens ClickHouse, or raises within seconds; it may be away.
        now: seconds since the epoch.
        stop: ends it.
        pace: how long things take; default: as the settings say.
        observer: told how it is doing.

    Raises:
        KafkaException: for what waiting cannot mend (authorisation, a topic that does not exist).
    """
    if not settings.channels:
        log.warning(
            "notify.no_channels", remedy="set DRIFTLINE_CHANNELS and DRIFTLINE_DEFAULT_CHANNELS: docs/oncall.md"
        )
    if unknown := sorted(set(settings.default_channels) - settings.channels.keys()):
        log.error("notify.unknown_channel", default_channels=unknown, valid=sorted(settings.channels))
    chosen = pace or Pace(give_up=settings.notify_give_up_seconds)
    ledger, told = Ledger(connect, now, chosen.answer), observer or Observer()
    asyncio.run(_serve(lambda: Member(settings, ledger, chosen, now, observer=told), ledger, stop))


async def _serve(join: Callable[[], Member], ledger: Ledger, stop: threading.Event) -> None:
    try:
        while not stop.is_set():
            member = join()
            try:
                await member.work(stop)
            except Lost as error:
                log.warning("notify.rejoin", reason=str(error))
            finally:
                await asyncio.to_thread(member.close)
    finally:
        ledger.close()
