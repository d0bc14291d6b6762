"""CLs over the signal strength, observed and expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepstat.checks import open_share
from hepstat.errors import InputError
from hepstat.infer import CLs
from hepstat.plot.style import COLOURS, axis_text, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_cls_band"]

_BANDS = (("#f2d34f", 0, 4, r"Expected $\pm 2\sigma$"), ("#5fb96b", 1, 3, r"Expected $\pm 1\sigma$"))


def draw_cls_band(
    results: Sequence[CLs],
    *,
    level: float | None = 0.05,
    observed: bool = True,
    name: str = r"signal strength $\mu$",
    unit: str = "",
    title: str = "",
) -> Figure:
    """Draw CLs over the signal strength: the data, and the median and both bands of what is expected without signal.

    Parameters
    ----------
    results : sequence of CLs
        From :func:`hepstat.infer.asymptotic_cls` or :func:`hepstat.infer.toy_cls`, one for each signal strength, in any
        order. Intervals from toys are drawn as bars.
    level : float, optional
        Marked by a horizontal line, below which a signal strength is excluded; None for no line.
    observed : bool
        Whether the data are drawn.
    name, unit : str
        Quantity and unit on the axis.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there are fewer than two results, or the level is not between 0 and 1.
    """
    if len(results) < 2:
        raise InputError("results", f"has {len(results)} entries", "Pass CLs of two or more signal strengths")
    if level is not None:
        open_share(level, "level")
    found = sorted(results, key=lambda result: result.mu)
    mu = np.array([result.mu for result in found])
    expected = np.array([result.expected_cl_s for result in found])
    seen = np.array([result.cl_s for result in found])
    ends = [[result.cl_s if end is None else end for end in (result.cl_s_lower, result.cl_s_upper)] for result in found]
    with picture(4.8, title) as figure:
        axes = figure.subplots()
        for colour, low, high, label in _BANDS:
            axes.fill_between(mu, expected[:, low], expected[:, high], color=colour, linewidth=0.0, label=label)
        axes.plot(mu, expected[:, 2], color="black", linestyle="--", linewidth=1.4, label="Expected", zorder=3)
        if observed:
            bars = np.abs(np.array(ends).T - seen)
            axes.errorbar(mu, seen, bars, color="black", marker="o", markersize=4, label="Observed", zorder=4)
        if level is not None:
            axes.axhline(level, color=COLOURS["total"], linewidth=1.4, label=f"{level:g}", zorder=2)
        axes.set_xlim(mu[0], mu[-1])
        axes.set_ylim(0.0, 1.05)
        axes.set_xlabel(axis_text(name, unit))
        axes.set_ylabel(r"$\mathrm{CL_s}$")
        axes.legend(loc="upper right")
    return figure
