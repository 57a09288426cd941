"""``make demo-faults`` on real Kafka: every fault on purpose is stopped, by id in the audit log."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.demo import faults


@pytest.mark.timeout(600)
def test_every_fault_is_stopped(tmp_path: Path, kafka_cache: Path) -> None:
    command = [sys.executable, "-m", "app.demo.faults", "--root", str(tmp_path / "faults"), "--json"]
    run = subprocess.run(
        [*command, "--cache", str(kafka_cache)], capture_output=True, text=True, timeout=550, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert [check["held"] for check in found] == [True] * 4
    assert all(check["id"].split("-")[0] in ("verdict", "incident") for check in found)


def _verdict(version: str, stage: str, outcome: str, **numbers: float) -> dict[str, object]:
    identity = f"verdict-{version}-{stage}"
    return {"id": identity, "version": version, "stage": stage, "outcome": outcome, "text": "", "numbers": numbers}


def test_a_fault_that_was_not_stopped_is_told() -> None:
    passed = [_verdict(faults.SHUFFLED, "judge", "pass")]
    assert not faults.judged(passed, [], faults.SHUFFLED, "fail", "shuffled").held
    shadowed = [{"step": "start shadow", "shadows": [{"version": faults.SHUFFLED}]}]
    failed = [_verdict(faults.SHUFFLED, "judge", "fail")]
    assert faults.judged(failed, [], faults.SHUFFLED, "fail", "shuffled").held
    assert not faults.judged(failed, shadowed, faults.SHUFFLED, "fail", "shuffled").held
    good = _verdict(faults.CELSIUS, "judge", "pass")
    serving = [{"step": "promote", "champion": {"version": faults.CELSIUS}, "shadows": []}]
    assert not faults.celsius([good, _verdict(faults.CELSIUS, "shadow", "pass")], serving).held
    timed_out = _verdict(faults.CELSIUS, "shadow", "inconclusive", e_better=3.0)
    former = [{"step": "end shadow", "champion": {"version": "1"}, "shadows": []}]
    assert not faults.celsius([good, timed_out], former).held
