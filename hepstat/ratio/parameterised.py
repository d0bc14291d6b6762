"""Ratios that depend on parameters theta of the signal: r(x; theta) = p_S(x | theta) / p_B(x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn import BinaryCrossEntropy, Loss, Model, Network, Training, train, with_parameters
from hepstat.learn.data import held_out, part_weights
from hepstat.ratio.base import Ratio
from hepstat.ratio.links import (
    Limits,
    Link,
    checked_limits,
    checked_link,
    checked_odds,
    link_of,
    log_ratio,
    representable,
    score_of_two,
)
from hepstat.ratio.training import check_options, stacked
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats, Ints

__all__ = ["ParameterisedRatio", "RatioAt", "learn_parameterised_ratio"]

_FEW = 20  # events of background for each value of theta, from which on values are told apart


@dataclass(frozen=True, eq=False)
class ParameterisedRatio:
    """A ratio for every value of parameters, from one classifier (Baldi et al., arXiv:1601.07913).

    Parameters
    ----------
    score : Model, Training or callable
        Of events (n, d) and parameters, (p,) or (n, p), to scores (n,).
    link : str or Loss, optional
        How scores become ratios, see :func:`ratio_from_scores`; "logit" by default, as after training with
        cross-entropy.
    odds : float, optional
        Sum of the training weights of signal over that of background at each value of theta, the same for all: that is
        what drawing the parameters of background from those of signal, by weight, leads to.
    clip : tuple of float, optional
        Limits of the ratio, see :func:`ratio_from_scores`.
    """

    score: Any
    link: Link | Loss = "logit"
    odds: float = 1.0
    clip: Limits | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "link", checked_link(self.link))
        object.__setattr__(self, "odds", checked_odds(self.odds))
        object.__setattr__(self, "clip", checked_limits(self.clip))
        if not (isinstance(self.score, Training) or callable(self.score)):
            raise InputError("score", f"is {self.score!r}", "Pass a model, a training or a function of (x, theta)")

    def log(self, x: Any, theta: ArrayLike) -> Floats:
        """Return log r of events.

        Parameters
        ----------
        x : array_like, (n, d)
        theta : float or array_like, (p,) or (n, p)
            For all events, or for each.

        Returns
        -------
        ndarray, (n,)
            See :meth:`Ratio.log`.
        """
        parameters = np.atleast_1d(np.asarray(theta, dtype=np.float64))
        score = self.score.model if isinstance(self.score, Training) else self.score
        values = score(x, parameters)
        scores = score_of_two(values) if isinstance(score, Model) else values
        return log_ratio(scores, self.link, self.odds, clip=self.clip)

    def __call__(self, x: Any, theta: ArrayLike) -> Floats:
        """Return r of events (n,); as :meth:`log`."""
        return np.exp(representable(self.log(x, theta)))

    def at(self, theta: ArrayLike) -> RatioAt:
        """Return the ratio at one value, a float or (p,)."""
        return RatioAt(self, np.atleast_1d(finite_array(np.atleast_1d(theta), "theta")))

    def log_table(self, x: Any, knots: ArrayLike) -> Floats:
        """Return log r of events at several values of theta.

        Parameters
        ----------
        x : array_like, (n, d)
        knots : array_like, (k,) or (k, p)
            Values of theta.

        Returns
        -------
        ndarray, (n, k)
        """
        values = finite_array(knots, "knots", ndim=2 if np.ndim(knots) == 2 else 1)
        return np.stack([self.log(x, knot) for knot in values.reshape(len(values), -1)], axis=1)


@dataclass(frozen=True, eq=False)
class RatioAt(Ratio):
    """A parameterised ratio at one value of its parameters.

    Parameters
    ----------
    family : ParameterisedRatio
    theta : ndarray, (p,)
    """

    family: ParameterisedRatio
    theta: Floats

    def log(self, x: Any) -> Floats:
        """Return log r of events (n,); see :meth:`Ratio.log`."""
        return self.family.log(x, self.theta)


def learn_parameterised_ratio(
    signal: ArrayLike,
    theta: ArrayLike,
    background: ArrayLike,
    *,
    network: Network | Model,
    rng: Rng,
    loss: Loss | None = None,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    validation: float = 0.0,
    clip: Limits | None = None,
    **options: Any,
) -> ParameterisedRatio:
    """Train one network for all values of parameters of the signal.

    Parameters
    ----------
    signal : array_like, (n, d)
        Events of all values together.
    theta : array_like, (n,) or (n, p)
        With which each was simulated.
    background : array_like, (m, d)
        Events, which get parameters from :func:`hepstat.learn.with_parameters`.
    network : Network or Model
        With ``n_parameters=p``.
    rng : int, SeedSequence or Generator
        The seed.
    loss, signal_weights, background_weights, clip
        As in :func:`learn_ratio`. Weights are at least zero.
    validation : float, optional
        Share of the events that is put aside, at each value of theta.
    **options
        Of :func:`hepstat.learn.train`.

    Returns
    -------
    ParameterisedRatio
        With the training as its ``score``.

    Raises
    ------
    InputError, TrainingError
        As :func:`learn_ratio` and :func:`hepstat.learn.with_parameters`.

    Notes
    -----
    At each theta the score tells W_S(theta) p_S(x | theta) / [W_B(theta) p_B(x)], with W the sums of training weights
    there. With background drawn in proportion to W_S(theta) the odds do not depend on theta, however many events each
    value has, except that whole events are drawn, of different weights. So where values are few (20 events of
    background for each, at least), the weights of background are scaled at each to make the odds the same exactly; the
    events put aside are chosen, and those left scaled, at each value likewise. Values with many events are learned
    better: weigh the signal if they should count the same.
    """
    loss = BinaryCrossEntropy() if loss is None else loss
    link = link_of(loss)
    data, odds = stacked(signal, background, signal_weights, background_weights)
    check_options(options, data[2])
    key = stream_key(rng)
    (x, y, w), parameters = with_parameters(data, theta, toy_generator(key, 0))
    group = _groups(parameters, y)
    w = _balanced(y, w, group, odds)
    if validation:
        strata = 2 * group + y.astype(np.int64)
        strata = np.unique(strata, return_inverse=True)[1]
        held = held_out(strata, validation, toy_generator(key, 1), "validation")
        aside = (x[held], y[held], part_weights(w, strata, held, name="validation"), parameters[held])
        options = {**options, "validation": aside}
        x, y, w, parameters = x[~held], y[~held], part_weights(w, strata, ~held, name="validation"), parameters[~held]
    training = train(network, (x, y, w), loss, rng=toy_generator(key, 2), parameters=parameters, **options)
    return ParameterisedRatio(training, link, odds, clip)


def _groups(parameters: Floats, y: Floats) -> Ints:
    """Return the number of the value of theta of each event (n,); all 0 where values are many."""
    values, group = np.unique(parameters, axis=0, return_inverse=True)
    few = len(values) * _FEW <= (y == 0).sum()
    return group.reshape(-1) if few else np.zeros(len(y), dtype=np.int64)


def _balanced(y: Floats, w: Floats, group: Ints, odds: float) -> Floats:
    """Return weights with those of background scaled such that the odds are the same at each value of theta."""
    background: Bools = y == 0
    n = int(group.max()) + 1
    signal_sums = np.bincount(group[~background], w[~background], n)
    background_sums = np.bincount(group[background], w[background], n)
    factors = np.divide(signal_sums, odds * background_sums, out=np.ones(n), where=background_sums > 0)
    return np.where(background, w * factors[group], w)
