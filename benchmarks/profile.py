"""``python -m benchmarks.profile``: where stage 1's time goes, as a picture."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import typer
from matplotlib import pyplot
from matplotlib.axes import Axes

from app import wiring
from benchmarks.aggregate import SPAN
from benchmarks.events import Shape, truth
from benchmarks.load import fill
from benchmarks.measure import CACHE, ROOT, Cache, Events, Root
from benchmarks.stage import Stage
from benchmarks.world import world

PICTURE = Path("docs/profile.png")
_ROOM = "streams/aggregate"
_THREADS = {"rdk": "librdkafka's threads"}
_COLOURS = {
    _ROOM: "#4878a8",
    "driftline_native": "#3a9a8f",
    "detectors": "#59a14f",
    "schemas": "#59a14f",
    "warehouse": "#e0a030",
    "bus": "#9c755f",
}
_OTHERS = "#b8b8b8"
_NARROWEST = 0.004


@dataclass(frozen=True, slots=True)
class Box:
    """A function below its callers: where its time begins and ends, in seconds, and how deep it lies."""

    name: str
    file: str
    begin: float
    end: float
    depth: int


def main(
    events: Events = 1_000_000,
    raw: Annotated[bool, typer.Option(help="Raw rows with features, as in aggregate_json_raw.")] = False,
    deepest: Annotated[int, typer.Option(min=1, help="How many levels of calls are drawn.")] = 9,
    picture: Annotated[Path, typer.Option(help="The picture to write.")] = PICTURE,
    root: Root = ROOT,
    cache: Cache = CACHE,
) -> None:
    """Profile one aggregator that counts a full topic, and draw where the time of its main thread goes.

    pyinstrument looks at the stack a thousand times a second from inside the process; functions of C count for whoever
    called them. Looking costs a little, so the rate printed here is no result. Threads are what the system says.
    """
    wiring.configure_logging(quiet=True)
    models = [Shape(raw_features=raw)]
    holds = {"name": "profile", "events": events, "models": [repr(shape) for shape in models]}
    with world(root / "profile", cache, holds, lambda found: fill(found, models, events, SPAN)) as running:
        running.forget()
        profile = running.stack.root / "profile.json"
        command = ("-m", "pyinstrument", "-r", "json", "-o", str(profile), "-m", "app.cli")
        with Stage(running, command=command) as stage:
            counted = stage.count(running.ends())
            threads = _threads(stage)
        running.check(models, truth(models, events))
    boxes = list(_boxes(_loop(json.loads(profile.read_text(encoding="utf-8"))["root_frame"]), deepest))
    _draw(boxes, threads, picture)
    print(f"{counted.per_core:,.0f} events/s per core while being looked at; {picture}")


def _threads(stage: Stage) -> dict[str, float]:
    """CPU seconds by kind of thread, since the process began."""
    found: dict[str, float] = {"main thread": 0.0, **dict.fromkeys(_THREADS.values(), 0.0), "others": 0.0}
    for process in stage.processes():
        for thread in process.threads():
            name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text(encoding="utf-8")
            kind = next((kind for prefix, kind in _THREADS.items() if name.startswith(prefix)), "others")
            found["main thread" if thread.id == process.pid else kind] += thread.user_time + thread.system_time
    return found


def _loop(frame: Mapping[str, Any]) -> Mapping[str, Any]:
    """The frame of stage 1's loop: below it nothing has nearly all of the time."""
    found = frame
    while True:
        inner = max(found["children"], key=lambda child: child["time"], default=None)
        outside = _ROOM not in found["file_path"]
        if inner is None or not (outside or inner["time"] > 0.9 * found["time"]):
            return found
        found = inner


def _boxes(frame: Mapping[str, Any], deepest: int, begin: float = 0.0, depth: int = 0) -> Iterator[Box]:
    yield Box(frame["function"], frame["file_path"] or "", begin, begin + frame["time"], depth)
    if depth + 1 < deepest:
        for child in sorted(frame["children"], key=lambda child: -child["time"]):
            if child["function"] != "[self]":
                yield from _boxes(child, deepest, begin, depth + 1)
            begin += child["time"]


def _draw(boxes: list[Box], threads: Mapping[str, float], picture: Path) -> None:
    mpl.use("Agg")
    figure, (top, bottom) = pyplot.subplots(2, 1, figsize=(13, 7), height_ratios=[1, 6], layout="constrained")
    _draw_threads(top, threads)
    whole = boxes[0].end - boxes[0].begin
    for box in boxes:
        share = (box.end - box.begin) / whole
        if share < _NARROWEST:
            continue
        colour = next((colour for room, colour in _COLOURS.items() if f"{room}/" in box.file), _OTHERS)
        bottom.barh(box.depth, share, left=box.begin / whole, height=0.95, color=colour, edgecolor="white")
        text = f"{box.name} {share:.0%}"
        if len(text) < share * 190:
            middle = (box.begin + box.end) / 2 / whole
            bottom.text(middle, box.depth, text, ha="center", va="center", fontsize=8, clip_on=True)
    bottom.set(xlim=(0, 1), yticks=[], xlabel="share of the main thread's time in the loop; callers above callees")
    bottom.invert_yaxis()
    bottom.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    for room, colour in [*_COLOURS.items(), ("libraries", _OTHERS)]:
        bottom.barh(0, 0, color=colour, label=room)
    bottom.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=8, fontsize=9, frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)


def _draw_threads(axes: Axes, threads: Mapping[str, float]) -> None:
    whole, left = sum(threads.values()), 0.0
    for (name, seconds), colour in zip(threads.items(), ("#4878a8", "#c07848", _OTHERS), strict=True):
        share = seconds / whole
        axes.barh(0, share, left=left, color=colour, edgecolor="white", label=f"{name} {share:.0%}")
        left += share
    axes.set(xlim=(0, 1), yticks=[], title="Processor time of stage 1, and where its main thread spends it")
    axes.xaxis.set_visible(False)
    axes.legend(loc="center", ncols=3, fontsize=9)


if __name__ == "__main__":
    typer.run(main)
