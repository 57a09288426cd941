"""All fault scenarios on a million events each, and their result as ``docs/faults.json``: ``make faults``."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULT = ROOT / "docs" / "faults.json"


def scenarios(report: Path) -> list[dict[str, Any]]:
    """What each test said of itself, and whether it passed."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  our own
        said = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        bad = next((each.get("message", "") for each in case if each.tag in ("failure", "error")), None)
        if "events" in said or bad is not None:
            found.append(
                {
                    "scenario": f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}",
                    "passed": bad is None,
                    "events": int(said.get("events", 0)),
                    "seed": int(said.get("seed", 0)),
                    "seconds": round(float(case.get("time", 0)), 1),
                    "kills": json.loads(said.get("kills", "[]")),
                }
                | ({"failure": " ".join(bad.split())[:300]} if bad is not None else {})
            )
    return found


def main() -> None:
    """Run, show progress, write the result; exit 1 when a scenario failed."""
    parser = argparse.ArgumentParser(
        description="Run the scenarios of tests/faults on many events; about a quarter of an hour for a million each.",
        epilog=f"The result is written to {RESULT.relative_to(ROOT)} unless only a part was run (-k).",
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="of each scenario, at least (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="of loads, kills and delays (default 1)")
    parser.add_argument("--json", action="store_true", help="print the result")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="only these tests, as pytest's -k")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-v", "--timeout=1800", str(HERE), f"--junitxml={report}", "-k", asked.k],
            env=os.environ | {"DRIFTLINE_FAULTS_EVENTS": str(asked.events), "DRIFTLINE_FAULTS_SEED": str(asked.seed)},
            cwd=ROOT,
            stdout=sys.stderr,
            check=False,
        ).returncode
        result = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "events_each": asked.events,
            "seed": asked.seed,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "seconds": round(time.monotonic() - began),
            "scenarios": scenarios(report),
        }
    text = json.dumps(result, indent=1) + "\n"
    if not asked.k:
        RESULT.write_text(text)
    if asked.json:
        sys.stdout.write(text)
    sys.exit(code)


if __name__ == "__main__":
    main()
