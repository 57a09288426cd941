"""A check from files to its answer, and what two files cannot say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.check.blocks import HOUR, Blocks, Unusable, cut
from app.check.compare import Compared, compared
from app.check.inputs import Inputs, Reading, Sample, read
from app.table import TableError
from detectors.two_samples import CHANCE
from schemas.spec import ModelSpec
from schemas.windows import from_ms


@dataclass(frozen=True, slots=True)
class Result:
    """All that a check found.

    Attributes:
        not_known: what cannot be known from these files, in sentences.
    """

    inputs: Inputs
    blocks: Blocks
    compared: Compared
    min_shift: float
    not_known: tuple[str, ...]

    @property
    def drift(self) -> bool:
        """Whether anything drifted."""
        return bool(self.compared.of("drift"))

    @property
    def judged(self) -> bool:
        """Whether there was enough data for anything."""
        return self.drift or bool(self.compared.of("as before"))


def check(
    reference: Path,
    current: Path,
    spec: ModelSpec | None,
    how: Reading,
    *,
    width: int | None,
    min_shift: float,
    together: bool = False,
) -> Result:
    """Compare the rows of one file with those of another.

    Args:
        reference: Parquet or CSV file of rows that were normal.
        current: of the rows in question.
        spec: the model's, for kinds and segments; None: by what the reference looks like.
        how: the files are to be read.
        width: of the reference's blocks in ms; None: about as long as the current rows.
        min_shift: smallest change of a distribution that matters, as a share of rows in (0, 1).
        together: whether to ask too if numbers still go together as they did.

    Raises:
        TableError: a file cannot be used.
    """
    inputs = read(reference, current, spec, how)
    try:
        least = HOUR if spec is None else spec.grid().width
        blocks = cut(inputs.reference.rows, inputs.reference.times, inputs.current.span, width=width, least=least)
    except Unusable as wrong:
        raise TableError(f"{reference}: {wrong}") from None
    found = compared(inputs, blocks, min_shift=min_shift, together=together)
    return Result(inputs, blocks, found, min_shift, tuple(_not_known(inputs, blocks, found)))


def _not_known(inputs: Inputs, blocks: Blocks, found: Compared) -> Iterator[str]:
    before, after = inputs.reference, inputs.current
    if not blocks.timed:
        yield (
            "How much days or weeks differ by nature: the reference has no event_time, so only its two halves in the "
            "order of the file could be compared; if that order means nothing, neither do they."
        )
    elif blocks.n == 2:
        yield "How much days or weeks differ by nature: the reference is too short for more than two halves."
    if before.times is not None and after.times is not None:
        first, last = (from_ms(int(at)) for at in (before.times.min(), before.times.max()))
        yield (
            f"Whether a difference is a season: the reference knows {first:%Y-%m-%d} to {last:%Y-%m-%d} and nothing "
            "else of the year."
        )
    if inputs.spec is None or before.label is None or after.label is None:
        yield "Whether the predictions got worse: there are no labels in both files."
    elif not any(finding.quantity == "loss" and finding.effect is not None for finding in found.findings):
        yield "Whether the predictions got worse: there are too few labels."
    if variable := sorted({finding.column for finding in found.findings if finding.variable and not finding.segment}):
        yield (
            f"Small changes of {', '.join(variable)}: the reference's own blocks ({blocks.name}) differ by more than "
            "what would matter."
        )
    yield "Since when: two files are two instants; driftline replay shows windows one after the other."
    yield (
        f"What many checks add up to: one check of like rows calls something drift with a chance of about {CHANCE:.0%}"
        ", so a check a day will now and then."
    )
    asked = any(finding.quantity == "together" for finding in found.findings)
    several = "" if asked else " of several columns together (--together asks for numbers),"
    yield f"Changes inside a bin,{several} and why anything changed."


def as_json(result: Result) -> dict[str, Any]:
    """The same for a machine: times in ms since the epoch, shares in [0, 1], null where nothing is known."""
    return {
        "drift": result.drift,
        "reference": _sample(result.inputs.reference),
        "current": _sample(result.inputs.current),
        "blocks": {"n": result.blocks.n, "name": result.blocks.name, "timed": result.blocks.timed},
        "min_shift": result.min_shift,
        "findings": [asdict(finding) for finding in result.compared.findings],
        "performance": _performance(result.compared.performance),
        "notes": [*result.inputs.notes, *result.compared.notes],
        "not_known": list(result.not_known),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    times = sample.times
    return {
        "file": str(sample.path),
        "rows": sample.rows,
        "from": None if times is None else int(times.min()),
        "to": None if times is None else int(times.max()),
    }


def _performance(found: Mapping[str, Sequence[float | None]]) -> dict[str, dict[str, float | None]]:
    return {name: {"reference": before, "current": after} for name, (before, after) in found.items()}
