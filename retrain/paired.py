"""One observation of the gate: the mean paired Brier difference of two versions in one window.

Paired: over the predictions that both versions answered, so that what differs is the versions and not the requests.
Only rows below the report's offsets, and only labels that came before maturity, so that the number is the same
whenever, and by whomever, it is asked for.
"""

from collections.abc import Mapping

from msgspec import Struct

from warehouse.client import Warehouse

_ONE = 2**40

# Integers, so that the sum does not depend on the order of rows. The verdict of the largest seq is a row's verdict;
# grouping by the row's identity is FINAL for the rows of one window only.
_SQL = """
SELECT
    count(),
    sum(toInt64(round(((p.a - o.y) * (p.a - o.y) - (p.b - o.y) * (p.b - o.y)) * {one:Float64})))
FROM
(
    SELECT
        prediction_id,
        argMinIf(answer, (`offset`, `row`), version = {challenger:String}) AS a,
        argMinIf(answer, (`offset`, `row`), version = {champion:String}) AS b
    FROM
    (
        SELECT prediction_id, version, `offset`, `row`, any(score) AS answer
        FROM raw_predictions
        WHERE namespace = {namespace:String} AND model = {model:String}
            AND version IN ({challenger:String}, {champion:String})
            AND event_time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
            AND event_time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
            AND `offset` < transform(`partition`, {partitions:Array(UInt16)}, {predictions:Array(UInt64)}, toUInt64(0))
            AND score IS NOT NULL
        GROUP BY prediction_id, version, `partition`, `offset`, `row`
        HAVING argMax(verdict, seq) = 'counted'
    )
    GROUP BY prediction_id
    HAVING uniqExact(version) = 2
) AS p
INNER JOIN
(
    SELECT prediction_id, argMin(truth, (`offset`, `row`)) AS y
    FROM
    (
        SELECT prediction_id, `offset`, `row`, any(positive) AS truth, any(event_time) AS label_time
        FROM raw_outcomes
        WHERE namespace = {namespace:String} AND model = {model:String}
            AND prediction_id IN
            (
                SELECT prediction_id
                FROM raw_predictions
                WHERE namespace = {namespace:String} AND model = {model:String} AND version = {challenger:String}
                    AND event_time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
                    AND event_time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
            )
            AND `offset` < transform(`partition`, {partitions:Array(UInt16)}, {outcomes:Array(UInt64)}, toUInt64(0))
            AND positive IS NOT NULL
        GROUP BY prediction_id, `partition`, `offset`, `row`
        HAVING argMax(verdict, seq) = 'counted'
            AND label_time < fromUnixTimestamp64Milli({mature:Int64}, 'UTC')
    )
    GROUP BY prediction_id
) AS o ON o.prediction_id = p.prediction_id
"""


class Observation(Struct, frozen=True):
    """Challenger minus champion over the ``n`` labelled predictions of a window that both answered.

    ``difference`` is the mean Brier difference in [-1, 1], None without pairs.
    """

    window_start: int
    challenger: str
    champion: str
    n: int
    difference: float | None


def observe(
    warehouse: Warehouse,
    *,
    namespace: str,
    model: str,
    challenger: str,
    champion: str,
    window_start: int,
    width: int,
    maturity: int,
    as_of: Mapping[str, tuple[int, int]],
) -> Observation:
    """Compare two versions in the window that starts at ``window_start``.

    Args:
        warehouse: where the raw rows are.
        namespace: of the model.
        model: whose versions they are.
        challenger: the version whose loss comes first.
        champion: the version whose loss is subtracted.
        window_start: in milliseconds.
        width: of the window, in milliseconds.
        maturity: in milliseconds; labels from ``window_start + width + maturity`` on are too late.
        as_of: source partition -> next offsets of (predictions, outcomes), of the report that tests the window.
    """
    partitions = sorted(as_of, key=int)
    ((n, total),) = warehouse.rows(
        _SQL,
        {
            "namespace": namespace,
            "model": model,
            "challenger": challenger,
            "champion": champion,
            "start": window_start,
            "end": window_start + width,
            "mature": window_start + width + maturity,
            "partitions": [int(p) for p in partitions],
            "predictions": [as_of[p][0] for p in partitions],
            "outcomes": [as_of[p][1] for p in partitions],
            "one": float(_ONE),
        },
    )
    return Observation(window_start, challenger, champion, int(n), int(total) / int(n) / _ONE if n else None)
