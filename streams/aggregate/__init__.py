"""Stage 1, the exact hot path: Kafka events in, checkpoints and cumulative sketches out (``docs/architecture.md``).

Reading order: ``decode`` and ``accept`` (a record to an event, or why not), ``models`` and ``layout`` (specs,
references and the columns of events), ``batch``, ``fast``, ``columns`` and ``read`` (records to columns), ``rows``,
``remembered``, ``seen`` and ``index`` (ids seen), ``state`` (all that an owner knows), ``classify`` and ``judge``
(verdicts and pairs), ``sketches`` and ``raw`` (columns to counts and to stored rows), ``checkpoint`` (what makes it
durable), ``assign`` (takeover), ``idle``, ``breaker``, ``books``, ``consumer`` (the loop).
"""

from streams.aggregate.consumer import run

__all__ = ["run"]
