"""Which features a score depends on: a ranking as bars, and the values of events feature by feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.checks import whole_number
from hepstat.explain import PermutationImportance, ShapleyValues
from hepstat.infer import mid_ranks
from hepstat.plot.style import COLOURS, axis_text, picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_feature_ranking", "draw_shapley"]

_BINS = 80  # along the axis, by which the density of points is found
_WIDTH = 0.4  # of a row, to either side, that the densest bin fills
_FEW = 12.0  # points of a bin that do so at least
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)  # whose multiples, modulo 1, are spread evenly
_LONG = 6  # rows from which on there is room for a long label of the colours
_ROW, _FRAME = 0.34, 1.3  # height in inches, of a feature and of the rest


def draw_feature_ranking(result: PermutationImportance | ShapleyValues, *, most: int = 20, title: str = "") -> Figure:
    """Draw the importance of features as bars, the largest on top.

    Parameters
    ----------
    result : PermutationImportance or ShapleyValues
        From :func:`hepstat.explain.permutation_importance` or :func:`hepstat.explain.shapley_values`.
    most : int
        Number of features to show, at most.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Lines are standard errors. Nothing is shown or written.

    Raises
    ------
    InputError
        If the number is below 1.
    """
    shown = result.ranking[: whole_number(most, "most", at_least=1)]
    places = np.arange(shown.size)
    with picture(_FRAME + _ROW * max(shown.size, 3), title) as figure:
        axes = figure.subplots()
        error: Any = {"ecolor": "0.15", "elinewidth": 1.2, "capsize": 2.5}
        errors = np.nan_to_num(result.importance_errors[shown])
        axes.barh(
            places, result.importance[shown], xerr=errors, height=0.62, color=COLOURS["background"], error_kw=error
        )
        axes.axvline(0.0, color="0.4", linewidth=1.0)
        axes.set_xlabel(_measure(result))
        _name_rows(axes, [result.names[k] for k in shown])
    return figure


def draw_shapley(result: ShapleyValues, *, most: int = 20, title: str = "") -> Figure:
    """Draw the Shapley values of all events as points, a row for each feature, the most important on top.

    Parameters
    ----------
    result : ShapleyValues
        From :func:`hepstat.explain.shapley_values`.
    most : int
        Number of features to show, at most.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Colours are the ranks of an event's feature among all events. Nothing is shown or written.

    Raises
    ------
    InputError
        If the number is below 1.
    """
    shown = result.ranking[: whole_number(most, "most", at_least=1)]
    with picture(_FRAME + 1.3 * _ROW * max(shown.size, 3), title) as figure:
        axes = figure.subplots()
        axes.axvline(0.0, color="0.4", linewidth=1.0, zorder=1)
        low, high = float(result.values.min()), float(result.values.max())
        points: Any = None
        for row, k in enumerate(shown):
            values = result.values[:, k]
            points = axes.scatter(
                values, row + _beside(values, low, high), c=_ranks(result.x[:, k]), cmap="coolwarm", vmin=0.0, vmax=1.0,
                s=7, linewidths=0, rasterized=True, zorder=3,
            )  # fmt: skip
        axes.set_xlabel(f"Shapley value of the {_unit(result)}")
        _name_rows(axes, [result.names[k] for k in shown])
        bar = figure.colorbar(points, ax=axes, ticks=(0.0, 1.0), aspect=30, pad=0.01)
        bar.ax.set_yticklabels(("Low", "High"))
        bar.ax.minorticks_off()
        bar.ax.tick_params(length=0)
        bar.set_label("Value of the feature (rank)" if shown.size >= _LONG else "Value (rank)", labelpad=-12)
        bar.outline.set_visible(False)
    return figure


def _measure(result: PermutationImportance | ShapleyValues) -> str:
    if isinstance(result, ShapleyValues):
        return f"Mean |Shapley value| of the {_unit(result)}"
    if result.metric == "auc":
        return "Drop of the area under the ROC curve"
    return "Rise of the cross-entropy" if result.metric == "loss" else f"Change of {axis_text(result.metric, '')}"


def _unit(result: ShapleyValues) -> str:
    return "probability" if result.output == "probability" else "score"


def _name_rows(axes: Axes, names: list[str]) -> None:
    """Put the names beside the rows, the first on top."""
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", which="both", length=0)


def _ranks(x: Floats) -> Floats:
    """Return the mean rank of each entry (n,), from 0 for the lowest to 1 for the highest; 0.5 if all are equal."""
    return (mid_ranks(x) * x.size - 0.5) / (x.size - 1) if x.size > 1 else np.full(1, 0.5)


def _beside(values: Floats, low: float, high: float) -> Floats:
    """Return offsets (n,) that spread points evenly over a row, as wide as there are points at such values."""
    place = _BINS * (values - low) / ((high - low) or 1.0)
    bins = np.minimum(place.astype(int), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    density = np.interp(place, np.arange(_BINS) + 0.5, count) / max(float(count.max()), _FEW)
    order = np.empty(values.size, dtype=int)
    order[np.lexsort((values, bins))] = np.arange(values.size)
    return np.asarray(_WIDTH * density * (2.0 * (order * _GOLDEN % 1.0) - 1.0))
