"""Scenario 11: labels that come long after their prediction, before it, or for none."""

import numpy as np
from comparison import check
from faults_world import World
from loads import HOUR, LABEL_HORIZON, START


def test_labels_come_late_early_or_in_vain(world: World) -> None:
    """The late ones after a restart, to a memory that has forgotten nearly every prediction."""
    load, oracle = world.load, world.oracle
    prediction, outcome = oracle.pairs()
    assert np.count_nonzero(prediction > outcome) > len(load) // 200, "labels before their prediction"
    assert np.count_nonzero(load.table.late_phase[outcome]) > len(load) // 50, "labels hours later"

    first = world.role("aggregate", cache_events=1_000).go()
    world.feed(load.first_phase)
    world.progress(load.shape.end)
    world.wait_for_watermarks(load.shape.end)
    first.leave()
    second = world.role("aggregate", cache_events=1_000).go()
    world.finish()
    second.alive()
    check(oracle, world.warehouse)
    check_unmatched(world)


def check_unmatched(world: World) -> None:
    """Every label of no prediction is in the view, and it is given up when no prediction can come for it any more."""
    t, load = world.load.table, world.load
    predicted = np.zeros(len(load.time), bool)
    predicted[t.request[(t.topic == 0) & (t.request >= 0)]] = True
    mine = (t.topic == 1) & (world.oracle.verdict == "counted")
    orphans = np.flatnonzero(mine & ~predicted[t.request])
    expected = {f"{number:09d}": int(time) for number, time in zip(t.request[orphans], t.time[orphans], strict=True)}
    sql = "SELECT prediction_id, toUnixTimestamp64Milli(event_time), toString(state) FROM unmatched_outcomes"
    found = {name: (at, state) for name, at, state in world.warehouse.rows(sql)}
    assert {name: at for name, (at, _) in found.items()} == expected
    promised = load.shape.end + HOUR
    given_up = {name for name, at in expected.items() if at + LABEL_HORIZON <= promised}
    assert 0 < len(given_up) < len(expected)
    assert {name for name, (_, state) in found.items() if state == "unmatched"} == given_up

    world.progress(START + 100 * HOUR)
    world.wait_for_watermarks(START + 100 * HOUR)
    assert {state for _, _, state in world.warehouse.rows(sql)} == {"unmatched"}
