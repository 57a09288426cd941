"""driftline's client: tell the monitor what your model answered and what came of it; ask which version should answer.

Reading order: :class:`Emitter` (write), :class:`Router` (read), ``wire`` (the bytes that both of them speak);
``batching`` (when events share messages) and ``columns`` (how).
"""

from driftline.emitter import Emitter, Stats
from driftline.router import Decision, NotDecided, Route, Router

__all__ = ["Decision", "Emitter", "NotDecided", "Route", "Router", "Stats"]
