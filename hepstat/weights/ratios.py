"""Ratios of densities that may be negative, learned from weights of both signs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, positive_number, weighted_events
from hepstat.errors import InputError
from hepstat.learn import Loss, MaximumLikelihoodRatio, Model, Network
from hepstat.ratio import AnalyticRatio, Ratio, learn_ratio
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = [
    "InterferenceRatio",
    "SignedMixtureRatio",
    "WeakSignalWarning",
    "learn_interference",
    "learn_signed_mixture",
]

_WEAK = 0.1  # of the background: a signal of which the noise of a training hides most


class WeakSignalWarning(UserWarning):
    """Next to a background, a signal is too small to be learned well."""


@dataclass(frozen=True, eq=False)
class InterferenceRatio:
    """Intensity of signal over that of background, s(x) / b(x), from what both together are over background.

    Attributes
    ----------
    learned : Ratio
        lambda = p_{kS+B} / p_B, of densities normalised to one.
    signal_yield, background_yield : float
        Sums of weights S, of any sign, and B.
    enhance : float
        k.
    """

    learned: Ratio
    signal_yield: float
    background_yield: float
    enhance: float = 1.0

    def __call__(self, x: Any) -> Floats:
        """Return [lambda (k S + B) / B - 1] / k of events (n,); raises as :meth:`hepstat.ratio.Ratio.log`."""
        enhanced = 1.0 + self.enhance * self.signal_yield / self.background_yield
        return np.asarray((enhanced * self.learned(x) - 1.0) / self.enhance)

    @property
    def total(self) -> Ratio:
        """The ratio p_{S+B} / p_B, for tests of hypotheses; it raises for events where it is not above zero."""
        return self.learned if self.enhance == 1.0 else AnalyticRatio(self._log_total)

    def _log_total(self, x: Any) -> Floats:
        intensity = 1.0 + self(x)
        if not (intensity > 0).all():
            problem = f"has {int((intensity <= 0).sum())} events where signal and background are learned to be negative"
            raise InputError("x", problem, "Train longer, or with a smaller enhance")
        return np.asarray(np.log(intensity) - np.log1p(self.signal_yield / self.background_yield))


def learn_interference(
    signal: ArrayLike,
    background: ArrayLike,
    *,
    network: Network | Model,
    rng: Rng,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    loss: Loss | None = None,
    enhance: float = 1.0,
    validation: Sequence[ArrayLike] | None = None,
    **options: Any,
) -> InterferenceRatio:
    """Learn what a signal with negative interference adds to a background, by telling both together from background.

    Parameters
    ----------
    signal, background : array_like, (n, d)
        Events of both. Background events are used twice, with signal and against it.
    network : Network or Model
        As in :func:`hepstat.learn.train`.
    rng : int, SeedSequence or Generator
    signal_weights, background_weights : array_like, (n,), optional
        Expected events each stands for, of any sign. All signal weights may be negative; what signal and background add
        up to, and background alone, must be densities.
    loss : Loss, optional
        One that has a link and takes signed weights, :class:`hepstat.learn.MaximumLikelihoodRatio` by default.
    enhance : float, optional
        Learn with so many times the signal: next to a background that is much larger, it would drown in the noise of
        the training. What comes out is s / b all the same. The background has to outweigh that much interference.
    validation : sequence of array_like, optional
        Other events (signal, background) or (signal, background, signal_weights, background_weights).
    **options
        Of :func:`hepstat.ratio.learn_ratio`.

    Returns
    -------
    InterferenceRatio

    Warns
    -----
    WeakSignalWarning
        If the sizes of the signal weights, with `enhance`, add up to less than a tenth of those of background.

    Raises
    ------
    InputError
        If the weights of background, or of both together, do not add up to more than zero, and as
        :func:`hepstat.ratio.learn_ratio`.
    TrainingError
        If the training diverges, as where signal and background together are no density.

    Notes
    -----
    abs(s + b)^2 is a density even where abs(s)^2 + 2 Re(s b*) is not, so any loss of ratios that is linear in the
    weights is consistent; on a double slit maximum likelihood, cross-entropy and the linear ratio come equally close. A
    linear ratio of both together may come out below zero where it is small, see `clip`.
    """
    k = positive_number(enhance, "enhance")
    s, w_s, b, w_b = _both(signal, background, signal_weights, background_weights)
    signal_yield, background_yield = float(w_s.sum()), float(w_b.sum())
    if not background_yield > 0:
        _refuse(w_b, "background_weights", "What signal is compared with needs weights with a sum above zero")
    if not k * signal_yield + background_yield > 0:
        remedy = f"Pass expected events of both: with background they add up to {k * signal_yield + background_yield:g}"
        _refuse(w_s, "signal_weights", remedy)
    share = k * float(np.abs(w_s).sum()) / background_yield
    if share < _WEAK:
        text = f"sizes of signal weights add up to {share:.3g} of the background: pass enhance={0.5 / share * k:.2g}"
        warnings.warn(f"{text}, or as much as the background outweighs", WeakSignalWarning, stacklevel=2)
    if validation is not None:
        if not isinstance(validation, Sequence) or len(validation) not in (2, 4):
            raise InputError("validation", f"is {type(validation).__name__}", "Pass (signal, background) and weights")
        v, u, w, z = _both(*validation, *(None,) * (4 - len(validation)))
        rows = np.concatenate([v, w, w]), np.repeat([1.0, 1.0, 0.0], [len(v), len(w), len(w)])
        options["validation"] = (*rows, np.concatenate([k * u, z, z]) / background_yield)
    learned = learn_ratio(
        np.concatenate([s, b]),
        b,
        network=network,
        rng=rng,
        loss=MaximumLikelihoodRatio() if loss is None else loss,
        signal_weights=np.concatenate([k * w_s, w_b]) / background_yield,
        background_weights=w_b / background_yield,
        **options,
    )
    return InterferenceRatio(learned, signal_yield, background_yield, k)


@dataclass(frozen=True, eq=False)
class SignedMixtureRatio:
    """Intensity of signal over that of background, s(x) / b(x), from ratios of their positive and negative parts.

    With A abs(p_B) the intensity of the absolute weights of background,
    s / b = (P positive - N negative) / (A - 2 M background_negative).

    Attributes
    ----------
    positive, negative : Ratio or None
        Densities of the positive signal weights, and of the sizes of the negative ones, over abs(p_B), all normalised
        to one; None where there are no such weights.
    background_negative : Ratio or None
        The same of the sizes of the negative background weights.
    positive_yield, negative_yield : float
        P and N: sums of the sizes of the signal weights of either sign.
    background_absolute, background_negative_yield : float
        A and M: sums of the sizes of all background weights, and of the negative ones.
    """

    positive: Ratio | None
    negative: Ratio | None
    background_negative: Ratio | None
    positive_yield: float
    negative_yield: float
    background_absolute: float
    background_negative_yield: float

    def __call__(self, x: Any) -> Floats:
        """Return s / b of events (n,).

        Raises
        ------
        InputError
            For events at which the learned intensity of background is not above zero, and as
            :meth:`hepstat.ratio.Ratio.log`.
        """
        parts = ((self.positive_yield, self.positive), (-self.negative_yield, self.negative))
        signal = np.sum([total * part(x) for total, part in parts if part is not None], axis=0)
        if self.background_negative is None:
            return np.asarray(signal / self.background_absolute)
        background = self.background_absolute - 2.0 * self.background_negative_yield * self.background_negative(x)
        bad = background <= 0.0
        if bad.any():
            problem = f"has {int(bad.sum())} of {bad.size} events where the density of background is not above zero"
            raise InputError("x", problem, "Resample the background first (positive_resample), or train longer")
        return np.asarray(signal / background)


def learn_signed_mixture(
    signal: ArrayLike,
    background: ArrayLike,
    *,
    network: Network | Model,
    rng: Rng,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    **options: Any,
) -> SignedMixtureRatio:
    """Learn a ratio of any sign from trainings on positive weights only.

    Parameters
    ----------
    signal, background : array_like, (n, d)
        Events of both, in any numbers.
    network : Network or Model
        As in :func:`hepstat.learn.train`.
    rng : int, SeedSequence or Generator
        The seed, of all trainings.
    signal_weights, background_weights : array_like, (n,), optional
        Expected events each stands for, of any sign. Those of the signal may add up to anything.
    **options
        Of :func:`hepstat.ratio.learn_ratio`, for each part.

    Returns
    -------
    SignedMixtureRatio

    Raises
    ------
    InputError
        If the weights of background do not add up to more than zero, those of signal are all zero, and as
        :func:`hepstat.ratio.learn_ratio`.
    TrainingError
        If a training diverges.

    Notes
    -----
    The positive and the negative weights of the signal, and the negative ones of the background, are each told from all
    background events with their absolute weights (Drnevich, Jiggins, Katzy and Cranmer, arXiv:2410.10216). No loss can
    diverge; where parts cancel their errors do not, relative to the difference.
    """
    s, w_s, b, w_b = _both(signal, background, signal_weights, background_weights)
    if not isinstance(options.get("validation", 0.0), int | float):
        raise InputError(
            "validation", "are events of one training, and there are several", "Pass a share of the events"
        )
    if not w_b.sum() > 0:
        _refuse(w_b, "background_weights", "What signal is compared with needs weights with a sum above zero")
    if not w_s.any():
        raise InputError("signal_weights", f"are all zero, {w_s.size} of them", "Pass events with weights")
    key = stream_key(rng)

    def part(index: int, x: Floats, w: Floats) -> tuple[Ratio | None, float]:
        """Return the ratio of the events with positive weights to all background, and the sum of these weights."""
        own = w > 0
        if not own.any():
            return None, 0.0
        sizes = np.abs(w_b)  # with sums made equal: yields far apart would be far to train to
        weights: Any = {"signal_weights": w[own] / w[own].sum(), "background_weights": sizes / sizes.sum()}
        ratio = learn_ratio(x[own], b, network=network, rng=toy_generator(key, index), **weights, **options)
        return ratio, float(w[own].sum())

    (positive, p), (negative, n), (below, m) = part(0, s, w_s), part(1, s, -w_s), part(2, b, -w_b)
    return SignedMixtureRatio(positive, negative, below, p, n, float(np.abs(w_b).sum()), m)


def _both(
    signal: ArrayLike, background: ArrayLike, signal_weights: ArrayLike | None, background_weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return events and weights of signal and of background."""
    s, w_s = _events(signal, signal_weights, "signal")
    b, w_b = _events(background, background_weights, "background")
    if s.shape[1] != b.shape[1]:
        raise InputError("background", f"has {b.shape[1]} features, signal {s.shape[1]}", "Pass the same features")
    return s, w_s, b, w_b


def _events(events: ArrayLike, weights: ArrayLike | None, name: str) -> tuple[Floats, Floats]:
    """Return events (n, d) and their weights (n,) of any sign and sum, 1 each by default."""
    return weighted_events(finite_array(events, name, ndim=2), weights, name, any_sum=True)


def _refuse(weights: Floats, name: str, remedy: str) -> NoReturn:
    """Raise InputError for weights whose sum is of no use."""
    raise InputError(
        name, f"add up to {weights.sum():g}, {int((weights < 0).sum())} of {weights.size} negative", remedy
    )
