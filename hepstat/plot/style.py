"""What all pictures share: type, ticks, colours and dashes, the figure itself, and the text of an axis."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BAND",
    "COLOURS",
    "DASHES",
    "MORE_COLOURS",
    "POINTS",
    "axis_text",
    "curve_style",
    "paired_picture",
    "picture",
    "process_colours",
]

_STYLE: Any = {
    "font.size": 12.0,
    "axes.labelsize": 13.0,
    "axes.linewidth": 0.9,
    "legend.fontsize": 11.0,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "savefig.dpi": 150,
}
COLOURS = {"total": "#c8102e", "background": "#1f5fa8", "signal": "#2a8c4a"}
MORE_COLOURS = ("#b36b00", "#6b4fa0", "#00838f")
DASHES = ("-", "--", "-.", ":")
BAND: Any = {"alpha": 0.2, "linewidth": 0.0, "zorder": 1}  # what is filled around a curve
POINTS: Any = {"linestyle": "none", "marker": "o", "color": "black", "markersize": 4, "elinewidth": 1.2, "zorder": 4}
_CURVES = (COLOURS["total"], MORE_COLOURS[1], MORE_COLOURS[2], "0.15")  # those that processes take last


@cache
def _picture_type() -> Any:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that notebooks show, though pyplot does not know of it."""

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return Picture


@contextmanager
def picture(height: float, title: str = "", **changes: Any) -> Iterator[Figure]:
    """Give an empty figure, 7.2 inches wide, that pyplot does not know of, with our style while it is drawn.

    Parameters
    ----------
    height : float
        In inches.
    title : str, optional
        Text that is put above the first axes at the end.
    changes : optional
        Entries of the style, with underscores in place of dots.
    """
    from matplotlib import rc_context

    changed: Any = {name.replace("_", "."): value for name, value in changes.items()}
    with rc_context({**_STYLE, **changed}):
        figure: Figure = _picture_type()(figsize=(7.2, height), layout="constrained")
        yield figure
        if title:
            figure.axes[0].set_title(title, loc="left", fontsize=12)


@contextmanager
def paired_picture(n: int, title: str = "") -> Iterator[tuple[Figure, list[tuple[Axes, Axes]]]]:
    """Give a figure with n pairs of panels, a high one above a low one, two pairs in a row.

    The legend of the first upper panel is put above all of them at the end.
    """
    columns = min(2, n)
    rows = -(-n // columns)
    with picture(4.8 * rows, title) as figure:
        grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(1.8, 1.0) * rows)
        pairs = [(grid[2 * i, j], grid[2 * i + 1, j]) for i in range(rows) for j in range(columns)]
        for pair in pairs[n:]:
            for axes in pair:
                axes.remove()
        yield figure, pairs[:n]
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", frameon=False, ncols=len(labels))
        figure.align_ylabels()


def curve_style(i: int) -> tuple[str, str]:
    """Return colour and dashes of the i-th of several curves; 16 differ."""
    return _CURVES[i % len(_CURVES)], DASHES[(i + i // len(_CURVES)) % len(DASHES)]


def process_colours(signal: tuple[bool, ...]) -> list[str]:
    """Return a colour for each process, green for the first signal."""
    spare = iter((COLOURS["background"], *MORE_COLOURS, COLOURS["total"], "0.4") * len(signal))
    green = signal.index(True) if True in signal else -1
    return [COLOURS["signal"] if k == green else next(spare) for k in range(len(signal))]


def axis_text(name: str, unit: str) -> str:
    """Return the label of an axis: the quantity, capitalised unless it is a symbol or an identifier, and its unit."""
    text = name[:1].upper() + name[1:] if len(name) > 1 and "_" not in name else name
    return f"{text} [{unit}]" if unit else text
