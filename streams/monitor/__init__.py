"""Stage 2: merge partials, close windows, test, decide, report, tell.

Reading order: ``held`` (what is known), ``generations`` (by which spec), ``core`` (the tick) with ``close``,
``labelled``, ``conditions``, ``requests`` and ``state``: all of these are pure. Then ``records`` (ClickHouse),
``models``, ``stage`` and ``app`` (Kafka).
"""

from streams.monitor.app import create_app, run

__all__ = ["create_app", "run"]
