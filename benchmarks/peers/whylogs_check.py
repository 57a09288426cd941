"""Profile a Parquet file with whylogs and score its drift, in an environment of its own; prints the seconds."""

import json
import sys
import time

import pandas as pd
import whylogs as why
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
before = why.log(reference).view()
seconds = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    after = why.log(current).view()
    found = calculate_drift_scores(target_view=after, reference_view=before, with_thresholds=True)
    seconds.append(time.perf_counter() - began)
    if len(found) != len(reference.columns):
        raise SystemExit(f"{len(found)} scores")
print(json.dumps({"seconds": seconds}))
