"""What a process says of itself: Prometheus metrics, whether it is alive, and whether it is ready for work.

It reads the clock and decides nothing: no result depends on it. ``metrics`` declares all names, ``observer`` is what
the stages are handed, ``server`` is where Prometheus and an orchestrator ask.
"""

from observe.observer import Observer
from observe.server import serve

__all__ = ["Observer", "serve"]
