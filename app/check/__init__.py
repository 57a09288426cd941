"""``driftline check``: are the rows of one file like those of another? No Kafka, no ClickHouse, the same detectors.

Reading order: ``inputs`` (two files as columns of one kind), ``blocks`` (how the reference is cut, to learn what
differs by nature), ``compare`` (findings), ``show``, ``figures`` and ``report`` (for people).
"""
