"""The model: how it is fitted, asked, explained, saved and loaded.

Gradient-boosted trees over histograms (scikit-learn), which take missing values and categories as they are. A model is
a file that others may have touched, so it is never unpickled: skops builds only the types that are listed here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import skops.io
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from schemas.spec import FeatureSpec

LABEL = "label"
"""Name of the boolean column with what really happened."""

MAX_CATEGORIES = 254
"""Kept categories of a string, the most frequent ones; scikit-learn's histograms have 255 bins."""

ALLOWED_TYPES = (
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
)
"""What a model file may hold beyond what skops trusts by itself: the trees, and ``partial(check_array, ...)``, by
which scikit-learn passes numbers through beside categories. Fixed here, never asked from the file."""


class RefusedModelError(Exception):
    """A model file that is damaged or holds types that no model of ours needs; retrying does not help."""


@dataclass(frozen=True)
class FeaturePlan:
    """Which columns a model reads, by kind; the order is the model's."""

    strings: tuple[str, ...]
    numbers: tuple[str, ...]
    booleans: tuple[str, ...]

    @classmethod
    def of(cls, features: Iterable[FeatureSpec]) -> Self:
        """The plan of a model spec's features."""
        by_kind: dict[str, list[str]] = {"string": [], "number": [], "boolean": []}
        for feature in features:
            by_kind[feature.kind].append(feature.name)
        return cls(tuple(by_kind["string"]), tuple(by_kind["number"]), tuple(by_kind["boolean"]))

    @property
    def names(self) -> tuple[str, ...]:
        """All features."""
        return self.strings + self.numbers + self.booleans


def fit(table: pa.Table, features: FeaturePlan, *, seed: int, threads: int) -> Pipeline:
    """Fit on all rows of ``table``, in their order.

    The same rows in the same order with the same seed give the same probabilities, whatever ``threads`` is; another
    order gives other ones, so the caller sorts.

    Args:
        table: one column per feature (string, number, boolean; null is missing) and :data:`LABEL`, boolean, no nulls.
        features: which columns to read.
        seed: of the fit.
        threads: OpenMP threads, 1 or more.

    Raises:
        ValueError: when columns or labels are missing, or only one class is present.
    """
    labels = _labels(table)
    if len(np.unique(labels)) < 2:
        raise ValueError(f"{table.num_rows} rows hold a single class; a fit needs both, so take a longer history")
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=MAX_CATEGORIES,
    )
    model = Pipeline(
        [
            (
                "encode",
                ColumnTransformer(
                    [
                        ("strings", encode, list(features.strings)),
                        ("numbers", "passthrough", [*features.numbers, *features.booleans]),
                    ]
                ),
            ),
            (
                "trees",
                HistGradientBoostingClassifier(
                    categorical_features=list(range(len(features.strings))),
                    learning_rate=0.05,
                    max_iter=120,
                    max_leaf_nodes=15,
                    min_samples_leaf=100,
                    l2_regularization=10.0,
                    early_stopping=False,
                    random_state=seed,
                ),
            ),
        ]
    )
    with threadpool_limits(limits=threads, user_api="openmp"):
        model.fit(_frame(table, features.strings, features.numbers + features.booleans), labels)
    return model


def score(model: Pipeline, table: pa.Table) -> NDArray[np.float64]:
    """Probability that the label is true, shape (rows,), in [0, 1].

    Args:
        model: from :func:`fit` or :func:`load_model`.
        table: one column per feature of the model; others are not read. Unknown categories count as missing.

    Raises:
        ValueError: when a feature's column is missing.
    """
    if table.num_rows == 0:
        return np.empty(0)
    (_, _, strings), (_, _, numbers) = model.named_steps["encode"].transformers
    result: NDArray[np.float64] = model.predict_proba(_frame(table, strings, numbers))[:, 1]
    return result


def importances(model: Pipeline, table: pa.Table, *, seed: int, max_rows: int = 5_000) -> dict[str, float]:
    """How much each feature matters: the Brier score gained by shuffling it (Breiman 2001; Fisher et al. 2019).

    Args:
        model: the model to explain.
        table: labelled rows that it was not fitted on.
        seed: of the sample and the shuffles.
        max_rows: rows that are used; a larger table is sampled, which keeps this below a second.

    Returns:
        Feature -> mean Brier score with the feature shuffled minus the one without; about 0 when it is not used.

    Raises:
        ValueError: when columns or labels are missing.
    """
    random = np.random.default_rng(seed)
    if table.num_rows > max_rows:
        table = table.take(np.sort(random.choice(table.num_rows, max_rows, replace=False)))
    labels = _labels(table)
    base = np.square(score(model, table) - labels).mean()
    gains = {}
    for name in model.feature_names_in_:
        shuffled = table[name].take(random.permutation(table.num_rows))
        changed = table.set_column(table.column_names.index(name), name, shuffled)
        gains[str(name)] = float(np.square(score(model, changed) - labels).mean() - base)
    return gains


def save_model(model: Pipeline, path: Path) -> None:
    """Write a model in the skops format; its bytes hold wall times and so differ between runs, its answers do not."""
    skops.io.dump(model, path)


def load_model(data: bytes) -> Pipeline:
    """The model in the bytes of a skops file.

    Raises:
        RefusedModelError: when the bytes are no skops file, or hold a type outside :data:`ALLOWED_TYPES`.
    """
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(ALLOWED_TYPES))
        if foreign:
            raise RefusedModelError(
                f"the model file holds types that are not allowed: {', '.join(foreign)}. Only models saved by "
                "retrain.fit.save_model load; if a new scikit-learn renamed a type, add it to ALLOWED_TYPES"
            )
        model = skops.io.loads(data, trusted=list(ALLOWED_TYPES))
    except RefusedModelError:
        raise
    except Exception as error:
        # A damaged file can fail anywhere in zip, JSON, numpy or skops; to the caller all of that is one thing.
        raise RefusedModelError(f"{len(data)} bytes are not a readable skops file: {error}") from error
    if not isinstance(model, Pipeline):
        raise RefusedModelError(f"the file holds a {type(model).__name__}; a model is a scikit-learn Pipeline")
    return model


def _labels(table: pa.Table) -> NDArray[np.bool_]:
    if LABEL not in table.column_names:
        raise ValueError(f"no column {LABEL!r}; the table has {', '.join(table.column_names)}")
    column = table[LABEL]
    if column.null_count:
        raise ValueError(f"{column.null_count} of {table.num_rows} rows have no label; pass labelled rows only")
    result: NDArray[np.bool_] = column.to_numpy().astype(bool)
    return result


def _frame(table: pa.Table, strings: Iterable[str], numbers: Iterable[str]) -> pd.DataFrame:
    """Strings as objects (missing: None), numbers and booleans as floats (missing: nan)."""
    missing = sorted({*strings, *numbers} - set(table.column_names))
    if missing:
        raise ValueError(f"no column for {', '.join(missing)}; the table has {', '.join(table.column_names)}")
    columns: dict[str, Any] = {name: np.array(table[name].to_pylist(), dtype=object) for name in strings}
    for name in numbers:
        columns[name] = table[name].cast(pa.float64()).to_numpy()
    return pd.DataFrame(columns)
