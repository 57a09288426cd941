"""How every picture looks, and how it becomes SVG or PNG: matplotlib without pyplot, so that threads may draw.

Colours are Okabe and Ito's, which colour-blind people tell apart; nothing is told by colour alone.
"""

from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure, FigureBase

INK, SOFT, FAINT = "#1b1f24", "#57606a", "#d8dee4"
BLUE, ORANGE, GREEN, AMBER, GREY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#6e7781"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "svg.fonttype": "path",
    "svg.hashsalt": "driftline",
}


def svg(draw: Callable[[FigureBase], None], size: tuple[float, float]) -> str:
    """An SVG element (no XML prologue) of what ``draw`` draws on a figure of ``size`` inches."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    text = out.getvalue()
    return text[text.index("<svg") :]


def png(draw: Callable[[FigureBase], None], size: tuple[float, float], path: Path | None = None) -> bytes:
    """A PNG at 160 dots per inch of what ``draw`` draws, also written to ``path``."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        draw(figure)
        out = BytesIO()
        figure.savefig(out, format="png", dpi=160, metadata={"Software": None})
    if path is not None:
        path.write_bytes(out.getvalue())
    return out.getvalue()
