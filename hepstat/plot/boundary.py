"""Events of two features with the decision boundaries of classifiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, interval, whole_number
from hepstat.errors import InputError
from hepstat.plot.selection import curve_style, process_colours
from hepstat.plot.style import STYLE, axis_text, new_figure
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
        score for each event.
    """
    from matplotlib import rc_context

    events = finite_array(x, "x", ndim=2)
    if events.shape[1] != 2:
        raise InputError("x", f"has {events.shape[1]} features", "Pass two of them")
    numbers = _process_numbers(process, len(events))
    texts = names or [f"Process {k}" for k in range(numbers.max() + 1)]
    if len(texts) <= numbers.max():
        raise InputError("names", f"has {len(texts)} entries, processes go up to {numbers.max()}", "Pass one for each")
    colours = process_colours(tuple(signal or ()) + (False,) * (len(texts) - len(signal or ())))
    most = whole_number(most_events, "most_events")
    ranges = [interval(r, "limits") for r in limits or [_range(events[:, j]) for j in (0, 1)]]
    with rc_context(STYLE):
        figure = new_figure(5.4)
        axes = figure.subplots()
        for k in np.unique(numbers):
            shown = events[numbers == k][:most]
            dots: dict[str, Any] = {"s": 7, "alpha": 0.35, "linewidths": 0.0, "rasterized": True, "zorder": 1}
            axes.scatter(shown[:, 0], shown[:, 1], color=colours[k], marker=_MARKERS[k % len(_MARKERS)], **dots)
            axes.plot([], [], color=colours[k], marker=_MARKERS[k % 6], linestyle="none", markersize=5, label=texts[k])
        for i, (label, boundary) in enumerate(boundaries.items()):
            model, threshold = boundary if isinstance(boundary, tuple) else (boundary, 0.0)
            _draw_boundary(axes, i, label, model, finite_number(threshold, f"threshold of {label}"), ranges)
        axes.set_xlim(*ranges[0])
        axes.set_ylim(*ranges[1])
        axes.set_xlabel(axis_text(features[0], ""))
        axes.set_ylabel(axis_text(features[1], ""))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
        if title:
            axes.set_title(title, loc="left", fontsize=12)
    return figure


def _draw_boundary(
    axes: Axes,
    i: int,
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
    colour, dashes = curve_style(i)
    if margin.min() < 0 < margin.max():
        style: dict[str, Any] = {"levels": [0.0], "colors": [colour], "zorder": 3}
        axes.contour(x, y, margin, linestyles=dashes, linewidths=2.0, **style)
        ticks = axes.contour(x, y, margin, linestyles="-", linewidths=1.2, **style)
        ticks.set(path_effects=[TickedStroke(angle=90, spacing=12, length=0.5)])
    else:
        label = f"{label} (outside)"
    axes.plot([], [], color=colour, linestyle=dashes, linewidth=2.0, label=label)


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
