"""NannyML's univariate drift of one chunk against a fitted reference, in an environment of its own; prints seconds."""

import json
import sys
import time

import nannyml
import pandas as pd

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
columns = list(reference.columns)
calculator = nannyml.UnivariateDriftCalculator(
    column_names=columns,
    treat_as_categorical=[name for name in columns if name.startswith("c")],
    continuous_methods=["jensen_shannon"],
    categorical_methods=["jensen_shannon"],
    chunk_size=len(current),
)
calculator.fit(reference)
seconds = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    found = calculator.calculate(current).filter(period="analysis").to_df()
    seconds.append(time.perf_counter() - began)
    if not len(found):
        raise SystemExit("no chunks")
print(json.dumps({"seconds": seconds}))
