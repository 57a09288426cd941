"""Employment in the American Community Survey, Massachusetts, with a model's scores: rows of four years, in order.

Public data of the US Census Bureau. It comes inside a release of NannyML as Parquet, which is read from the wheel
without installing it: the package wants older libraries than driftline's.
"""

import io
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.scoreboard.worlds import Floats

RELEASE = "nannyml==0.13.1 --hash=sha256:cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"
WHEEL = "nannyml-0.13.1-py3-none-any.whl"
_FILES = "nannyml/datasets/data/employment_MA_{}.pq"


@dataclass(frozen=True)
class Scored:
    """Rows that a model has answered, in their order.

    Attributes:
        scores: probability that a person is employed, shape (n,).
        labels: whether the person was, shape (n,).
    """

    scores: Floats
    labels: NDArray[np.bool_]


def wheel(folder: Path) -> Path:
    """The release, downloaded by pip into ``folder`` unless it is there.

    Raises:
        SystemExit: pip cannot get it.
    """
    file = folder / WHEEL
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "census.txt"
        wanted.write_text(RELEASE + "\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "--only-binary", ":all:", "--dest", str(folder), "-r", str(wanted)]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(
                f"the census data comes in {WHEEL} (23 MB), which pip could not download: see above, or put that file "
                f"into {folder}"
            )
    return file


def employment(folder: Path) -> tuple[Scored, Scored]:
    """2015, the reference (68,785 people), and 2016-2018 (208,892), watched."""
    with zipfile.ZipFile(wheel(folder)) as archive:
        before, after, answers = (
            pd.read_parquet(io.BytesIO(archive.read(_FILES.format(part))))
            for part in ("reference", "analysis", "analysis_target")
        )
    return _scored(before), _scored(after.merge(answers, on="id", validate="1:1"))


def _scored(table: pd.DataFrame) -> Scored:
    return Scored(table["predicted_probability"].to_numpy(np.float64), table["employed"].to_numpy() == 1)
