"""Loss over the epochs of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepstat.plot.style import COLOURS, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepstat.learn.training import Training

__all__ = ["draw_training"]


def draw_training(training: Training, *, log: bool = False, title: str = "") -> Figure:
    """Draw the loss of training and validation over the epochs, and which epoch was the best.

    Parameters
    ----------
    training : Training
        From :func:`hepstat.learn.training.train`. Epochs are drawn from 1; where not even the first was finished, the
        loss of its steps is shown.
    log : bool
        Whether the loss gets a logarithmic axis; it must then be above 0.
    title : str
        Text above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Nothing is shown or written.
    """
    from matplotlib.ticker import MaxNLocator

    by_epoch = training.train_loss.size > 0
    values = training.train_loss if by_epoch else training.step_loss
    number = np.arange(1, values.size + 1)
    dots: Any = {"marker": "o" if values.size == 1 else None, "zorder": 3}
    with picture(4.4, title) as figure:
        axes = figure.subplots()
        axes.plot(number, values, color=COLOURS["background"], label="Training", **dots)
        if by_epoch and training.validation_loss.size:
            held = training.validation_loss
            axes.plot(number, held, color=COLOURS["total"], linestyle="--", label="Validation", **dots)
            if training.best_epoch >= 0:
                best = training.best_epoch + 1
                axes.axvline(best, color="0.4", linewidth=1.0, linestyle=":", label=f"Best: epoch {best}", zorder=2)
        if log:
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.02)
        axes.set_xlabel("Epoch" if by_epoch else "Step of the first epoch")
        axes.set_ylabel("Loss")
        told = None if training.status == "finished" else training.status.capitalize()
        axes.legend(loc="best", title=told, frameon=False)
    return figure
