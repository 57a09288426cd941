"""``python -m tests.protocol``: run schedules of the protocol's model, or show that its mutants are caught."""

import argparse
import json
import sys
import time

from .mutants import MUTANTS
from .schedule import run
from .world import Violation


def first_violation(seed: int, schedules: int, mutant: str = "") -> tuple[int, str] | None:
    """(seed, what) of the first schedule that fails; None when none does."""
    for number in range(seed, seed + schedules):
        try:
            run(number, mutant)
        except Violation as violation:
            return number, " ".join(str(part) for part in violation.args)[:300]
    return None


def main() -> int:
    """Exit 0 when the protocol holds and every mutant asked for is caught, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.protocol",
        description="Model check of exact counting: kills, zombies, lost commits, outages at any step, and an oracle.",
        epilog="A schedule is its seed: --seed N --schedules 1 repeats what failed.",
    )
    parser.add_argument("--schedules", type=int, default=2_000, help="how many schedules (per mutant at most)")
    parser.add_argument("--seed", type=int, default=1, help="of the first; the others follow")
    parser.add_argument("--mutant", choices=[*MUTANTS, "all"], help="remove one rule; it must be caught")
    parser.add_argument("--list", action="store_true", help="what the mutants are")
    parser.add_argument("--json", action="store_true", help="a line of JSON per result")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(f"{name:24} {what}" for name, what in MUTANTS.items()))
        return 0
    good = True
    for mutant in MUTANTS if asked.mutant == "all" else [asked.mutant or ""]:
        began = time.monotonic()
        found = first_violation(asked.seed, asked.schedules, mutant)
        good &= (found is not None) == bool(mutant)
        seconds = round(time.monotonic() - began, 1)
        if asked.json:
            told = {"mutant": mutant or None, "schedules": asked.schedules, "seconds": seconds, "violation": found}
            print(json.dumps(told), flush=True)
        elif found:
            print(f"{mutant or 'protocol':24} seed {found[0]}, {seconds} s: {found[1]}", flush=True)
        else:
            print(f"{mutant or 'protocol':24} no violation in {asked.schedules} schedules, {seconds} s", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
