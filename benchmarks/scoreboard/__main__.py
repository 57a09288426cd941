"""``python -m benchmarks.scoreboard``: measure everything, write the figures, the page and its pictures."""

import argparse
import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.scoreboard import report
from benchmarks.scoreboard.measure import PARTS, SIZES, measure, same_size


def main() -> None:
    """Measure false pages a month together with delays, and write benchmarks/scoreboard.json and docs/scoreboard.md."""
    parser = argparse.ArgumentParser(prog="make scoreboard", description=main.__doc__)
    parser.add_argument("--full", action="store_true", help="five times the months and repeats: hours")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works; figures mean nothing")
    parser.add_argument("--models", type=int, help="models per null, each watched for three months")
    parser.add_argument("--streams", type=int, nargs="+", help="numbers of features (default: 20 200)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="measure these anew, keep the others' figures")
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder that has benchmarks/ and docs/ (default: here)"
    )
    parser.add_argument("--report-only", action="store_true", help="write the page anew from the figures of last time")
    parser.add_argument("--json", action="store_true", help="print the figures, too")
    given = parser.parse_args()
    figures, docs = given.out / "benchmarks" / "scoreboard.json", given.out / "docs"
    if not given.report_only:
        size = SIZES["full" if given.full else "quick" if given.quick else "usual"]
        size = replace(size, models=given.models or size.models, streams=tuple(given.streams or size.streams))
        kept = json.loads(figures.read_text()) if given.only and figures.exists() else {}
        if given.only and not (kept and same_size(kept, size)):
            parser.error(f"--only needs the others' figures of the same size in {figures}: measure all of it first")
        results = measure(size, given.workers, given.only or PARTS, partial(print, file=sys.stderr, flush=True))
        if kept:
            results = {**kept, **results, "settings": {**results["settings"], "seconds": None}}
        figures.parent.mkdir(parents=True, exist_ok=True)
        figures.write_text(json.dumps(results, indent=1) + "\n")
    elif not figures.exists():
        parser.error(f"there is no {figures} to write a page from: run make scoreboard without --report-only first")
    results = json.loads(figures.read_text())
    report.write(results, docs)
    if given.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
