"""Mathematics of driftline: numpy in, frozen dataclass out; no clock, no I/O, no state.

Reading order: ``sketch`` (what is counted; ``column``: of a whole column at once), ``reference`` (what normal was),
``distances``, ``quality``, ``latency``, ``performance`` (what a window says), ``bands`` (what is normal for a loss),
``enough`` (what a reference is too small for), ``two_samples`` (whether one file is like another), ``gate`` (when a
candidate has won). A false-alarm budget: ``budget`` (who may page how often), ``held_out`` and ``slots`` (what the
reference's own windows measure), ``calibration`` (from a distance to evidence), ``evidence`` (over windows),
``stream`` (all of it for one distribution), ``effects`` (the least that matters), ``estimate`` (without labels).
"""
