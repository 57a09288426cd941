"""Broken versions of the real stage 1, each of which a fault test must notice: ``make mutants``.

A mutant replaces a piece of stage 1, or of what it reads by, in the process that a test starts; the code itself stays
as it is. It is caught when its test fails by what it looks at, and not when the mutant cannot even start.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).parent


def commit_after_publish() -> None:
    """C4 after C7: what is told is not decided yet. A kill in between leaves the head ahead of the pointer."""
    module: Any = importlib.import_module("streams.aggregate.checkpoint")

    commit, reveal = module._commit, module.reveal
    asked: list[tuple[Any, ...]] = []

    def later(*arguments: Any) -> None:
        asked.append(arguments)

    def reveal_first(*arguments: Any) -> None:
        reveal(*arguments)
        commit(*asked.pop())

    module._commit, module.reveal = later, reveal_first


def unbounded_look_up() -> None:
    """Look-ups see raw rows beyond the position: whoever counts an event again takes itself for a duplicate."""
    client: Any = importlib.import_module("warehouse.client").Warehouse
    arrow = client.arrow

    def unbounded(self: Any, sql: str, parameters: dict[str, Any], **named: Any) -> Any:
        beyond = {"below": [2**62 for _ in parameters["below"]]} if "below" in parameters else {}
        return arrow(self, sql, parameters | beyond, **named)

    client.arrow = unbounded


def watermark_not_restored() -> None:
    """Whoever takes over has no watermarks: events that are too late are counted."""
    module: Any = importlib.import_module("streams.aggregate.assign")

    load = module._load

    def forgetful(*arguments: Any, **named: Any) -> Any:
        state = load(*arguments, **named)
        state.watermarks = {}
        return state

    module._load = forgetful


def refusal_ignored() -> None:
    """The answer to the commit is not looked at: a zombie tells what was never decided."""
    module: Any = importlib.import_module("streams.aggregate.checkpoint")

    commit = module._commit

    def hopeful(*arguments: Any) -> None:
        try:
            commit(*arguments)
        except module.CommitRefused:
            return

    module._commit = hopeful


def no_redo() -> None:
    """Whoever takes over does not repeat C5 to C7: what a kill cut off there never comes."""
    module: Any = importlib.import_module("streams.aggregate.assign")

    module.reveal = lambda _redos, _out: None


MUTANTS: dict[str, tuple[Callable[[], None], str]] = {
    "commit-after-publish": (commit_after_publish, "test_faults_kills.py::test_killed_between_every_two_steps"),
    "unbounded-look-up": (unbounded_look_up, "test_faults_kills.py::test_killed_between_every_two_steps"),
    "watermark-not-restored": (watermark_not_restored, "test_faults_kills.py::test_killed_between_every_two_steps"),
    "no-redo": (no_redo, "test_faults_kills.py::test_killed_between_every_two_steps"),
    "refusal-ignored": (refusal_ignored, "test_faults_zombie.py::test_its_commit_is_tried_and_refused[C3-classic]"),
}
"""Name -> (what breaks this process, the test that must fail)."""


def apply(name: str) -> None:
    """Break this process.

    Raises:
        KeyError: there is no such mutant.
    """
    if name:
        MUTANTS[name][0]()


def caught(name: str) -> str | None:
    """Why the mutant's test failed; None when it passed.

    Raises:
        RuntimeError: the test could not be run, or the mutant could not start: nothing is known.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", str(HERE / MUTANTS[name][1]), f"--junitxml={report}"]
        ran = subprocess.run(
            command, env=os.environ | {"MUTANT": name}, cwd=HERE.parents[1], capture_output=True, text=True, check=False
        )
        failures = list(ElementTree.parse(report).iter("failure")) if report.exists() else []  # noqa: S314  our own
        if ran.returncode == 0:
            return None
        # A piece that is not what it was any more breaks the process in ways that prove nothing.
        ill = ("before ready", "TypeError", "AttributeError", "KeyError", "ImportError")
        if not failures or any(sign in failures[0].get("message", "") for sign in ill):
            raise RuntimeError(f"{name} could not be tried:\n{ran.stdout[-3000:]}")
        return " ".join(failures[0].get("message", "").split())


def main() -> None:
    """Try mutants; exit 1 when one survives."""
    parser = argparse.ArgumentParser(
        description="Break stage 1 in a known way, and see a fault test fail. Takes a minute per mutant.",
        epilog="exit code 0: all were caught; 1: one survived. "
        + " ".join(f"{n}: {m[1]}." for n, m in MUTANTS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="MUTANT", help=f"of {', '.join(MUTANTS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="a JSON list instead of a table")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in MUTANTS]:
        parser.error(f"no mutant {unknown[0]}; valid: {', '.join(MUTANTS)}")
    found = []
    for name in asked.names or MUTANTS:
        reason = caught(name)
        found.append({"mutant": name, "caught": reason is not None, "test": MUTANTS[name][1], "reason": reason or ""})
        sys.stderr.write(f"{name:24} {'caught' if reason else 'SURVIVED':9} {(reason or '')[:120]}\n")
    if asked.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    sys.exit(not all(each["caught"] for each in found))


if __name__ == "__main__":
    main()
