"""False pages a month *together with* delays, at the same thresholds: driftline beside others, on fixed seeds.

``python -m benchmarks.scoreboard`` writes benchmarks/scoreboard.json and docs/scoreboard.md with its pictures.
Reading order: ``worlds`` (what is simulated), ``ours``, ``rules`` and ``rivers`` (who judges it), ``false_pages`` and
``delays`` (features), ``breaks`` (hard rules), ``errors`` (labelled error), ``estimates`` (without labels), ``year``
(real flights), ``measure`` (all of it), ``report``.
"""
