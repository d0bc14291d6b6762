"""Ensembles of networks, dependence of a score on a mass, and closure of the ABCD method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.plot.style import BAND, axis_text, curve_style, picture
from hepstat.uncertainty import AbcdClosure, Decorrelation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_abcd_closure", "draw_decorrelation", "draw_uncertainty"]

_DOTS: Any = {"marker": "o", "markersize": 3}


def draw_decorrelation(
    result: Decorrelation,
    *,
    kind: Literal["efficiency", "slices"] = "efficiency",
    name: str = "mass",
    unit: str = "",
    title: str = "",
) -> Figure:
    """Draw efficiencies over the mass, or the shape of the mass in slices of the score over that of all events.

    Parameters
    ----------
    result : Decorrelation
        From :func:`hepstat.uncertainty.decorrelation`.
    kind : {"efficiency", "slices"}
        Efficiencies of each cut, with a line at that of all events; or the shares of slices in each bin over those of
        all events.
    name, unit : str
        Of the mass.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bars are standard errors. Nothing is shown or written.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    if kind not in ("efficiency", "slices"):
        raise InputError("kind", f"is {kind!r}", "Choose 'efficiency' or 'slices'")
    edges = result.mass_edges
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    if kind == "efficiency":
        values, errors, lines = result.efficiency, result.efficiency_error, list(result.inclusive)
        labels = [f"Score at least {u:.3g}" for u in result.thresholds]
    else:
        shape = np.where(result.shape > 0, result.shape, np.nan)
        values, errors, lines = result.slice_shapes / shape, result.slice_errors / shape, [1.0]
        pairs = zip(result.slice_edges[:-1], result.slice_edges[1:], strict=True)
        labels = [f"Score {low:.3g} to {high:.3g}" for low, high in pairs]
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, label in enumerate(labels):
            colour, _ = curve_style(i)
            axes.errorbar(middle, values[i], errors[i], half, color=colour, linestyle="none", label=label, **_DOTS)
        for i, line in enumerate(lines):
            colour = curve_style(i)[0] if kind == "efficiency" else "0.4"
            axes.axhline(line, color=colour, linewidth=1.0, linestyle=":", zorder=1)
        axes.margins(x=0.0)
        axes.set_xlabel(axis_text(name, unit))
        axes.set_ylabel("Efficiency" if kind == "efficiency" else "Share of slice / share of all")
        axes.legend(loc="best")
    return figure


def draw_abcd_closure(
    result: AbcdClosure, *, names: tuple[str, str] = ("score 1", "score 2"), title: str = ""
) -> Figure:
    """Draw observed over predicted background over the boundary of the first score, for each of the second.

    Parameters
    ----------
    result : AbcdClosure
        From :func:`hepstat.uncertainty.abcd_closure`.
    names : tuple of str
        Of the scores.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Bars are statistical errors, the band is the non-closure. Nothing is shown or written.
    """
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        spread = np.nan_to_num(result.non_closure)
        axes.axhspan(1.0 - spread, 1.0 + spread, color="0.85", label=f"Non-closure {spread:.1%}", zorder=0)
        axes.axhline(1.0, color="0.4", linewidth=1.0, linestyle=":", zorder=1)
        for i, threshold in enumerate(result.thresholds2):
            colour, dashes = curve_style(i)
            label = f"{axis_text(names[1], '')} at {threshold:.3g}"
            ratio, error = result.ratio[:, i], result.error[:, i]
            axes.errorbar(result.thresholds1, ratio, error, color=colour, linestyle=dashes, label=label, **_DOTS)
        axes.set_xlabel(axis_text(f"Boundary of {names[0]}", ""))
        axes.set_ylabel("Observed / predicted")
        axes.legend(loc="best", title=f"Independence: p = {result.p:.2g}")
    return figure


def draw_uncertainty(
    x: ArrayLike,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    nominal: ArrayLike | None = None,
    name: str = "x",
    value: str = "score",
    title: str = "",
) -> Figure:
    """Draw scores with bands of one standard deviation over one feature.

    Parameters
    ----------
    x : array_like, (n,)
        Values of the feature, in any order.
    bands : mapping of str to tuple (centre, error)
        Each (n,), by the text in the legend: :attr:`hepstat.uncertainty.Precision.bands`, or scores with the root of
        their variance from :class:`hepstat.uncertainty.Laplace`.
    nominal : array_like, (n,), optional
        Scores of the reference.
    name, value : str
        Of the feature and of what is drawn.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is no band, or lengths differ.
    """
    at = finite_array(x, "x")
    if not bands:
        raise InputError("bands", "is empty", "Pass at least one")
    table = {
        f"{part} of {label}": pair[i] for label, pair in bands.items() for i, part in enumerate(("centre", "error"))
    }
    given = {**table, **({} if nominal is None else {"nominal": nominal})}
    arrays = {label: finite_array(values, label) for label, values in given.items()}
    for label, values in arrays.items():
        if values.size != at.size:
            raise InputError(label, f"has {values.size} entries for {at.size} places", "Pass one for each")
    order = np.argsort(at)
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, label in enumerate(bands):
            colour, dashes = curve_style(i)
            centre, error = arrays[f"centre of {label}"][order], arrays[f"error of {label}"][order]
            axes.plot(at[order], centre, color=colour, linestyle=dashes, label=label.capitalize(), zorder=3)
            axes.fill_between(at[order], centre - error, centre + error, color=colour, **BAND)
        if nominal is not None:
            axes.plot(at[order], arrays["nominal"][order], color="0.15", linewidth=1.0, label="Reference", zorder=4)
        axes.margins(x=0.0)
        axes.set_xlabel(axis_text(name, ""))
        axes.set_ylabel(axis_text(value, ""))
        axes.legend(loc="best")
    return figure
