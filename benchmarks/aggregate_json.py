"""``python -m benchmarks.aggregate_json``: one JSON event a message, raw rows with ids only."""

import typer

from benchmarks.aggregate import measure
from benchmarks.events import Shape
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report


def main(
    events: Events = 4_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """Events per second of CPU through stage 1: Kafka, decode, validate, dedupe, window, sketch, checkpoint.

    An event is 398 to 428 bytes of JSON with 10 features, uncompressed, in 4 partitions; the model has a reference of
    32 bins and 4 segments. Raw rows keep ids, verdicts and scores, not features. Beside it, on the same topic in the
    same rounds: a bare consumer, a consumer with a typed decoder, Quix Streams that decodes, Faust that counts.
    """
    report(measure("aggregate_json", [Shape(raw_features=False)], events, rounds, root, cache), out)


if __name__ == "__main__":
    typer.run(main)
