"""What docs/analysts.md says of the cost of raw rows comes from a command that works."""

import json
from pathlib import Path

import pytest

from benchmarks.bytes_per_event import main


def test_it_measures_both_tables(kafka_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(days=2, cache=kafka_cache, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"predictions", "outcomes"}
    for numbers in found.values():
        assert numbers["rows"] > 1_000
        assert 0 < numbers["disk_bytes"] < numbers["plain_bytes"] < numbers["sent_bytes"]
