"""Collapse of the Lovász surrogate: whether a score is worth more to it than a constant, and from which eps on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from hepstat.checks import finite_array, positive_number
from hepstat.errors import InputError
from hepstat.learn.data import Sample, typical_weight
from hepstat.learn.losses import LovaszZ
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["Collapse", "CollapseWarning", "Verdict", "diagnose_collapse", "escape_eps", "typical_eps"]

Verdict = Literal["collapsed", "weak", "escaped"]

_COLLAPSED, _WEAK = 0.99, 0.95  # of the loss of the best constant score
_WORSE = 1.01  # the same: no training ends there
_LARGEST = 40.0  # score at which sigmoid is 1 to all digits


class CollapseWarning(UserWarning):
    """A model trained with a Lovász surrogate is no better than a constant score."""


@dataclass(frozen=True, eq=False)
class Collapse(Record):
    """What :func:`diagnose_collapse` found.

    Attributes
    ----------
    loss, constant_loss : float
        Surrogate of the scores, and of the best constant score.
    ratio : float
        The first over the second.
    verdict : {"collapsed", "weak", "escaped"}
        By a ratio above .99, above .95, or below. Scores of another loss may have one far above 1: the verdict is then
        about their scale, the rule about their order.
    eps : float
        Regulator of the loss, where a schedule has stopped.
    rule : float
        Largest efficiency / sqrt(1 + N_b/eps) of all cuts on the scores that do not keep everything.
    rule_limit : float
        What it has to exceed: 1/2, or what keeping everything gives if that is more.
    escape_eps : float
        Smallest eps above which the rule exceeds its limit with these scores; inf if there is none.
    message : str
        The same in words, and what to do.
    """

    loss: float
    constant_loss: float
    ratio: float
    verdict: Verdict
    eps: float
    rule: float
    rule_limit: float
    escape_eps: float
    message: str


def typical_eps(data: Sample | Sequence[ArrayLike], events: float = 5.0) -> float:
    """Return a regulator for :class:`SoftZ` and :class:`AsimovZ`: so many typical events of background.

    A typical event stands for sum w^2 / sum w expected ones. Where a sample keeps but a few of them it cannot tell the
    background from none, and a loss with a smaller regulator would learn such fluctuations.

    Parameters
    ----------
    data : Sample or sequence (y, w)
        Labels (n,), 0 for background, and expected events (n,).
    events : float, optional
        How many, above zero: 2.5 to 10 do about equally well.

    Returns
    -------
    float
        Expected events.

    Raises
    ------
    InputError
        If there is no background with a positive weight, or a number is out of range.

    Notes
    -----
    An event of a batch stands for more: with batches that hold a small share of a large sample, several times as many
    typical events, or larger batches, do better.
    """
    events = positive_number(events, "events")
    if isinstance(data, Sample):
        y, w = data.y, data.w
    elif isinstance(data, Sequence) and len(data) == 2:
        y, w = finite_array(data[0], "y"), finite_array(data[1], "w")
        if y.size != w.size:
            raise InputError("w", f"has {w.size} entries, y {y.size}", "Pass one weight per event")
    else:
        raise InputError("data", f"is {type(data).__name__}", "Pass a Sample or (y, w)")
    return events * typical_weight(y, w)


def diagnose_collapse(loss: LovaszZ, scores: ArrayLike, y: ArrayLike, weights: ArrayLike) -> Collapse:
    """Tell whether scores are worth more to a Lovász surrogate than a constant.

    Neither the spread of the scores nor their significance tells: scores of size 1e-5 around zero may order events
    well, and are still worth nothing to the loss.

    Parameters
    ----------
    loss : LovaszZ
        The surrogate; of a schedule, the last eps counts.
    scores : (n,) array_like
        Of a model trained with this loss, or with any other to see from which eps on it would do.
    y, weights : (n,) array_like
        Labels and expected events.

    Returns
    -------
    Collapse

    Raises
    ------
    InputError
        If the loss is another, or as from calling it.

    Notes
    -----
    A constant score b >= 0 has errors m_s and m_b, and with A = S/sqrt(eps) and C = S/sqrt(eps + B) the loss
    m_s C + m_b (A - C), whose least value is taken; b < 0 is worse than b = 0. The rule compares it with scores of
    -1 and 1 on the two sides of a cut, which with the hinge have the loss 2 (A - s/sqrt(eps + b)), so that it is exact
    for those. It uses the counts of this very sample, so that few events with large weights can feign an escape.
    """
    if not isinstance(loss, LovaszZ):
        raise InputError("loss", f"is {type(loss).__name__}", "Pass LovaszZ: other losses do not collapse this way")
    value = loss(scores, y, weights)[0]
    f, labels, w = finite_array(scores, "scores"), finite_array(y, "y"), finite_array(weights, "weights")
    constant, eps = _constant_loss(loss, labels, w), float(loss.final_constants[0])
    efficiency, b, total = _cuts(f, labels, w)
    rule = float((efficiency / np.sqrt(1.0 + b / eps)).max(initial=0.0))
    limit = max(0.5, 1.0 / math.sqrt(1.0 + total / eps))
    least = escape_eps(efficiency, b)
    least = least if least < total / 3.0 else math.inf  # else the constant that keeps everything is worth more
    ratio = value / constant
    verdict: Verdict = "collapsed" if ratio > _COLLAPSED else "weak" if ratio > _WEAK else "escaped"
    found = Collapse(value, constant, ratio, verdict, eps, rule, limit, least, "")
    return replace(found, message=_message(found, typical_eps((labels, w))))


def _constant_loss(loss: LovaszZ, y: Floats, w: Floats) -> float:
    """Return the least loss of a constant score: all signal and all background as one event each."""
    both = np.array([w[y == 1].sum(), w[y == 0].sum()])

    def at(b: float) -> float:
        return loss(np.array([b, b]), np.array([1.0, 0.0]), both)[0]

    inside = minimize_scalar(at, bounds=(0.0, _LARGEST), method="bounded").fun
    return min(at(0.0), at(1.0), at(_LARGEST), float(inside))


def _cuts(f: Floats, y: Floats, w: Floats) -> tuple[Floats, Floats, float]:
    """Return efficiency and background of every cut that keeps something, but not all, and all background."""
    order = np.argsort(-f)
    s, b = np.cumsum((w * (y == 1))[order]), np.cumsum((w * (y == 0))[order])
    last = np.diff(f[order]) != 0  # of several events with the same score
    return s[:-1][last] / s[-1], b[:-1][last], float(b[-1])


def escape_eps(efficiency: Floats, b: Floats) -> float:
    """Return the smallest eps above which one of n cuts has efficiency / sqrt(1 + b/eps) > 1/2; inf if there is none.

    Parameters
    ----------
    efficiency, b : array of shape (n,)
        Signal efficiency and expected background of the cuts.
    """
    enough = efficiency > 0.5
    eps = b[enough] / (4.0 * efficiency[enough] ** 2 - 1.0)
    return float(eps.min(initial=math.inf))


def _message(found: Collapse, eps: float) -> str:
    value = f"The loss is {found.loss:.4g}, {found.ratio:.3f} of that of the best constant score"
    if found.verdict == "escaped":
        return f"{value}: the model has learned something that the loss values."
    what = {"collapsed": "training has collapsed to a constant", "weak": "hardly better than a constant"}[found.verdict]
    if found.ratio > _WORSE:
        what = "worse than a constant, so that training is far from its end, or these scores are not of this loss"
    escape = (
        f"with these scores that takes eps > {found.escape_eps:.4g}"
        if math.isfinite(found.escape_eps)
        else "no eps changes that for these scores"
    )
    if found.rule <= found.rule_limit:
        why = (
            f"At eps = {found.eps:.4g} no cut on the scores has efficiency / sqrt(1 + b/eps) above "
            f"{found.rule_limit:.3g}, the best {found.rule:.3g}, so that the loss prefers a constant ({escape})"
        )
    else:
        why = (
            f"Yet a cut on the scores has efficiency / sqrt(1 + b/eps) = {found.rule:.3g} at eps = {found.eps:.4g}: "
            "scores of -1 and 1 would have a smaller loss, if the model can take them"
        )
    return (
        f"{value}: {what}. {why}. Raise eps, lower it from a large value by EpsSchedule, or train with "
        f"SoftZ or AsimovZ at eps = {eps:.3g} (typical_eps), which have no such minimum."
    )
