"""One rule of the protocol removed at a time; each must be caught, or the model proves nothing."""

MUTANTS = {
    # The decision
    "no-fence": "a commit is accepted from whomever it comes",
    "ignore-commit-result": "C4 refused or unanswered is taken for a success",
    "publish-before-commit": "C5 - C7 come before C4",
    "retry-commit": "an unanswered C4 is tried again instead of leaving the group",
    "no-pointer": "the commit does not name its checkpoint: the newest redo record is believed",
    "no-owner": "redo records are keyed without their owner",
    # Making it visible
    "no-redo": "a new owner does not repeat C5 - C7 of the last checkpoint",
    "no-republish": "a new owner repeats C5 and C6 only",
    "record-before-rows": "C6 comes before C5",
    "publish-before-record": "C7 comes before C5 and C6",
    # The state of a partition
    "raw-after-commit": "C1 comes after C4",
    "forward-after-commit": "misrouted events are sent on after C4",
    "unbounded-dedupe": "the look-up of duplicates sees rows that are not committed",
    "unbounded-join": "the look-up of the other half sees rows that are not committed",
    "dedupe-memory-only": "duplicates are looked for in memory only",
    "join-memory-only": "the other half is looked for in memory only",
    "dedupe-any-age": "a copy makes a duplicate however old it is",
    "watermark-not-kept": "watermarks begin anew with every owner",
    "keep-state": "state outlives an assignment",
    "future-moves-clock": "an event from the future is counted, and moves the watermark",
    "wall-clock-future": "the future begins at this process's clock, not at the record's timestamp",
    "adopt-uncommitted": "an idle watermark is used before it is committed",
    "verdict-last-wins": "raw rows are not versioned by their checkpoint: who writes last wins",
    "mature-by-label-time": "a pair is in time by its label's own time, not by the watermark",
    # The monitor
    "idle-at-monitor": "the monitor leaves silent partitions out, by a clock of its own",
    "no-watermark-order": "a window closes when one partition has passed it",
    "rebuild-rows-first": "the monitor reads the rows before the heads",
    "no-dominance": "the monitor takes any message, whatever its number",
    "no-evaluate-on-touch": "a new monitor waits for a newer message before it decides",
    "no-reemit": "a new monitor does not send the last report's messages again",
    "ack-first": "the monitor commits its offset before its rows are written",
    "random-alert-id": "ids of alerts and requests are not derived from their cause",
    "detector-forgets": "the detector's state is not in the report",
    "report-last-wins": "revised rows are not versioned by the sum of the checkpoints",
}
"""Name -> what is wrong."""
