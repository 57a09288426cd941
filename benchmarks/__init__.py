"""Side-by-side measurements on real Kafka and the real ClickHouse engine: ``make bench``. Nothing here is a test.

Every figure is of one run on one machine, beside peers on the same topic in the same run; the ratio is what counts.
"""
