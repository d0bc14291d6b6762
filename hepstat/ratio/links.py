"""How scores become likelihood ratios: the link that belongs to a loss, and the sizes of the training samples."""

from __future__ import annotations

import math
import warnings
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval, nonnegative_number, positive_number
from hepstat.errors import InputError
from hepstat.learn import (
    BinaryCrossEntropy,
    Brier,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    Exponential,
    LinearRatio,
    Loss,
    MaximumLikelihoodRatio,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
    SquaredError,
)
from hepstat.types import Bools, Floats

__all__ = [
    "ClipWarning",
    "Limits",
    "Link",
    "checked_limits",
    "checked_link",
    "link_of",
    "log_ratio",
    "ratio_from_scores",
    "score_of_two",
]

Link: TypeAlias = Literal["logit", "probability", "ratio", "log ratio", "half log ratio"]
Limits: TypeAlias = tuple[float, float]

LARGEST_LOG = math.log(np.finfo(np.float64).max)
_LINKS: dict[type[Loss], Link] = {
    BinaryCrossEntropy: "logit",
    SignedCrossEntropy: "logit",
    Brier: "logit",
    SquaredError: "probability",
    LinearRatio: "ratio",
    MaximumLikelihoodRatio: "log ratio",
    Exponential: "half log ratio",
    CategoricalCrossEntropy: "logit",
    SignedCategoricalCrossEntropy: "logit",
    CategoricalBrier: "logit",
    ComplementaryLabel: "logit",
    CandidateLabels: "logit",
}


class ClipWarning(UserWarning):
    """Some ratios were outside of the limits that they were to be clipped to."""


def link_of(loss: Loss) -> Link:
    """Return how scores trained with a loss become ratios.

    Parameters
    ----------
    loss : Loss

    Returns
    -------
    str
        "logit" for :class:`BinaryCrossEntropy`, :class:`SignedCrossEntropy` and :class:`Brier`, "probability" for
        :class:`SquaredError` on labels of 0 and 1, "ratio" for :class:`LinearRatio`, "log ratio" for
        :class:`MaximumLikelihoodRatio`, "half log ratio" for :class:`Exponential`. With a score for each class, of
        which background is 0 and signal 1, "logit" of the difference f_1 - f_0: :class:`CategoricalCrossEntropy`,
        :class:`SignedCategoricalCrossEntropy`, :class:`CategoricalBrier`, :class:`ComplementaryLabel` and
        :class:`CandidateLabels`.

    Raises
    ------
    InputError
        For a loss whose best score is no function of the ratio that could be inverted, or not one of these.

    Notes
    -----
    Let a = W_S p_S(x) and b = W_B p_B(x), with W the sums of training weights. The score f at which
    a l(f, 1) + b l(f, 0) is least solves a l'(f, 1) + b l'(f, 0) = 0. With p = sigmoid(f): cross-entropy
    a (p - 1) + b p = 0 and Brier the same times 2 p (1 - p), so f = log(a/b); squared error a (f - 1) + b f = 0, so
    f = a/(a + b); linear ratio -a + b f = 0, so f = a/b (arXiv:1909.03081, eq. 3.8); maximum likelihood -a + b e^f = 0,
    so f = log(a/b); exponential -a e^-f + b e^f = 0, so f = log(a/b) / 2. Always a/b = (W_S / W_B) p_S / p_B.

    Two scores stand for p = sigmoid(f_1 - f_0), so losses of classes have the same best p. With negative weights
    :class:`ComplementaryLabel` and :class:`CandidateLabels` have another, and what they tell in place of a/b is the
    biased ratio of :func:`hepstat.weights.optimal_ratio`.
    """
    link = _LINKS.get(type(loss))
    if link is not None:
        return link
    if isinstance(loss, Loss) and loss.tells_probability and loss.outputs_for(2) == 1:
        remedy = "Pass a function of x that returns loss.probability(scores), with link='probability'"
    else:
        remedy = f"Train with {', '.join(kind.__name__ for kind in _LINKS)}, or calibrate the score"
    raise InputError("loss", f"is {loss!r}, whose scores have no link to the ratio", remedy)


