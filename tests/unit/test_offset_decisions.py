"""What committed offsets, heads and logs say together: the table of decisions before stage 1 starts."""

import pytest

from app.offsets.places import Ends, Facts, Head, Kind, Place, _problems, pointer_of
from app.offsets.words import table
from schemas.settings import Settings

HEAD = Head(7, "me", (100, 50))
NEXT = Head(8, "me", (120, 60))
NONE = Head(0, "", (0, 0))


def place(
    committed: tuple[int | None, int | None],
    metadata: str,
    *,
    head: Head = HEAD,
    decided: Head | None = None,
    lows: tuple[int, int] = (0, 0),
) -> Place:
    ends = (Ends(lows[0], 1_000), Ends(lows[1], 500))
    return Place(0, committed, metadata, head, decided or head, ends)


def found(given: Place) -> list[tuple[Kind, str]]:
    return [(problem.kind, problem.topic.rpartition(".")[2]) for problem in _problems(Settings(), given, set())]


PREDICTIONS, OUTCOMES = "predictions", "outcomes"


@pytest.mark.parametrize(
    ("given", "kinds", "starts"),
    [
        # As stage 1 leaves it: in order; killed between the decision and the head; before the first checkpoint.
        (place((100, 50), "1:7:me"), [], (100, 50)),
        (place((120, 60), "1:8:me", decided=NEXT), [], (120, 60)),
        (place((None, None), "", head=NONE), [], (0, 0)),
        (place((None, None), "", head=NONE, lows=(40, 40)), [], (0, 0)),
        # Expired, or deleted with the group.
        (place((None, None), ""), [("reset", PREDICTIONS)], (100, 50)),
        (place((90, 45), "1:6:me"), [("reset", PREDICTIONS)], (100, 50)),
        # Reset by kafka-consumer-groups, which leaves no metadata: backward, forward, to the very same place.
        (place((0, 50), ""), [("reset", PREDICTIONS)], (100, 50)),
        (place((1_000, 50), ""), [("reset", PREDICTIONS)], (100, 50)),
        (place((100, 50), ""), [("reset", PREDICTIONS)], (100, 50)),
        (place((1_000, 500), ""), [("reset", PREDICTIONS), ("reset", OUTCOMES)], (100, 50)),
        (place((1_000, 500), "", head=NONE), [("reset", PREDICTIONS), ("reset", OUTCOMES)], (0, 0)),
        (place((120, 500), "", decided=NEXT), [("reset", PREDICTIONS), ("reset", OUTCOMES)], (120, 60)),
        # Reset of outcomes alone: forward skips, also from a decision whose head is missing; backward does nothing.
        (place((100, 51), "1:7:me"), [("reset", OUTCOMES)], (100, 50)),
        (place((120, 61), "1:8:me", decided=NEXT), [("reset", OUTCOMES)], (120, 60)),
        (place((None, 500), "", head=NONE), [("reset", OUTCOMES)], (0, 0)),
        (place((100, 0), "1:7:me"), [], (100, 50)),
        # By a program that keeps the metadata.
        (place((101, 50), "1:7:me"), [("reset", PREDICTIONS)], (100, 50)),
        # Behind deleted events: refused, until an operator has committed what is left; later Kafka deletes more.
        (place((100, 50), "1:7:me", lows=(300, 0)), [("deleted", PREDICTIONS)], (100, 50)),
        (place((300, 50), "1:7:me", lows=(300, 0)), [], (300, 50)),
        (place((300, 50), "1:7:me", lows=(310, 0)), [("deleted", PREDICTIONS)], (300, 50)),
        (place((310, 50), "1:7:me", lows=(300, 0)), [("reset", PREDICTIONS), ("deleted", PREDICTIONS)], (100, 50)),
        # Nothing was counted, and an operator has undone a reset.
        (place((40, 40), "1:0:nobody", head=NONE, lows=(40, 40)), [], (40, 40)),
        # Another database, or another program, or a later driftline.
        (place((900, 400), "1:30:other"), [("ahead", PREDICTIONS)], (100, 50)),
        (place((900, 400), "of another program"), [("ahead", PREDICTIONS)], (100, 50)),
        (place((900, 400), "2:8:me"), [("ahead", PREDICTIONS)], (100, 50)),
    ],
)
def test_what_is_committed_is_judged_by_what_is_recorded(
    given: Place, kinds: list[tuple[Kind, str]], starts: tuple[int, int]
) -> None:
    assert found(given) == kinds
    assert (given.start(0), given.start(1)) == starts


def test_a_reset_is_told_in_plain_words() -> None:
    told = [f"{problem.text} To go on: {problem.mend}" for problem in _problems(Settings(), place((0, 500), ""), set())]
    assert (
        "has offset 0 of driftline.predictions[0] committed, but events are counted to 100 (checkpoint 7):" in told[0]
    )
    assert "skipped" not in told[0]
    assert (
        "has offset 500 of driftline.outcomes[0] committed, but events are counted to 50 (checkpoint 7), 450 "
        in told[1]
    )
    for text in told:
        assert "somebody has reset the group's offsets (kafka-consumer-groups --reset-offsets)" in text
        assert "driftline offsets restore: it commits checkpoint 7" in text
        assert "database" not in text


def test_a_reset_that_changes_nothing_is_said_beside_the_table() -> None:
    said = "outcomes[0]: offset 0 is committed, but events are counted to 50, where stage 1 goes on."
    assert said in table(Facts([place((100, 0), "1:7:me")]))
    assert "is committed" not in table(Facts([place((100, 50), "1:7:me")]))


def test_the_pointer_that_is_restored_is_of_the_last_decision() -> None:
    assert pointer_of(place((0, 0), "")) == "1:7:me"
    assert pointer_of(place((0, 0), "", decided=NEXT)) == "1:8:me"
    assert pointer_of(place((9, 9), "", head=NONE)) == "1:0:nobody"
