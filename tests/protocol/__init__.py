"""An executable model of the exact counting protocol: random schedules of faults, an oracle, and mutants.

Every process is a generator, and each ``yield`` is a point where it may be killed, or stopped and woken as a zombie.
``python -m tests.protocol --help`` runs as many schedules as you like.
"""
