"""Fault scenarios on a million events each; their results as ``docs/faults.json``, and read: ``make faults``."""

import argparse
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULT = ROOT / "docs" / "faults.json"
DOCUMENT = ROOT / "docs" / "faults.md"
EVENTS = 1_000_000
"""Fewer are a rehearsal, and no result."""

_PLACE = re.compile("(<!-- result -->).*?(<!-- /result -->)", re.DOTALL)


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
                    "when": datetime.now(UTC).isoformat(timespec="seconds"),
                    "cores": os.cpu_count(),
                    "python": platform.python_version(),
                    "events": int(said.get("events", 0)),
                    "seed": int(said.get("seed", 0)),
                    "seconds": round(float(case.get("time", 0)), 1),
                    "kills": json.loads(said.get("kills", "[]")),
                }
                | ({"failure": " ".join(bad.split())[:300]} if bad is not None else {})
            )
    return found


def merged(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest result of each scenario, by name."""
    return sorted(
        ({each["scenario"]: each for each in [*before, *now]}).values(), key=lambda each: str(each["scenario"])
    )


def render(text: str, found: list[dict[str, Any]]) -> str:
    """The text of the document, what it says of the last results made anew.

    Raises:
        ValueError: there is no place for them.
    """
    machines = {f"{each['cores']} cores, Python {each['python']}, seed {each['seed']}" for each in found}
    days = sorted({each["when"][:10] for each in found})
    passed = sum(each["passed"] for each in found)
    lines = [
        f"{passed} of {len(found)} scenarios passed, {' to '.join(dict.fromkeys((days[0], days[-1])))}, on "
        f"{'; '.join(sorted(machines))}; {sum(each['seconds'] for each in found) / 60:.0f} minutes in all.",
        "",
        "| scenario | events | kills | undecided at a kill, at least | seconds | passed |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for each in found:
        file, _, test = each["scenario"].partition("::")
        name = f"{file.removeprefix('test_faults_')}: {test.removeprefix('test_').replace('_', ' ')}"
        kills = each["kills"]
        share = f"{min(kill['past'] / each['events'] for kill in kills):.0%}" if kills else ""
        verdict = "yes" if each["passed"] else f"**no**: {each['failure'].replace('|', '/')}"
        lines.append(
            f"| {name} | {each['events']:,} | {len(kills) or ''} | {share} | {each['seconds']:.0f} | {verdict} |"
        )
    made, places = _PLACE.subn(lambda match: "\n".join([match[1], *lines, match[2]]), text)
    if places != 1:
        raise ValueError(f"{DOCUMENT.name} has {places} parts <!-- result -->, it must have one")
    return made


def write(found: list[dict[str, Any]]) -> None:
    """Write both; a line for each scenario, so that a difference is of scenarios."""
    lines = ",\n".join(json.dumps(each) for each in found)
    RESULT.write_text(f'{{"scenarios": [\n{lines}\n]}}\n', encoding="utf-8")
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8"), found), encoding="utf-8")


def main() -> None:
    """Run, show progress, write the results; exit 1 when a scenario failed."""
    parser = argparse.ArgumentParser(
        description="Run the scenarios of tests/faults on many events: a minute or two for each with a million.",
        epilog=f"Results are written to {RESULT.relative_to(ROOT)} and {DOCUMENT.relative_to(ROOT)}: those of a whole "
        f"run alone, or with -k beside the ones that are there; Ctrl-C keeps what is done. With fewer than {EVENTS:,} "
        "events nothing is written.",
    )
    parser.add_argument("--events", type=int, default=EVENTS, help=f"of each scenario, at least (default {EVENTS:,})")
    parser.add_argument("--seed", type=int, default=1, help="of loads, kills and delays (default 1)")
    parser.add_argument("--actions", type=int, default=12, help="of the random test, 8 at least (default 12)")
    parser.add_argument("--json", action="store_true", help="print the result")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="only these tests, as pytest's -k")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-v", "--timeout=1800", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        options += [f"--ignore={HERE / 'test_faults_mutants.py'}", "-k", asked.k]
        with (
            subprocess.Popen(
                [sys.executable, "-m", "pytest", str(HERE), *options],
                env=os.environ
                | {
                    "DRIFTLINE_FAULTS_EVENTS": str(asked.events),
                    "DRIFTLINE_FAULTS_SEED": str(asked.seed),
                    "DRIFTLINE_FAULTS_ACTIONS": str(asked.actions),
                },
                cwd=ROOT,
                stdout=sys.stderr,
            ) as running,
            # Ctrl-C ends pytest too, which then reports what it has: an hour's results are not lost.
            contextlib.suppress(KeyboardInterrupt),
        ):
            running.wait()
        found = scenarios(report)
    sys.stderr.write(f"{sum(each['passed'] for each in found)} of {len(found)} scenarios passed\n")
    if asked.events >= EVENTS:
        some = asked.k or running.returncode not in (0, 1)
        before = json.loads(RESULT.read_text())["scenarios"] if some and RESULT.exists() else []
        write(merged(before, found))
    if asked.json:
        sys.stdout.write(json.dumps({"scenarios": found}, indent=1) + "\n")
    sys.exit(running.returncode)


if __name__ == "__main__":
    main()
