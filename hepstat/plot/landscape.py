"""Loss over the scores of two events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval, whole_number
from hepstat.errors import InputError
from hepstat.plot.style import picture
from hepstat.types import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_loss_landscape"]


class _Loss(Protocol):
    def __call__(self, scores: Floats, y: Floats, weights: Floats) -> tuple[float, Any]: ...


def draw_loss_landscape(
    losses: Mapping[str, _Loss],
    truth: ArrayLike = (1.0, 0.0),
    weights: ArrayLike = (1.0, 10.0),
    *,
    span: tuple[float, float] = (-3.0, 3.0),
    points: int = 61,
    title: str = "",
) -> Figure:
    """Draw losses over the scores of two events, as in figure 3 of arXiv:2412.09500.

    Parameters
    ----------
    losses : mapping of str to loss
        One panel for each, with this text above it: any callable ``loss(scores, y, weights) -> (value, gradient)``.
    truth : array_like, (2,), optional
        Labels of the two events.
    weights : array_like, (2,), optional
        Expected events that they stand for: luminosity times cross-section.
    span : tuple of float, optional
        Range of both scores.
    points : int, optional
        Points of the grid along each axis, at least 3.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.

    Raises
    ------
    InputError
        If there is no loss, truth or weights are not two numbers, or the span is empty.
    """
    y, w = finite_array(truth, "truth"), finite_array(weights, "weights")
    for name, array in (("truth", y), ("weights", w)):
        if array.size != 2:
            raise InputError(name, f"has {array.size} entries", "Pass one for each of two events")
    if not losses:
        raise InputError("losses", "is empty", "Pass at least one")
    f = np.linspace(*interval(span, "span"), whole_number(points, "points", at_least=3))
    columns = min(2, len(losses))
    rows = -(-len(losses) // columns)
    with picture(0.4 + (3.0 if columns == 2 else 5.2) * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, (label, loss) in zip(grid.flat, losses.items(), strict=False):
            values = np.array([[loss(np.array([a, b]), y, w)[0] for a in f] for b in f])
            mesh = axes.contourf(f, f, values, levels=24, cmap="viridis")
            lines: Any = {"colors": "white", "linestyles": "-", "linewidths": 0.5, "alpha": 0.7}
            axes.contour(f, f, values, levels=mesh.levels[::2], **lines)
            figure.colorbar(mesh, ax=axes, pad=0.02, label="Loss")
            axes.set_title(label, fontsize=12)
        for axes in grid.flat[len(losses) :]:
            axes.set_axis_off()
            grid[-2, -1].tick_params(labelbottom=True)  # nothing below it shows the numbers
        if len(losses) == 1:
            grid[0, 0].set(xlabel=_score_text(1, y, w), ylabel=_score_text(2, y, w))
        else:
            figure.supxlabel(_score_text(1, y, w), fontsize=13)
            figure.supylabel(_score_text(2, y, w), fontsize=13)
        if title:
            figure.suptitle(title, fontsize=12)
    return figure


def _score_text(i: int, y: Floats, w: Floats) -> str:
    return f"Score of event {i} (y = {y[i - 1]:g}, w = {w[i - 1]:g})"
