"""What the decider remembers from tick to tick: one small record, a column of the ``reports`` row that it came with.

It holds nothing but functions of the log, so whoever repeats a tick writes the same bytes.
"""

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from schemas.ids import canonical_json
from schemas.lifecycle import Incident, PerformanceWindow, RequestReason
from schemas.partials import ALL
from schemas.tasks import Loss


class Run(Struct, frozen=True):
    """Tested windows in a row whose labelled loss was above the band.

    Attributes:
        version: that served most of them; another version starts a run of its own.
        since: start of the first window of the run.
        last: start of the newest; ``windows`` how many.
        value: loss of the newest, of ``n`` labelled rows; ``normal`` the mean of the reference's windows.
        metric: what the loss is.
    """

    version: str
    since: int
    last: int
    windows: int
    value: float
    limit: float
    normal: float
    n: int = 0
    metric: Loss = "log_loss"


class RuleRun(Struct, frozen=True):
    """Windows in a row that broke an owner's rule; those without enough data are neither counted nor end it.

    Attributes:
        since: start of the first window; ``last`` of the newest.
        value: of the newest, of ``n`` rows, of ``version`` where the number is per version.
    """

    since: int
    last: int
    windows: int
    value: float
    n: int
    version: str


class Asked(Struct, frozen=True):
    """One request that was made, and why; ``ordinal`` is the version that it asked for."""

    id: str
    at: int
    reason: RequestReason = "schedule"
    ordinal: int = 0


class Paged(Struct, frozen=True):
    """A page of a stream, which is latched since.

    Attributes:
        window: start of the window whose observation paged.
        since: start of the window that the change began with, as estimated.
        evidence: that was reached; ``threshold`` the one that pages.
        changes: of a quantity that is one number: its difference from usual in each window since then, up to the page.
    """

    window: int
    since: int
    evidence: float
    threshold: float
    changes: list[float] = []


class Watched(Struct, frozen=True):
    """What one stream has shown so far (``detectors.evidence.Evidence``, as JSON).

    Attributes:
        watch: names the calibration that it is watched by; another begins anew.
        version: whose numbers these are; empty of a feature.
        evidence: of ``Evidence.to_dict``.
        begun: per component the start of the window that its run began with; 0 while there is none.
        changes: of a quantity that is one number: its differences from usual since the oldest run began.
        paged: its page, while it is latched.
    """

    watch: str
    version: str
    evidence: dict[str, Any]
    begun: list[int]
    changes: list[float] = []
    paged: Paged | None = None


class Newcomer(Struct, frozen=True):
    """A segment, or a version that is live beside the one that leads: it has a part of the budget's reserve.

    Attributes:
        segment: ``tag=value``; empty of a version.
        version: empty of a segment.
        place: k of its weight, from 1.
        last: end of the newest window that it was observed at.
    """

    segment: str
    version: str
    place: int
    last: int


class Volume(Struct, frozen=True):
    """Windows in a row whose rows were as many as in the reference; enough of them, and another number is a fault.

    Attributes:
        reference: names the windows that they are held against; others begin anew.
        windows: how many, up to a week's.
    """

    reference: str
    windows: int


@lru_cache(maxsize=20_000)
def named(stream: str, segment: str = ALL, version: str = "") -> str:
    """Name of what is watched: the stream itself, or with whose it is of segments and versions beside the leading.

    Names of features and values of segments may hold any character, so that no separator would do.
    """
    return canonical_json([stream, segment, version]).decode() if segment or version else stream


class Matured(Struct, frozen=True):
    """Matured labels of one version by group of calibrated scores (``schemas.models.Calibrated``).

    Attributes:
        calibration: name of the calibration of the label-free estimate; another begins anew.
        version: whose they are.
        rows: labelled rows of each group, ``positives`` those of the positive class.
    """

    calibration: str
    version: str
    rows: list[int]
    positives: list[int]


class Scored(Struct, frozen=True):
    """Whose scores a reference has calibrated: the version that led when it came into force.

    Attributes:
        calibrated: names the calibration of the scores; another begins anew.
        version: whose they are.
    """

    calibrated: str
    version: str


class State(Struct, frozen=True):
    """All that is needed to decide the next tick, beside the partials.

    Attributes:
        first: start of the first window in which anything was counted.
        at: the last tick.
        rows: predictions counted in the windows so far.
        seqs: source partition (as a string) -> number of its first checkpoint that had passed ``at``.
        run: windows in a row above the band; None when the newest tested window was not.
        tested: the newest tested window, of the version that served most of it.
        rules: an owner's rule -> the windows in a row that broke it.
        incident: the open one.
        quiet: ticks in a row without a condition, while an incident is open.
        asked: how many requests were ever made; ``recent`` are those of the last year, oldest first.
        watched: stream (:func:`named`) -> what it has shown so far.
        matured: labels that say whether scores still mean what they did.
        leading: version that leads in the newest window, empty before one has answered.
        newcomers: who has a part of the budget's reserve, by place.
        pages: false pages in 30 days that the model may have from the next tick on; None before the first.
        volume: whether the reference knows how many rows are usual.
        scored: whose scores the reference has calibrated, None while nobody has answered since it came into force.
    """

    first: int
    at: int
    rows: int = 0
    seqs: dict[str, int] = {}
    run: Run | None = None
    tested: PerformanceWindow | None = None
    rules: dict[str, RuleRun] = {}
    incident: Incident | None = None
    quiet: int = 0
    asked: int = 0
    recent: list[Asked] = []
    watched: dict[str, Watched] = {}
    matured: Matured | None = None
    leading: str = ""
    newcomers: list[Newcomer] = []
    pages: float | None = None
    volume: Volume | None = None
    scored: Scored | None = None


def encode(state: State) -> bytes:
    """Canonical JSON: equal states give equal bytes."""
    return canonical_json(state)


def decode(body: str | bytes) -> State:
    """Read what :func:`encode` wrote.

    Raises:
        msgspec.ValidationError: it is not a state.
    """
    return msgspec.json.decode(body, type=State)
