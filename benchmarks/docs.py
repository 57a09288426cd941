"""``python -m benchmarks.docs``: put the figures of results.json into the documents, where nobody types one by hand.

A part of a document between ``<!-- NAME -->`` and ``<!-- /NAME -->`` is replaced by what is rendered here.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from benchmarks import capacity
from benchmarks.measure import load, number

DOCS = Path(__file__).parents[1] / "docs"
Results = Mapping[str, Mapping[str, Any]]


class Aim(NamedTuple):
    """What a measurement is held to.

    Attributes:
        what: is measured, in a few words.
        least: the value must be at least, ``most``: at most that.
        versus: peer -> the ratio must be at least that.
    """

    what: str
    least: float | None = None
    most: float | None = None
    versus: Mapping[str, float] = {}

    def words(self) -> str:
        """The aim as people read it."""
        parts = [f"≥ {number(self.least)}"] if self.least is not None else []
        parts += [f"≤ {number(self.most)}"] if self.most is not None else []
        parts += [f"≥ {ratio:g} x {peer}" for peer, ratio in self.versus.items()]
        return ", ".join(parts)

    def reached(self, result: Mapping[str, Any]) -> bool:
        """Whether a result is as it should be."""
        return (
            (self.least is None or result["value"] >= self.least)
            and (self.most is None or result["value"] <= self.most)
            and all(result["versus"].get(peer, 0.0) >= ratio for peer, ratio in self.versus.items())
        )


AIMS: dict[str, Aim] = {
    "aggregate_json": Aim(
        "JSON through all of stage 1, ids kept", 200_000, versus={"quix-streams": 2, "faust": 30, "decode": 0.4}
    ),
    "aggregate_json_raw": Aim("the same, with features in raw rows", 100_000),
    "aggregate_columnar": Aim("the same as the first, in columnar batches", 1_000_000),
    "join_cached": Aim("outcomes whose predictions are in memory", 100_000),
    "join_clickhouse": Aim("outcomes whose predictions are among 20M in ClickHouse", 30_000),
    "close_latency": Aim("last event of a window to its report, p99, at half load", most=2.0),
    "memory": Aim("stage 1 with 100 models x 50 features x 4 segments", most=1_000),
    "memory_slope": Aim("its growth over ten minutes, after three", most=1.0),
    "cost_per_model": Aim("an event of 100 models against one of 1 model", most=1.3),
    "cost_per_window": Aim("an event in a window of 30 days against one of an hour", most=1.3),
    "scaling": Aim("two processes on two cores against one"),
    "recovery": Aim("assignment to within 1 s of the log, windows of a day", most=10.0),
    "recovery_P30D": Aim("the same, windows of 30 days", most=10.0),
    "recovery_detection": Aim("until the group notices that its member is gone (session time-out 6 s)"),
}

CHECKS: dict[str, Aim] = {
    "check_codes": Aim("a million rows of 7 numbers and 3 categories (as codes), arrays to verdicts", 3_000_000),
    "check_strings": Aim("the same, categories as Python's strings"),
    "check_reference": Aim("what the reference was, made of as many rows: once"),
    "check_window": Aim("the tick of a window of 50 features in 4 segments", most=20),
    "check_peer_evidently": Aim("the same rows through Evidently's data drift preset"),
    "check_peer_whylogs": Aim("... whylogs: a profile, and its drift scores"),
    "check_peer_nannyml": Aim("... NannyML's univariate drift, Jensen-Shannon"),
}
"""What ``python -m benchmarks.check`` measures, for docs/check.md."""


def main() -> None:
    """Renew every generated part of the documents from benchmarks/results.json."""
    write()


def write() -> None:
    """Renew the documents."""
    results = load()
    for name in PARTS:
        path = DOCS / f"{name}.md"
        path.write_text(render(name, path.read_text(encoding="utf-8"), results), encoding="utf-8")


def render(document: str, text: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The text of a document with its generated parts made anew.

    Raises:
        ValueError: it lacks one of them.
    """
    known = {result["name"]: result for result in results}
    for part, make in PARTS[document].items():
        pattern = re.compile(rf"(<!-- {part} -->\n).*?(<!-- /{part} -->)", re.DOTALL)
        made = make(known)
        text, found = pattern.subn(lambda match, made=made: f"{match[1]}{made}\n{match[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"docs/{document}.md has {found} parts <!-- {part} -->, it must have one")
    return text


def _aims(results: Results, aims: Mapping[str, Aim]) -> str:
    lines = ["| name | what | median | spread | aim | reached |", "|---|---|---:|---:|---|---|"]
    for name, aim in aims.items():
        if (result := results.get(name)) is None:
            verdict = "no" if aim.words() else ""
            lines.append(f"| `{name}` | {aim.what} | not measured | | {aim.words()} | {verdict} |")
            continue
        ratios = ", ".join(f"{ratio:.2f} x {peer}" for peer, ratio in result["versus"].items())
        value = f"{number(result['value'])} {result['unit']}{f'; {ratios}' if ratios else ''}"
        verdict = ("yes" if aim.reached(result) else "**no**") if aim.words() else ""
        lines.append(f"| `{name}` | {aim.what} | {value} | {result['spread']:.0%} | {aim.words()} | {verdict} |")
    return "\n".join(lines)


def _figures(results: Results) -> str:
    return _aims(results, AIMS)


def _checks(results: Results) -> str:
    return _aims(results, CHECKS)


def _checked(results: Results) -> str:
    return _machine({name: result for name, result in results.items() if name in CHECKS})


def _others(results: Results) -> str:
    lines = ["| name | median | spread | rounds |", "|---|---:|---:|---:|"]
    lines += [
        f"| `{name}` | {number(result['value'])} {result['unit']} | {result['spread']:.0%} | {result['rounds']} |"
        for name, result in results.items()
        if name not in AIMS and name not in CHECKS
    ]
    return "\n".join(lines)


def _machine(results: Results) -> str:
    found = {
        f"{result['cores']} cores ({result['cpu']}), "
        + ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        for result in results.values()
    }
    if not results:
        return "Not measured."
    days = sorted({result["at"] for result in results.values()})
    between = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Measured {between} on " + "; ".join(sorted(found)) + "."


PARTS: dict[str, dict[str, Callable[[Results], str]]] = {
    "performance": {"figures": _figures, "others": _others, "machine": _machine},
    "check": {"figures": _checks, "machine": _checked},
    "capacity": {"inputs": capacity.inputs, "plan": capacity.plan},
}


if __name__ == "__main__":
    typer.run(main)
