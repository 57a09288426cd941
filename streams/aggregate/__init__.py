"""Stage 1, the exact hot path: Kafka events in, checkpoints and cumulative sketches out (``docs/architecture.md``).

Reading order: ``decode`` (bytes to events), ``models`` (specs and references), ``index`` (ids seen), ``state`` (all
that an owner knows), ``classify`` (verdicts and pairs), ``sketches`` (columns to counts), ``checkpoint`` (what makes it
durable), ``assign`` (takeover), ``idle``, ``breaker``, ``consumer`` (the loop).
"""

from streams.aggregate.consumer import run

__all__ = ["run"]
