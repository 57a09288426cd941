"""``driftline check``: are the rows of one file like those of another? No Kafka, no ClickHouse.

Bins, distances, hard rules and the band of the loss are the monitor's; limits are those of one look (ADR 15).

Reading order: ``inputs`` (two files as columns of one kind), ``blocks`` (how the reference is cut, to learn what
differs by nature), ``compare`` (findings), ``show``, ``figures`` and ``report`` (for people).
"""
