"""An owner's own limits: ``labelled.auc < 0.75 for 2 windows``, on any number that stage 2 settles once.

    rule   = metric ("<" | "<=" | ">" | ">=") number { "for" count "windows" | "[" tag "=" value "]" }
    metric = "labelled." m | "estimate." m | "feature." name "." m | "score." m | "latency." m | "quality.counted"

Numbers that still grow after their window has closed (late and duplicate events, revised performance) are not offered:
a page must not depend on when it was looked at. ``labelled`` is the performance that was tested once.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.tasks import ESTIMATED, IN_SEGMENTS, METRICS, SCORE, Task

Operator = Literal["<", "<=", ">", ">="]

COVERAGE = "labelled.coverage"
"""The share of a tested window's predictions that had a label."""

EVERY_FEATURE = ("null_rate", "psi", "jensenshannon", "chisquare", "chisquare_p_value")
NUMBERS = ("outside_share", "mean", "minimum", "maximum", "ks", "wasserstein")
CATEGORIES = ("unseen_share",)
LATENCY = ("p50", "p95", "p99", "throughput")
"""Milliseconds; throughput in rows a second."""

MOST_WINDOWS = 1000
_SHOWN = 12


class RuleError(ValueError):
    """A rule that cannot be read: where, what was found, what is valid."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit that somebody must be called for.

    Attributes:
        text: the rule in one spelling; its name.
        metric: path of the number, e.g. ``feature.temp.null_rate``.
        windows: in a row for which it must be broken.
        segment: ``tag=value``; empty for all rows.
    """

    text: str
    metric: str
    operator: Operator
    limit: float
    windows: int
    segment: str

    @property
    def view(self) -> str:
        """``labelled``, ``estimate``, ``feature``, ``score``, ``latency`` or ``quality``."""
        return self.metric.partition(".")[0]

    @property
    def name(self) -> str:
        """The feature; empty for the rest."""
        return self.metric.partition(".")[2].rpartition(".")[0]

    @property
    def measure(self) -> str:
        """What is measured of it, e.g. ``null_rate``."""
        return self.metric.rpartition(".")[2]

    def broken(self, value: float) -> bool:
        """Whether somebody must be called when the number is ``value``."""
        match self.operator:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
        return value >= self.limit


def metrics(task: Task, features: Iterable[tuple[str, str]]) -> dict[str, bool]:
    """Path of every number that a rule may be about -> whether it is there per segment.

    Args:
        task: of the model; ``labelled`` is of the tested windows of whoever served.
        features: (name, kind) of a model's features.
    """
    known = {f"labelled.{metric}": metric in IN_SEGMENTS[task] for metric in METRICS[task]}
    known[COVERAGE] = False
    known |= {f"estimate.{metric}": False for metric in ESTIMATED[task]}
    for name, kind in features:
        for metric in (*EVERY_FEATURE, *(NUMBERS if kind == "number" else CATEGORIES)):
            known[f"feature.{name}.{metric}"] = True
    known |= {f"score.{metric}": False for metric in SCORE[task]}
    known |= {f"latency.{metric}": False for metric in LATENCY}
    return known | {"quality.counted": True}


def parse(text: str, known: Mapping[str, bool], tags: Collection[str]) -> Rule:
    """Read a rule.

    Args:
        text: as the owner wrote it.
        known: see :func:`metrics`.
        tags: the segments that the model declares.

    Raises:
        RuleError: with the position, counted from 1.
    """
    metric, at = _metric(text, known)
    found = re.compile(r"\s*(<=|>=|<|>)").match(text, at)
    if not found:
        raise _error(text, at, f"after {metric} comes one of <, <=, >, >=")
    operator, at = found[1], found.end()
    found = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.%])").match(text, at)
    if not found:
        raise _error(text, at, f"after {operator} comes a number, as in 0.75 (shares are from 0 to 1, latency in ms)")
    number, at = found[1], found.end()
    windows, segment = 0, ""
    while text[at:].strip():
        if (found := re.compile(r"\s*for\s+(\d{1,6})\s+windows?(?!\w)").match(text, at)) and not windows:
            windows = int(found[1])
            if not 1 <= windows <= MOST_WINDOWS:
                raise _error(text, found.start(1), f"windows in a row are 1 to {MOST_WINDOWS}")
        elif (found := re.compile(r"\s*\[([^\[\]]*)\]").match(text, at)) and not segment:
            segment = _segment(text, found, metric, known, tags)
        else:
            raise _error(text, at, 'what may follow is "for 2 windows" and "[tag=value]", each once')
        at = found.end()
    shown = f"{metric} {operator} {number}"
    shown += (f" for {windows} windows" if windows > 1 else "") + (f" [{segment}]" if segment else "")
    return Rule(shown, metric, operator, float(number), windows or 1, segment)  # type: ignore[arg-type]  # matched above


def _metric(text: str, known: Mapping[str, bool]) -> tuple[str, int]:
    start = len(text) - len(text.lstrip())
    # The longest that fits: names of features may hold dots, blanks and signs.
    for path in sorted(known, key=len, reverse=True):
        if text.startswith(path, start) and re.match(r"[\s<>=!]|$", text[start + len(path) :]):
            return path, start + len(path)
    typed = re.split(r"[<>=!]", text[start:], maxsplit=1)[0].strip()
    near = difflib.get_close_matches(typed, known, n=3, cutoff=0.6)
    view = typed.partition(".")[0]
    valid = near or [path for path in known if path.startswith(f"{view}.")] or list(known)
    shown = ", ".join(valid[:_SHOWN]) + (f" and {len(valid) - _SHOWN} more" if len(valid) > _SHOWN else "")
    raise _error(text, start, f"no metric {typed!r} of this model; {'did you mean' if near else 'valid are'} {shown}")


def _segment(text: str, found: re.Match[str], metric: str, known: Mapping[str, bool], tags: Collection[str]) -> str:
    segment = found[1].strip()
    tag, equals, value = segment.partition("=")
    if not known[metric]:
        raise _error(text, found.start(1), f"{metric} is not counted by segment; leave [{segment}] out")
    if not equals or not value or tag not in tags:
        declared = ", ".join(f"{tag}=..." for tag in tags) or "none: declare a tag in spec.segments first"
        raise _error(text, found.start(1), f"{segment!r} is no segment of this model; declared are {declared}")
    return segment


def _error(text: str, at: int, why: str) -> RuleError:
    at += len(text[at:]) - len(text[at:].lstrip())
    return RuleError(f"{text!r}, position {at + 1}: {why}")
