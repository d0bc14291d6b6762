"""Power of tests over their level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hepstat.checks import open_share
from hepstat.errors import InputError
from hepstat.infer import PowerCurve
from hepstat.plot.style import BAND, curve_style, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_power"]


def draw_power(
    curves: Mapping[str, PowerCurve], *, level: float | None = 0.05, log: bool = False, title: str = ""
) -> Figure:
    """Draw the power of tests over their level, with the diagonal of a test that learns nothing.

    Parameters
    ----------
    curves : mapping of str to PowerCurve
        From :func:`hepstat.infer.power_curve`, by the text in the legend. A band is the standard error from toys.
    level : float, optional
        Marked by a vertical line; None for no line.
    log : bool
        Whether the level gets a logarithmic axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is no curve, or the level is not between 0 and 1.
    """
    if not curves:
        raise InputError("curves", "is empty", "Pass at least one")
    if level is not None:
        open_share(level, "level")
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for i, (label, curve) in enumerate(curves.items()):
            colour, dashes = curve_style(i)
            axes.plot(curve.levels, curve.power, color=colour, linestyle=dashes, linewidth=1.6, label=label, zorder=3)
            low, high = curve.power - curve.error, curve.power + curve.error
            axes.fill_between(curve.levels, low, high, color=colour, **BAND)
        least = min(float(curve.levels[0]) for curve in curves.values()) if log else 0.0
        if log:
            axes.set_xscale("log")
        levels = next(iter(curves.values())).levels
        axes.plot([least, *levels, 1.0], [least, *levels, 1.0], color="0.6", linewidth=1.0, zorder=1)
        if level is not None:
            axes.axvline(level, color="0.4", linewidth=1.0, linestyle=":", label=f"Level {level:g}", zorder=2)
        axes.set_xlim(least, 1.0)
        axes.set_ylim(0.0, 1.02)
        axes.set_xlabel("Level")
        axes.set_ylabel("Power")
        axes.legend(loc="upper left" if log else "lower right")
    return figure
