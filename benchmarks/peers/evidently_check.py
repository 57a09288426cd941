"""Evidently's data drift preset on two Parquet files, in an environment of its own; prints seconds of each round."""

import json
import sys
import time

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
numbers = [name for name in reference.columns if name.startswith("x")]
categories = [name for name in reference.columns if name.startswith("c")]
definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
seconds = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    before = Dataset.from_pandas(reference, data_definition=definition)
    after = Dataset.from_pandas(current, data_definition=definition)
    found = Report([DataDriftPreset()]).run(after, before).dict()
    seconds.append(time.perf_counter() - began)
    if not found["metrics"]:
        raise SystemExit("no metrics")
print(json.dumps({"seconds": seconds}))
