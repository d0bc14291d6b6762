"""Guard of trainings on weights of both signs: whether a loss still has a minimum where the scores have gone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn.losses import Loss
from hepstat.learn.losses.base import ANY_LABEL, EVERY_CLASS, Needs, score_array
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["GuardReport", "diagnose_signs", "is_guarded", "next_check", "require_positive_classes"]

Verdict = Literal["sound", "negative density", "negative fluctuation", "loss below zero"]

_NEAR, _FAR = 10.0, 30.0  # log odds at which tails begin, and are far out
_TIMES = 3.0, 30.0  # the same for other scores, in units of their scale
_SIGNIFICANT = 3.0  # errors by which a negative sum of weights is no fluctuation
_FEW = 10  # events that do not make a significance
_ROUNDING = 1e-9  # of the sum of absolute weights
_BELOW = 0.01  # of the loss of no knowledge, by which a loss that is never negative may be below zero
_RARER = 4  # a look after 1 / _RARER more epochs, so that looks are few among many epochs


@dataclass(frozen=True)
class GuardReport(Record):
    """What :func:`diagnose_signs` found in the tail of the scores that is worst, or everywhere.

    Attributes
    ----------
    verdict : {"sound", "negative density", "negative fluctuation", "loss below zero"}
        All but the first mean that the loss has no minimum: weights add up to less than zero where scores have gone
        far, by more than three errors or by less, or a loss that is never negative for weights that are a density is,
        by three of its errors and 1% of the loss of no knowledge.
    loss : float
        Of the events, divided by their weights if it is a mean.
    largest_score : float
        In absolute value.
    label : int or None
        Whose weights the tail is about; None for all.
    side : str
        "low" or "high" scores, or "" where there is none.
    n_events : int
        With this label in the tail.
    net, error : float
        Sum of their weights, and the root of the sum of squares, over the sum of absolute weights of the label; with
        weights in proportion to scores if that is less.
    message : str
        The same in words, and what to do.
    """

    verdict: Verdict
    loss: float
    largest_score: float
    label: int | None
    side: str
    n_events: int
    net: float
    error: float
    message: str


class _Tail(NamedTuple):
    """Events of a label (None: all) on one side: their number, net weight and its error, over the sum of abs(w).

    That is the sum of weights, or that in proportion to scores, whichever is less.
    """

    label: int | None
    side: str
    n: int
    net: float
    error: float

    @property
    def significant(self) -> bool:
        """Whether the net weight is negative beyond fluctuations."""
        return self.n >= _FEW and self.net < -_SIGNIFICANT * self.error


def diagnose_signs(loss: Loss, scores: ArrayLike, y: ArrayLike, weights: ArrayLike) -> GuardReport:
    """Tell whether a loss has a minimum for weights of both signs, as far as these scores tell.

    Parameters
    ----------
    loss : Loss
        One that takes signed weights.
    scores : (n,) or (n, k) array_like
        Of a model that was trained with it.
    y, weights : (n,) array_like
        Labels and weights of the events.

    Returns
    -------
    GuardReport

    Raises
    ------
    InputError
        As from calling the loss.

    Notes
    -----
    Cross-entropy adds w abs(f) for an event of class k with a score f far on the wrong side. Where the weights of class
    k add up to less than zero there, it falls in proportion to abs(f) for ever: no probability belongs to a negative
    density. :attr:`Loss.needs` says which weights count for a loss on which side. Tails begin at log odds of 10: a sum
    of weights that is negative by three errors and more is given up there, any other where they have reached 30. Other
    scores are counted in units of what they should reach, the spread of the targets or the sum of abs(w) of signal over
    the sum of w of background: 3 of those, and 30.
    """
    f, labels, w = score_array(scores), finite_array(y, "y"), finite_array(weights, "weights")
    f = f[:, 0] if f.ndim == 2 and f.shape[1] == 1 else f
    value = loss(f, labels, w)[0]
    if loss.reduction == "mean":
        value /= float(w.sum())
    near, far = ([], []) if loss.needs is None else _tails(loss.needs, f, labels, w)
    dense = [tail for tail in near + far if tail.significant]
    worst = min(dense or [tail for tail in far if tail.net < -_ROUNDING], key=lambda tail: tail.net, default=None)
    verdict: Verdict = "negative density" if dense else "negative fluctuation" if worst is not None else "sound"
    below = value + _BELOW * math.log(max(2, f.size // len(f)))
    if worst is None and below < 0 and loss.needs is not None and loss.needs.never_negative:
        terms = w * _cross_entropies(f, labels)
        largest = float(np.abs(terms).max())
        error = largest * float(np.linalg.norm(terms / largest)) / float(w.sum())
        verdict = "loss below zero" if below < -_SIGNIFICANT * error else "sound"
    label, side, n, net, error = worst or _Tail(None, "", 0, 0.0, 0.0)
    report = GuardReport(verdict, value, float(np.abs(f).max()), label, side, n, net, error, message="")
    return replace(report, message=_message(report))


def is_guarded(loss: Loss, weights: Floats) -> bool:
    """Return whether there is something to watch: negative weights, and a loss that may have no minimum with them."""
    return loss.needs is not None and bool((weights < 0).any())


def next_check(epoch: int) -> int:
    """Return after how many epochs to look next, when so many are done."""
    return epoch + max(1, epoch // _RARER)


def require_positive_classes(loss: Loss, y: Floats, weights: Floats) -> None:
    """Raise InputError if a class that the loss needs a density of has weights that do not add up to one."""
    if loss.needs is None:
        return
    labels = np.unique(y) if loss.needs.low == EVERY_CLASS else {loss.needs.low, loss.needs.high} - {ANY_LABEL}
    for label in labels:
        total = float(weights[y == label].sum())
        if not total > 0:
            remedy = (
                "Learn signal plus background against background, or use a loss that is bounded (ComplementaryLabel, "
                "CandidateLabels, Brier), or guard=False to see it diverge"
            )
            problem = f"of class {label:g} add up to {total:g}, which is no density"
            raise InputError("weights", problem, remedy)


def _tails(needs: Needs, f: Floats, y: Floats, w: Floats) -> tuple[list[_Tail], list[_Tail]]:
    """Return the tails whose weights must not add up to less than zero, and those parts of them that are far out."""
    if needs.low == EVERY_CLASS:
        columns = [(k, "low", -log) for k, log in enumerate(log_softmax(f, axis=1).T)]
    else:
        middle = _average(y, w) if needs.low == ANY_LABEL else 0.0
        columns = [(needs.low, "low", middle - f), (needs.high, "high", f - middle)]
    starts = (_NEAR, _FAR) if needs.log_odds else tuple(times * _scale(needs, y, w) for times in _TIMES)
    found: tuple[list[_Tail], list[_Tail]] = [], []
    for label, side, out in columns:
        own = np.ones(len(y), dtype=np.bool_) if label == ANY_LABEL else y == label
        norm = float(np.abs(w[own]).sum())
        for tails, start in zip(found, starts, strict=True):
            far = own & (out > start)
            if far.any() and norm > 0:
                net, error = _least_sum(w[far] / norm, out[far])
                tails.append(_Tail(None if label == ANY_LABEL else label, side, int(far.sum()), net, error))
    return found


def _least_sum(w: Floats, out: Floats) -> tuple[float, float]:
    """Return the sum of weights, or that in proportion to scores if it is less, and its error.

    The loss changes with the one if all scores are shifted, with the other if they are stretched.
    """
    sums = []
    for share in (np.ones(w.size), out / out.max()):
        part = w * share / share.mean()
        sums.append((float(part.sum()), float(np.linalg.norm(part))))
    return min(sums)


def _cross_entropies(f: Floats, y: Floats) -> Floats:
    """Return -log of the probability of the label of each event (n,)."""
    if f.ndim == 1:
        return np.logaddexp(0.0, (1.0 - 2.0 * y) * f)
    return -np.take_along_axis(log_softmax(f, axis=1), y.astype(np.int64)[:, None], axis=1)[:, 0]


def _average(y: Floats, w: Floats) -> float:
    """Return the mean of targets by the sizes of weights."""
    return float(np.average(y, weights=np.abs(w)))


def _scale(needs: Needs, y: Floats, w: Floats) -> float:
    """Return how far scores that are no log odds may go: as targets do, or as ratios of classes do."""
    if needs.low == ANY_LABEL:
        return float(np.abs(y - _average(y, w)).max()) or 1.0
    background = float(w[y == 0].sum())
    return 10.0 * float(np.abs(w[y == 1]).sum()) / background if background > 0 else math.inf


def _message(report: GuardReport) -> str:
    """Return the finding in words."""
    state = f"the loss is {report.loss:.4g}, scores reach {report.largest_score:.3g}"
    if report.verdict == "sound":
        return f"Nothing speaks against a minimum: {state}."
    if report.verdict == "loss below zero":
        return (
            f"{state.capitalize()}: cross-entropy of a density is never negative, so weights of a class add up to less "
            "than zero where its probability is low. If that is a negative density, learn signal plus background "
            "against background; if not, use a smaller network, penalise weights (l2), or resample the weights first."
        )
    who = "events" if report.label is None else f"events of class {report.label}"
    where = f"the {report.n_events} {who} with the {'lowest' if report.side == 'low' else 'highest'} scores"
    sums = f"Weights of {where} add up to {report.net:.3g} +- {report.error:.2g} of their class"
    if report.verdict == "negative density":
        why = (
            "a negative density has no probability, and the loss falls without end as these scores grow (unless the "
            "network has learned single events by heart: hepstat.weights.diagnose_weights can tell)"
        )
        remedy = (
            "Learn signal plus background against background, learn positive and negative weights apart, or use a "
            "loss that is bounded (ComplementaryLabel, CandidateLabels, Brier), which is biased"
        )
    else:
        why = "the network has set apart a fluctuation of the weights, and the loss falls without end as it goes on"
        remedy = "Use a smaller network, penalise weights (l2), stop earlier, or resample the weights first"
    return f"{sums}, {state}: {why}. {remedy}."
