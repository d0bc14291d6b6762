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
from hepstat.learn.losses.base import EVERY_CLASS, score_array
from hepstat.record import Record
from hepstat.types import Bools, Floats

__all__ = ["GuardReport", "diagnose_signs", "is_guarded", "next_check", "require_positive_classes"]

Verdict = Literal["sound", "negative density", "negative fluctuation", "loss below zero"]

_LOGITS, _VALUES = (10.0, 30.0), (30.0, 300.0)  # where tails of logits and of other scores begin, and are far out
_SIGNIFICANT = 3.0  # errors by which a negative sum of weights is no fluctuation
_FEW = 10  # events that do not make a significance
_ROUNDING = 1e-9  # of the sum of absolute weights
_BELOW = 0.01  # of the loss of no knowledge, by which a loss that is never negative may be below zero
_CHECKED = 10  # epochs that are all looked at; afterwards the share 1 / _CHECKED of them


@dataclass(frozen=True)
class GuardReport(Record):
    """What :func:`diagnose_signs` found in the tail of the scores that is worst, or everywhere.

    Attributes
    ----------
    verdict : {"sound", "negative density", "negative fluctuation", "loss below zero"}
        All but the first mean that the loss has no minimum: weights add up to less than zero where scores have gone
        far, by more than three errors or by less, or a loss that is never negative for weights that are a density is.
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
        Sum of their weights, and the root of the sum of squares, over the sum of absolute weights of the label.
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
    """Events (n,) of a label (None: of all) on one side, in the tail and far out, and the scale of their weights."""

    label: int | None
    side: str
    near: Bools
    far: Bools
    scale: float


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
    density. :attr:`Loss.needs_positive` says which weights count for a loss on which side. Tails begin at log odds of
    10 (scores of 30 where they are no log odds): a sum of weights that is negative by three errors and more is given
    up there, any other where they have reached 30 (300).
    """
    f, labels, w = score_array(scores), finite_array(y, "y"), finite_array(weights, "weights")
    f = f[:, 0] if f.ndim == 2 and f.shape[1] == 1 else f
    value = loss(f, labels, w)[0]
    if loss.reduction == "mean":
        value /= float(w.sum())
    tails = _tails(loss, f, labels, w)
    found = [_judged(tail, w) for tail in tails]
    found = sorted((entry for entry in found if entry[0] != "sound"), key=lambda entry: entry[2] / entry[3])
    sound: tuple[Verdict, _Tail | None, float, float] = ("sound", None, 0.0, 0.0)
    verdict, tail, net, error = found[0] if found else sound
    if verdict == "sound" and loss.never_negative and value < -_BELOW * math.log(max(2, f.size // len(f))):
        verdict = "loss below zero"
    report = GuardReport(
        verdict=verdict,
        loss=value,
        largest_score=float(np.abs(f).max()),
        label=None if tail is None else tail.label,
        side="" if tail is None else tail.side,
        n_events=0 if tail is None else int(tail.near.sum()),
        net=net,
        error=error,
        message="",
    )
    return replace(report, message=_message(report))


def is_guarded(loss: Loss, weights: Floats) -> bool:
    """Return whether there is something to watch: negative weights, and a loss that may have no minimum with them."""
    return loss.needs_positive is not None and bool((weights < 0).any())


def next_check(epoch: int) -> int:
    """Return after how many epochs to look next, when so many are done."""
    return epoch + max(1, epoch // _CHECKED)


def require_positive_classes(loss: Loss, y: Floats, weights: Floats) -> None:
    """Raise InputError if a class that the loss needs a density of has weights that do not add up to one."""
    if loss.needs_positive is None:
        return
    labels = np.unique(y) if loss.needs_positive == EVERY_CLASS else np.unique(loss.needs_positive)
    for label in labels:
        if label < 0:
            continue
        total = float(weights[y == label].sum())
        if not total > 0:
            remedy = (
                "Learn signal plus background against background, or use a loss that is bounded (ComplementaryLabel, "
                "CandidateLabels, Brier), or guard=False to see it diverge"
            )
            problem = f"of class {label:g} add up to {total:g}, which is no density"
            raise InputError("weights", problem, remedy)


def _tails(loss: Loss, f: Floats, y: Floats, w: Floats) -> list[_Tail]:
    """Return the tails whose weights must not add up to less than zero."""
    needs = loss.needs_positive
    if needs is None:
        return []
    if needs == EVERY_CLASS:
        logs, near, far = log_softmax(f, axis=1), *_LOGITS
        columns = [(k, "low", -logs[:, k]) for k in range(f.shape[1])]
    else:
        near, far = _VALUES if needs[0] == needs[1] else _LOGITS
        columns = [(needs[0], "low", -f), (needs[1], "high", f)]
    tails = []
    for label, side, out in columns:
        of_label = np.ones(len(y), dtype=np.bool_) if label < 0 else y == label
        scale = float(np.abs(w[of_label]).sum())
        tails.append(_Tail(label if label >= 0 else None, side, of_label & (out > near), of_label & (out > far), scale))
    return tails


def _judged(tail: _Tail, w: Floats) -> tuple[Verdict, _Tail, float, float]:
    """Return the verdict on a tail, its net weight and the error of that, over the scale."""
    verdict: Verdict = "sound"
    net = error = 0.0
    for where, enough in ((tail.near, _SIGNIFICANT), (tail.far, 0.0)):
        inside = w[where]
        if not inside.size or verdict != "sound":
            continue
        net, error = float(inside.sum()) / tail.scale, math.sqrt(float(inside @ inside)) / tail.scale
        significant = inside.size >= _FEW and net < -_SIGNIFICANT * error
        if significant or (enough == 0.0 and net < -_ROUNDING):
            verdict = "negative density" if significant else "negative fluctuation"
    return verdict, tail, net, error


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
        why = "a negative density has no probability, and the loss falls without end as these scores grow"
        remedy = (
            "Learn signal plus background against background, learn positive and negative weights apart, or use a "
            "loss that is bounded (ComplementaryLabel, CandidateLabels, Brier), which is biased"
        )
    else:
        why = "the network has set apart a fluctuation of the weights, and the loss falls without end as it goes on"
        remedy = "Use a smaller network, penalise weights (l2), stop earlier, or resample the weights first"
    return f"{sums}, {state}: {why}. {remedy}."
