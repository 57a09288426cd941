"""A service that is killed after any record goes on with the next one: the log ends as if nothing had happened."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.demo.resume import Partition, Seen, position
from app.demo.step import Message

PARTITIONS = 3
SOURCES = ("predictions", "outcomes")
WHERE: list[Partition] = [(topic, number) for topic in SOURCES for number in range(PARTITIONS)]

messages = st.lists(
    st.builds(
        lambda topic, name: Message(topic, f"id-{name}", b""),
        st.sampled_from(["predictions", "outcomes"]),
        st.integers(0, 12),
    ),
    max_size=40,
)


def partition_of(message: Message) -> Partition:
    return message.topic, sum(message.prediction_id.encode()) % PARTITIONS


def log_of(steps: list[list[Message]]) -> dict[Partition, list[Seen]]:
    """All records of an undisturbed run: the messages of each step, then its promise, in every partition."""
    log: dict[Partition, list[Seen]] = {where: [] for where in WHERE}
    for step, sent in enumerate(steps):
        for message in sent:
            log[partition_of(message)].append(Seen(message.prediction_id, None))
        for where in WHERE:
            log[where].append(Seen(None, step + 1))
    return log


@given(steps=st.lists(messages, min_size=1, max_size=4), data=st.data())
def test_whatever_prefix_is_there_the_rest_follows(steps: list[list[Message]], data: st.DataObject) -> None:
    whole = log_of(steps)
    last = len(steps) - 1
    before = {where: 0 if last == 0 else end.index(Seen(None, last)) + 1 for where, end in whole.items()}
    there = {
        where: end[: data.draw(st.integers(before[where], len(end)), label=str(where))] for where, end in whole.items()
    }
    found = position(there)
    promised = [where for where in WHERE if there[where] and there[where][-1] == Seen(None, last + 1)]
    step = 0 if found.base is None else found.base
    if len(promised) == len(WHERE):
        assert step == last + 1
        assert not found.sent
        return
    assert step == last
    assert found.promised == set(promised)
    after = {where: list(end) for where, end in there.items()}
    for message in found.missing(steps[step]):
        after[partition_of(message)].append(Seen(message.prediction_id, None))
    for where in WHERE:
        if where not in found.promised:
            after[where].append(Seen(None, step + 1))
    assert after == whole


def test_two_promises_back_is_far_enough() -> None:
    steps = [[Message("predictions", f"id-{n}", b"") for n in range(20)] for _ in range(5)]
    whole = log_of(steps)
    ends = {}
    for where, end in whole.items():
        promises = [at for at, seen in enumerate(end) if seen.progress is not None]
        assert all(earlier < later for earlier, later in pairwise(promises))
        ends[where] = end[promises[-2] :]
    assert position(ends) == position(whole)
