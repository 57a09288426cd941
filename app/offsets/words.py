"""What ``driftline offsets show`` says, for people and for machines."""

from typing import Any

from app.offsets.places import SIDES, Facts, Place, Problem


def table(facts: Facts) -> str:
    """A line per partition, then what is wrong and what to do."""
    lines = [f"{'partition':>9}  {'checkpoint':>10}  {'recorded':>10}  {'predictions':>24}  {'outcomes':>24}"]
    lines += [_line(place) for place in facts.places]
    lines += [f"\n{text}" for place in facts.places for text in _harmless(place)]
    lines += [f"\n{problem.text}\n  To go on: {problem.mend}" for problem in facts.problems]
    return "\n".join(lines if facts.places else lines[1:])


def _line(place: Place) -> str:
    sides = ["{} of {}..{}".format(place.start(side), *place.ends[side]) for side in range(len(SIDES))]
    seq = "?" if place.seq is None else str(place.seq)
    return f"{place.partition:>9}  {seq:>10}  {place.head.seq:>10}  {sides[0]:>24}  {sides[1]:>24}"


def _harmless(place: Place) -> list[str]:
    """What is no problem, and not what somebody may have meant by it."""
    if place.lost:
        return []
    return [
        f"{side}[{place.partition}]: offset {at} is committed, but events are counted to {place.start(number)}, where "
        "stage 1 goes on. To reset offsets counts nothing again."
        for number, (side, at) in enumerate(zip(SIDES, place.committed, strict=True))
        if at is not None and at < place.decided.positions[number]
    ]


def refusal(problems: list[Problem]) -> str:
    """Why an aggregator does not start."""
    said = "\n".join(f"  {problem.text}\n    To go on: {problem.mend}" for problem in problems)
    return f"stage 1 does not start, since it could not count exactly:\n{said}\nSee also: driftline offsets show"


def as_json(facts: Facts) -> dict[str, Any]:
    """Everything, by the names of the fields."""
    return {
        "partitions": [
            {
                "partition": place.partition,
                "committed": dict(zip(SIDES, place.committed, strict=True)),
                "checkpoint": place.seq,
                "recorded": place.head.seq,
                "next": {side: place.start(number) for number, side in enumerate(SIDES)},
                "log": {side: list(place.ends[number]) for number, side in enumerate(SIDES)},
            }
            for place in facts.places
        ],
        "problems": [
            {
                "kind": problem.kind,
                "topic": problem.topic,
                "partition": problem.partition,
                "text": problem.text,
                "mend": problem.mend,
            }
            for problem in facts.problems
        ],
    }
