"""What flows through driftline: events, partials, reports, lifecycle records, topics, tables, settings.

Reading order: ``events`` (what services send), ``spec`` (what a model owner declares), ``windows`` (event time),
``partials`` (what stage 1 tells stage 2), ``lifecycle`` (reports, incidents, requests, candidates, rollouts),
``topics`` and ``tables`` (where all of it lives), ``settings`` (how a process is told where things are).
Nothing here does I/O or reads a clock.
"""
