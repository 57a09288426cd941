"""What ``python -m benchmarks.check`` measures is what it says: the same verdicts from codes and from strings."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.check import CATEGORIES, baselines_of, samples, strings, verdicts
from benchmarks.window import window_seconds


def test_codes_and_strings_get_the_same_verdicts() -> None:
    before, after = samples(20_000, seed=1), samples(20_000, seed=2, moved=True)
    texts = {name: strings(after[name]) for name in CATEGORIES}
    with ThreadPoolExecutor(1) as pool:
        baselines = baselines_of(before, pool)
        assert verdicts(baselines, after, pool) == verdicts(baselines, {**after, **texts}, pool) == {"x0", "c0"}
        assert verdicts(baselines, samples(20_000, seed=3), pool) == set()


def test_a_window_compares_every_feature_in_every_segment() -> None:
    assert len(window_seconds(2)) == 2  # it stops when one is not compared
