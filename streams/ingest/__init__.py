"""The role ``ingest``: customers' own topics in, driftline's ``predictions`` and ``outcomes`` out, exactly once.

Reading order: ``formats`` and ``registry`` (bytes to documents), ``values`` (places in one), ``mapping`` (to events),
``sources`` (what the models ask for), ``merge`` (in the order of time), ``tally`` (the books), ``transfer`` (one
transaction), ``consumer`` (the loop).
"""

from streams.ingest.consumer import run

__all__ = ["run"]
