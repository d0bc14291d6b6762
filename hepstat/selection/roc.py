"""The ROC curve of a score, the area below it, and the error of that area."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.infer.ranks import variance_of_mean
from hepstat.record import Record
from hepstat.selection.efficiency import sums_above, thin
from hepstat.types import Bools, Floats

__all__ = ["Roc", "roc"]


@dataclass(frozen=True, eq=False, repr=False)
class Roc(Record):
    """Efficiencies of signal and background over the cut on a score.

    Parameters
    ----------
    thresholds : array of shape (points,)
        Rising. The first keeps everything; the last lies just above the highest score and keeps nothing.
    signal_efficiency, background_efficiency : array of shape (points,)
        Fraction of the weight of each that has at least this score.
    auc : float
        Probability that an event of signal has a higher score than one of background, ties counted as one half.
    auc_error : float
        Its standard error; NaN if signal or background is a single event.
    n_signal, n_background : int
        Events with a weight above zero.
    """

    thresholds: Floats
    signal_efficiency: Floats
    background_efficiency: Floats
    auc: float
    auc_error: float
    n_signal: int
    n_background: int

    def __repr__(self) -> str:
        """Show the area and the numbers of events."""
        return (
            f"Roc(AUC = {self.auc:.5f} +- {self.auc_error:.2g}; {self.n_signal} signal, {self.n_background} background)"
        )


def roc(scores: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None, *, points: int = 512) -> Roc:
    """Return the ROC curve of a score with its area, whose error is that of DeLong, DeLong and Clarke-Pearson.

    With V the weighted fraction of background below an event of signal (ties count one half), and for an event of
    background that of signal above, the area A is the weighted mean of V over either class. Its variance is the sum
    over both classes of ``sum w^2 (V - A)^2 / (sum w)^2 / (1 - sum w^2 / (sum w)^2)``: the influence functions of two
    weighted means, and for equal weights exactly the estimate of DeLong et al. (Biometrics 44 (1988) 837). It takes
    the events of a class, with their weights, for independent draws of one distribution. A class mixed from fixed
    numbers of events of several processes fluctuates less, so the error is then too large rather than too small.

    Parameters
    ----------
    scores : array_like, (n,)
        Score of each event, higher for signal.
    y : array_like, (n,)
        1 for signal, 0 for background.
    weights : array_like, (n,), optional
        At least 0; all the same if left out. Negative ones are refused: the curve would not be monotone, and the
        area no probability.
    points : int, optional
        Points of the curve, at most: half spread evenly over each efficiency; at least 10. The area is that of all
        events.

    Returns
    -------
    Roc
        The curve from (1, 1) to (0, 0).

    Raises
    ------
    InputError
        For scores that are not finite, labels other than 0 and 1, lengths that differ, negative weights, or signal or
        background without weight.
    """
    points = whole_number(points, "points", at_least=10)
    f, is_signal, w = _checked(scores, y, weights)
    order = np.argsort(f)
    f, is_signal, w = f[order], is_signal[order], w[order]
    first = np.flatnonzero(np.diff(f, prepend=-np.inf) > 0)  # of each group of equal scores
    above = {}
    for kind, mask in (("signal", is_signal), ("background", ~is_signal)):
        above[kind] = np.append(sums_above(np.where(mask, w, 0.0))[first], 0.0)
        above[kind] /= above[kind][0]
    middle = {kind: 0.5 * (values[1:] + values[:-1]) for kind, values in above.items()}
    auc = float(np.sum(-np.diff(above["signal"]) * (1.0 - middle["background"])))
    group = np.repeat(np.arange(first.size), np.diff(np.append(first, f.size)))
    variance = variance_of_mean((1.0 - middle["background"])[group][is_signal], w[is_signal])
    variance += variance_of_mean(middle["signal"][group][~is_signal], w[~is_signal])
    thresholds = np.append(f[first], np.nextafter(f[-1], np.inf))
    shown = thin(points, -above["signal"], -above["background"], keep=(0, thresholds.size - 1))
    return Roc(
        thresholds=thresholds[shown],
        signal_efficiency=above["signal"][shown],
        background_efficiency=above["background"][shown],
        auc=auc,
        auc_error=math.sqrt(variance),
        n_signal=int(np.count_nonzero(w[is_signal])),
        n_background=int(np.count_nonzero(w[~is_signal])),
    )


def _checked(scores: ArrayLike, y: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Bools, Floats]:
    f, labels = finite_array(scores, "scores"), finite_array(y, "y")
    w = np.ones_like(f) if weights is None else finite_array(weights, "weights")
    for name, array in (("y", labels), ("weights", w)):
        if array.size != f.size:
            raise InputError(name, f"has {array.size} entries for {f.size} scores", "Pass one for each event")
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        raise InputError("y", f"has the label {labels[wrong][0]:g}", "Pass 1 for signal and 0 for background")
    if (w < 0).any():
        raise InputError("weights", f"has {int((w < 0).sum())} negative entries", "Pass weights of at least 0")
    is_signal = labels == 1
    for kind, mask in (("signal", is_signal), ("background", ~is_signal)):
        if not w[mask].sum() > 0:
            raise InputError("y", f"has no {kind} with a weight above 0", "Pass events of both")
    return f, is_signal, w