def ratio_from_scores(scores: ArrayLike, link: Link | Loss, odds: float = 1.0, *, clip: Limits | None = None) -> Floats:
    """Return the likelihood ratios p_S / p_B that scores tell.

    Parameters
    ----------
    scores : array_like, (n,)
        Scores s.
    link : str or Loss
        How they become ratios: "logit" or "log ratio" exp(s), "probability" s / (1 - s), "ratio" s, "half log ratio"
        exp(2 s). A loss stands for its :func:`link_of`.
    odds : float, optional
        Sum of the training weights of signal over that of background (numbers of events, without weights), by which
        ratios are divided, whatever the link (:func:`link_of`).
    clip : tuple of float, optional
        Limits (low, high) of the ratios, 0 <= low < high; values outside, and scores that no ratio belongs to, become
        the nearer limit.

    Returns
    -------
    ndarray, (n,)
        At least zero.

    Raises
    ------
    InputError
        For scores that are not finite; without `clip` for probabilities below 0 or from 1 on, ratios below 0, and
        ratios that overflow, with their number and the worst.

    Warns
    -----
    ClipWarning
        How many were clipped, if any.
    """
    return np.exp(representable(log_ratio(scores, link, odds, clip=clip)))


def log_ratio(scores: ArrayLike, link: Link | Loss, odds: float = 1.0, *, clip: Limits | None = None) -> Floats:
    """Return the logarithms of :func:`ratio_from_scores`, minus infinity for ratios of zero; these do not overflow."""
    s, link, shift = finite_array(scores, "scores", allow_empty=True), checked_link(link), -math.log(checked_odds(odds))
    limits = checked_limits(clip)
    if link == "probability":
        _refuse((s < 0.0) | (s >= 1.0), s, "are no probabilities of at least 0 and below 1", limits)
        inside = np.clip(s, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            values = np.log(inside) - np.log1p(-inside)
    elif link == "ratio":
        _refuse(s < 0.0, s, "are ratios below 0", limits)
        with np.errstate(divide="ignore"):
            values = np.log(np.maximum(s, 0.0))
    else:
        values = 2.0 * s if link == "half log ratio" else s
    return clipped(values + shift, limits)


def score_of_two(scores: Floats) -> Floats:
    """Return f_1 - f_0 (n,) of models with two outputs (n, 2), and other scores as they are."""
    return scores[:, 1] - scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 2 else scores


def clipped(values: Floats, limits: Limits | None) -> Floats:
    """Return logarithms of ratios within the limits of the ratios, with a :class:`ClipWarning` if some were not."""
    if limits is None:
        return values
    low, high = -math.inf if limits[0] == 0.0 else math.log(limits[0]), math.log(limits[1])
    outside = (values < low) | (values > high)
    if outside.any():
        count = int(outside.sum())
        text = f"{count} of {values.size} ratios were clipped to [{limits[0]:g}, {limits[1]:g}]"
        warnings.warn(text, ClipWarning, stacklevel=2)
    return np.clip(values, low, high)


def representable(logs: Floats) -> Floats:
    """Return logarithms of ratios, or raise InputError if the ratios overflow."""
    bad = logs > LARGEST_LOG
    if bad.any():
        problem = f"has {int(bad.sum())} ratios that overflow, up to exp({logs.max():.4g})"
        raise InputError("scores", problem, "Use the logarithm of the ratio, or clip=(low, high)")
    return logs


def checked_link(link: Link | Loss) -> Link:
    """Return the link, or that of a loss."""
    if isinstance(link, Loss):
        return link_of(link)
    if link not in get_args(Link):
        names = ", ".join(map(repr, get_args(Link)))
        raise InputError("link", f"is {link!r}", f"Pass one of {names}, or the loss of the training")
    return link


def checked_odds(odds: float) -> float:
    """Return the odds, above zero."""
    return positive_number(odds, "odds")


def checked_limits(clip: Limits | None) -> Limits | None:
    """Return limits (low, high) with 0 <= low < high, or None."""
    if clip is None:
        return None
    low, high = interval(clip, "clip")
    return nonnegative_number(low, "clip[0]"), high


def _refuse(bad: Bools, scores: Floats, what: str, limits: Limits | None) -> None:
    """Raise InputError for bad scores that are not to be clipped, with their number and the first."""
    if limits is None and bad.any():
        shown = f"has {int(bad.sum())} of {scores.size} entries that {what}, the first {scores[bad][0]:g}"
        raise InputError("scores", shown, "Pass clip=(low, high) to limit the ratios, or train on")
