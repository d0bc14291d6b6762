"""Events of two features with the decision boundaries of classifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, interval, whole_number
from hepstat.errors import InputError
from hepstat.plot.style import axis_text, curve_style, picture, process_colours
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_boundaries"]

_GRID = 201  # points of the grid of scores along each axis
_MARKERS = "osD^vP"


def draw_boundaries(
    x: ArrayLike,
    process: ArrayLike,
    boundaries: Mapping[str, Callable[[Floats], Any] | tuple[Callable[[Floats], Any], float]],
    *,
    names: Sequence[str] | None = None,
    signal: Sequence[bool] | None = None,
    lines: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] | None = None,
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    most_events: int = 800,
    features: tuple[str, str] = ("$x_1$", "$x_2$"),
    title: str = "",
) -> Figure:
    """Draw events by process, and the lines on which classifiers have the score that is cut on.

    Parameters
    ----------
    x : array_like, (n, 2)
        Features.
    process : array_like, (n,)
        Whole number of each event's process or class, from 0.
    boundaries : mapping of str to model or tuple (model, threshold)
        By the text in the legend. A model is a callable that gives scores (n,) for features (n, 2); the threshold is 0
        if left out. Ticks point to the side that is kept. A boundary that does not cross the picture is named in the
        legend as outside.
    names : sequence of str, optional
        Text for each process.
    signal : sequence of bool, optional
        Which processes are signal: the first of them is green.
    lines : mapping of str to tuple of two pairs, optional
        Published boundaries that are straight: two points of each, by the name of the boundary that it belongs to. It
        is dashed in the same colour; boundaries are then solid, each of them.
    limits : tuple of two pairs, optional
        Range of either axis; that of all but 0.1% of the events at each end if left out.
    most_events : int, optional
        Events drawn of each process, the first ones; lines are not affected.
    features : tuple of str, optional
        Names of the two features.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        For features that are not two, numbers of processes that are no such, or a model that does not give one finite
        score for each event; for lines that belong to no boundary.
    """
    events = finite_array(x, "x", ndim=2)
    if events.shape[1] != 2:
        raise InputError("x", f"has {events.shape[1]} features", "Pass two of them")
    numbers = _process_numbers(process, len(events))
    texts = names or [f"Process {k}" for k in range(numbers.max() + 1)]
    if len(texts) <= numbers.max():
        raise InputError("names", f"has {len(texts)} entries, processes go up to {numbers.max()}", "Pass one for each")
    colours = process_colours(tuple(signal or ()) + (False,) * (len(texts) - len(signal or ())))
    most = whole_number(most_events, "most_events")
    ends_of = {label: _ends(label, line, tuple(boundaries)) for label, line in (lines or {}).items()}
    ranges = [interval(r, "limits") for r in limits or [_range(events[:, j]) for j in (0, 1)]]
    with picture(5.4, title) as figure:
        axes = figure.subplots()
        for k in np.unique(numbers):
            shown, marker = events[numbers == k][:most], _MARKERS[k % len(_MARKERS)]
            dots: dict[str, Any] = {"s": 7, "alpha": 0.35, "linewidths": 0.0, "rasterized": True, "zorder": 1}
            axes.scatter(shown[:, 0], shown[:, 1], color=colours[k], marker=marker, **dots)
            axes.plot([], [], color=colours[k], marker=marker, linestyle="none", markersize=5, label=texts[k])
        for i, (label, boundary) in enumerate(boundaries.items()):
            model, threshold = boundary if isinstance(boundary, tuple) else (boundary, 0.0)
            cut = finite_number(threshold, f"threshold of {label}")
            colour, dashes = curve_style(i)
            _draw_boundary(axes, (colour, dashes if lines is None else "-"), label, model, cut, ranges)
        for label, ends in ends_of.items():
            colour = curve_style(list(boundaries).index(label))[0]
            axes.plot(*ends.T, color=colour, linestyle="--", linewidth=1.6, label=f"{label}, published", zorder=3)
        axes.set_xlim(*ranges[0])
        axes.set_ylim(*ranges[1])
        axes.set_xlabel(axis_text(features[0], ""))
        axes.set_ylabel(axis_text(features[1], ""))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _draw_boundary(
    axes: Axes,
    style: tuple[str, str],
    label: str,
    model: Callable[[Floats], Any],
    threshold: float,
    ranges: Sequence[tuple[float, float]],
) -> None:
    """Draw where the score is the threshold, with ticks on the side where it is higher."""
    from matplotlib.patheffects import TickedStroke

    x, y = (np.linspace(*r, _GRID) for r in ranges)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    scores = finite_array(model(points), f"scores of {label}")
    if scores.size != len(points):
        raise InputError(
            f"scores of {label}", f"has {scores.size} entries for {len(points)} points", "Pass one for each"
        )
    margin = (scores - threshold).reshape(_GRID, _GRID)
    colour, dashes = style
    if margin.min() < 0 < margin.max():
        options: dict[str, Any] = {"levels": [0.0], "colors": [colour], "zorder": 3}
        axes.contour(x, y, margin, linestyles=dashes, linewidths=2.0, **options)
        ticks = axes.contour(x, y, margin, linestyles="-", linewidths=1.2, **options)
        ticks.set(path_effects=[TickedStroke(angle=90, spacing=12, length=0.5)])
    else:
        label = f"{label} (outside)"
    axes.plot([], [], color=colour, linestyle=dashes, linewidth=2.0, label=label)


def _ends(label: str, line: ArrayLike, names: tuple[str, ...]) -> Floats:
    """Return two points (2, 2) of a published line, checked."""
    if label not in names:
        raise InputError("lines", f"has {label!r}, which is no boundary", "Pass lines by the names of boundaries")
    ends = finite_array(line, f"line of {label}", ndim=2)
    if ends.shape != (2, 2):
        raise InputError(f"line of {label}", f"has shape {ends.shape}", "Pass two points of two features")
    return ends


def _process_numbers(process: ArrayLike, n: int) -> Any:
    numbers = finite_array(process, "process")
    if numbers.size != n:
        raise InputError("process", f"has {numbers.size} entries for {n} events", "Pass one for each event")
    if (numbers < 0).any() or (numbers != np.floor(numbers)).any():
        raise InputError("process", "has entries that are no whole numbers from 0", "Number the processes 0, 1, ...")
    return numbers.astype(np.int64)


def _range(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.001, 0.999])
    room = 0.05 * (high - low) or 0.5
    return float(low - room), float(high + room)
