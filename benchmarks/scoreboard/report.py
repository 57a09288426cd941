"""docs/scoreboard.md and its pictures, from the figures alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

from benchmarks.scoreboard import errors, words
from benchmarks.scoreboard.delays import AFTER

mpl.use("Agg")

from matplotlib import pyplot as plt

OURS = "driftline"


def write(results: Mapping[str, Any], docs: Path) -> None:
    """Write the page and its two pictures into ``docs``."""
    docs.mkdir(parents=True, exist_ok=True)
    trade_off(results, docs / "scoreboard-tradeoff.png")
    year(results, docs / "scoreboard-year.png")
    (docs / "scoreboard.md").write_text(page(results))


def page(results: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    settings = results["settings"]
    parts = [
        words.head(settings),
        "## What must hold\n",
        table(("", "target", "measured", ""), words.targets(results)),
        words.LOSE.format(lost="\n".join(f"- {line}" for line in words.lost(results))),
    ]
    for streams in settings["streams"]:
        worlds = [found for found in results["false pages"] if found["streams"] == streams]
        parts += [f"\n## False pages a month, {streams} features\n", words.FALSE_PAGES, _false_pages(worlds)]
        parts += ["\nWhat driftline's reports claim of these streams (streams, summed over models):\n", _claims(worlds)]
        delays = results[f"delays {streams}"]
        parts += [f"\n## Delays in windows, one of {streams} features\n", words.DELAYS.format(after=AFTER)]
        parts += [_delays(delays, AFTER)]
        own = results[f"category {streams}"]
        parts += [words.CATEGORY.format(median=median(own), worst=max(own))]
    parts += ["\n## Correlation only\n", words.CORRELATIONS, _correlations(results["correlations"])]
    parts += ["\n## Total breaks\n", words.BREAKS, _breaks(results)]
    parts += ["\n## Labelled error\n", words.ERRORS, _quiet_errors(results["quiet errors"])]
    parts += [words.ERROR_DELAYS.format(watched=errors.WATCHED), _delays(results["jumps"], errors.WATCHED)]
    parts += ["\nAnd where a tree's concept changes:\n", _delays(results["concepts"], errors.WATCHED)]
    parts += ["\n## Without labels\n", words.ESTIMATES, _estimates(results["estimates"])]
    parts += ["\n## A year of real flights\n", words.YEAR, _months(results["year"]), _incidents(results["year"])]
    parts += [words.permuted(results["permuted"]), words.METHOD]
    return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def _false_pages(worlds: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for who in dict.fromkeys(name for world in worlds for name in world["who"]):
        cells = []
        for world in worlds:
            found = world["who"].get(who)
            if not found:
                cells.append("-")
                continue
            text = f"{_number(found['rate'])} ({_number(found['low'])}-{_number(found['high'])})"
            share = found["in alarm"] / (found["months"] * 2_880)
            cells.append(f"{text}, {share:.0%} of windows" if share >= 0.01 else text)
        rows.append([f"**{who}**" if who == OURS else who, *cells])
    months = max(world["who"][OURS]["months"] for world in worlds)
    return table([f"{months:.0f} months", *(world["null"] for world in worlds)], rows)


def _claims(worlds: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for world in worlds for name in world["claims"]))
    rows = [[name, *(str(world["claims"].get(name, 0)) for world in worlds)] for name in names]
    return table(["", *(world["null"] for world in worlds)], rows)


def _delays(found: Mapping[str, Mapping[str, Sequence[int]]], limit: int) -> str:
    names = list(dict.fromkeys(who for delays in found.values() for who in delays))
    rows = []
    for who in names:
        cells = []
        for delays in found.values():
            own = delays[who]
            missed = sum(delay > limit for delay in own) / len(own)
            middle = median(own)
            text = "missed" if middle > limit else _number(middle)
            cells.append(text if missed == 0 or middle > limit else f"{text} ({missed:.0%} missed)")
        rows.append([f"**{who}**" if who == OURS else who, *cells])
    return table(["median", *found], rows)


def _correlations(found: Mapping[str, Mapping[str, int]]) -> str:
    rows = [
        [name, *(f"{told[how]} of {told['windows']}" for how in ("together", "alone"))] for name, told in found.items()
    ]
    return table(["what goes its own way", "windows told by all together", "by a feature alone"], rows)


def _breaks(results: Mapping[str, Any]) -> str:
    quiet = results["quiet breaks"][OURS]
    rows = [[name, f"{median(own):g}" if max(own) <= AFTER else "missed"] for name, own in results["breaks"].items()]
    known = f"{_number(quiet['rate'])} ({_number(quiet['low'])}-{_number(quiet['high'])})"
    return table(["", "windows until a hard rule pages"], [*rows, ["false pages a month, 20 features", known]])


def _quiet_errors(nulls: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(who for found in nulls.values() for who in found["who"]))
    rows = [
        [
            f"**{who}**" if who == OURS else who,
            *(
                f"{_number(rate['rate'])} ({_number(rate['low'])}-{_number(rate['high'])})"
                for rate in (found["who"][who] for found in nulls.values())
            ),
        ]
        for who in names
    ]
    rows.append(["driftline claims", *(found["claim"] for found in nulls.values())])
    return table(["false pages a month", *nulls], rows)


def _estimates(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    metrics = list(next(iter(next(iter(found.values())).values())))
    rows = [
        [f"{how}, {groups}", *(f"{ratios[metric]:.2f}" for metric in metrics)]
        for how, by_groups in found.items()
        for groups, ratios in by_groups.items()
    ]
    return table(["error relative to a constant guess", *metrics], rows)


def _months(found: Mapping[str, Any]) -> str:
    rows = [
        [
            month["month"],
            f"{month['late']:.1%}",
            f"{month['auc']:.3f}",
            f"{month['brier']:.4f}",
            f"{month['skill']:.3f}",
            "-" if place == 0 else f"{month['p']:.3f}",
            str(month["loss pages"]),
            str(month["feature pages"]),
        ]
        for place, month in enumerate(found["months"])
    ]
    return table(["", "late", "AUC", "Brier", "skill", "p", "pages of the labelled loss", "pages of features"], rows)


def _incidents(found: Mapping[str, Any]) -> str:
    rows = [
        [incident["date"], incident["last"], ", ".join(incident["streams"]), "yes" if incident["wanted"] else "no"]
        for incident in found["incidents"]
    ]
    return table(["incident from", "to", "streams", "would a person want it?"], rows)


def trade_off(results: Mapping[str, Any], file: Path) -> None:
    """Worst false pages a month over three nulls against the delay of a .2 sd shift: lower left is better."""
    streams = min(results["settings"]["streams"])
    worlds = [
        found
        for found in results["false pages"]
        if found["streams"] == streams and found["null"] in words.MUST_HOLD_NULLS
    ]
    delays = results[f"delays {streams}"]["mean .2 sd"]
    figure, axes = plt.subplots(figsize=(10, 6))
    for who, own in delays.items():
        known = [world["who"][who]["rate"] for world in worlds if who in world["who"]]
        if not known:
            continue
        x, y = max(*known, 0.05), min(median(own), AFTER)
        colour = "#c0392b" if who == OURS else "#2c3e50"
        axes.scatter(x, y, color=colour, zorder=3)
        axes.annotate(who, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8, color=colour, rotation=20)
    axes.axvline(1, color="#7f8c8d", linestyle=":", label="the budget: one page a month")
    axes.set(xscale="log", yscale="log", xlim=(0.03, 30_000), ylim=(0.7, 400))
    axes.set_xlabel(f"false pages a month, worst of {', '.join(words.MUST_HOLD_NULLS)} (0 is drawn at .05)")
    axes.set_ylabel(f"windows until a .2 sd shift pages, median ({AFTER}: missed)")
    axes.set_title(f"False pages and delay at the same threshold, {streams} features")
    axes.legend(loc="upper center")
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def year(results: Mapping[str, Any], file: Path) -> None:
    """Pages by month beside the frozen model's loss, with how sure a month's own days are of it."""
    months = results["year"]["months"]
    names = [month["month"] for month in months]
    figure, axes = plt.subplots(figsize=(10, 4.5))
    loss, features = ([month[kind] for month in months] for kind in ("loss pages", "feature pages"))
    axes.bar(names, loss, color="#c0392b", label="pages: labelled loss")
    axes.bar(names, features, bottom=loss, color="#e59866", label="pages: features")
    axes.set_ylabel("pages")
    axes.set_ylim(0, max(4, 1 + max(a + b for a, b in zip(loss, features, strict=True))))
    beside = axes.twinx()
    means, errors_of = ([month[kind] for month in months] for kind in ("days", "error"))
    beside.errorbar(
        names, means, yerr=[1.96 * error for error in errors_of], color="#2c3e50", marker="o", linestyle="none",
        capsize=3, label="Brier of the month's days, frozen model, 95%",
    )  # fmt: skip
    low, high = means[0] - 1.96 * errors_of[0], means[0] + 1.96 * errors_of[0]
    beside.axhspan(low, high, color="#2c3e50", alpha=0.12, label="what January knows of itself")
    beside.set_ylabel("mean Brier score of days")
    beside.set_ylim(0.05, 0.35)
    axes.set_title("A year of flights, the model frozen after January")
    axes.legend(loc="upper left")
    beside.legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)
