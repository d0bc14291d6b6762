"""Ratios from classifiers: networks, trainings, scikit-learn's estimators and plain functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn import Loss, Model, Training
from hepstat.ratio.base import Ratio
from hepstat.ratio.links import Limits, Link, checked_limits, checked_link, checked_odds, log_ratio, score_of_two
from hepstat.types import Floats

__all__ = ["ClassifierRatio", "scores_of"]


@dataclass(frozen=True, eq=False)
class ClassifierRatio(Ratio):
    """The ratio that the scores of a classifier tell.

    Parameters
    ----------
    score : Model, Training, scikit-learn classifier or callable
        Of a classifier, column 1 of ``predict_proba``, or ``decision_function`` where there is none or the link is not
        "probability", which needs it; of others scores (n,) of events. Models and trainings of two outputs, background
        and signal, are taken by the difference of these.
    link : str or Loss, optional
        How scores become ratios, see :func:`ratio_from_scores`. Models and trainings: "logit" by default, as after
        training with cross-entropy. Classifiers of hepstat know their own; "probability" for others with
        ``predict_proba``. Everything else needs it.
    odds : float, optional
        Sum of the training weights of signal over that of background. Scores are learned from a mixture of both, and
        what they tell is odds * r, whatever the link (:func:`link_of`); this is divided out.
    clip : tuple of float, optional
        Limits of the ratio, see :func:`ratio_from_scores`.

    Raises
    ------
    InputError
        For a score that cannot be called, a link that is missing or unknown, odds that are not above zero; when called,
        for scores that no ratio belongs to, unless `clip` is given.
    """

    score: Any
    link: Link | Loss = None  # type: ignore[assignment]  # what the kind of score says, filled in below
    odds: float = 1.0
    clip: Limits | None = None

    def __post_init__(self) -> None:
        link = _default_link(self.score) if self.link is None else checked_link(self.link)
        object.__setattr__(self, "link", link)
        object.__setattr__(self, "odds", checked_odds(self.odds))
        object.__setattr__(self, "clip", checked_limits(self.clip))
        _checked_source(self.score, probability=link == "probability")

    def log(self, x: Any) -> Floats:
        """Return log r of events (n,); see :meth:`Ratio.log`."""
        scores = scores_of(self.score, x, probability=self.link == "probability")
        return log_ratio(scores, self.link, self.odds, clip=self.clip)


def scores_of(score: Any, x: Any, *, probability: bool = True) -> Floats:
    """Return the scores (n,) of events: log r of a ratio, and of others what :class:`ClassifierRatio` says.

    Parameters
    ----------
    score : Ratio, Model, Training, scikit-learn classifier or callable
    x : array_like
    probability : bool, optional
        Whether ``predict_proba`` of classifiers is preferred to ``decision_function``.
    """
    _checked_source(score, probability=probability)
    model = _model_of(score)
    if isinstance(score, Ratio):
        values: Any = score.log(x)
    elif model is not None and not (probability and hasattr(score, "predict_proba")):
        values = score_of_two(model(x))
    elif callable(score):
        values = score(x)
    elif probability and hasattr(score, "predict_proba"):
        values = _of_signal(np.asarray(score.predict_proba(x)))
    else:
        values = score.decision_function(x)
    return finite_array(values, "scores", allow_empty=True)


def _model_of(score: Any) -> Model | None:
    """Return the model, of a training or a classifier of hepstat as well; None of others."""
    found = score.model if isinstance(score, Training) else getattr(score, "model_", score)
    return found if isinstance(found, Model) else None


def _of_signal(table: Floats) -> Floats:
    if table.ndim != 2 or table.shape[1] != 2:
        raise InputError("score", f"has probabilities of shape {table.shape}", "Pass a classifier of two classes")
    return table[:, 1]


def _default_link(score: Any) -> Link:
    """Return the link that the kind of score implies."""
    if isinstance(score, Model | Training):
        return "logit"
    if isinstance(getattr(score, "loss_", None), Loss) and _model_of(score) is not None:
        return checked_link(score.loss_)
    if hasattr(score, "predict_proba"):
        return "probability"
    raise InputError("link", "is missing", "Say how these scores become ratios, or pass the loss of the training")


def _checked_source(score: Any, *, probability: bool) -> None:
    """Raise InputError for what gives no scores, or only probabilities where others are wanted."""
    if callable(score) or isinstance(score, Training) or hasattr(score, "decision_function"):
        return
    if not hasattr(score, "predict_proba"):
        raise InputError("score", f"is {score!r}", "Pass a model, a training, a classifier or a function of events")
    if not probability and _model_of(score) is None:
        raise InputError("link", f"does not fit {score!r}, which has probabilities only", "Pass 'probability'")
