"""Ratios of densities that may be negative, learned from weights of both signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn import Loss, MaximumLikelihoodRatio, Model, Network
from hepstat.ratio import Ratio, learn_ratio
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["InterferenceRatio", "SignedMixtureRatio", "SignedRatio", "learn_interference", "learn_signed_mixture"]


@runtime_checkable
class SignedRatio(Protocol):
    """A ratio of densities of any sign: no :class:`hepstat.ratio.Ratio`, which has a logarithm."""

    def __call__(self, x: Any) -> Floats:
        """Return the ratio of events (n, d), (n,)."""


@dataclass(frozen=True, eq=False)
class InterferenceRatio:
    """Intensity of signal over that of background, s(x) / b(x), from what both together are over background.

    Attributes
    ----------
    total : Ratio
        lambda = p_{S+B} / p_B, of densities normalised to one: for tests of hypotheses.
    signal_yield, background_yield : float
        Sums of weights S, of any sign, and B.
    """

    total: Ratio
    signal_yield: float
    background_yield: float

    def __call__(self, x: Any) -> Floats:
        """Return lambda (S + B) / B - 1 of events (n,), at least -1; raises as :meth:`hepstat.ratio.Ratio.log`."""
        return (1.0 + self.signal_yield / self.background_yield) * self.total(x) - 1.0


def learn_interference(
    signal: ArrayLike,
    background: ArrayLike,
    *,
    network: Network | Model,
    rng: Rng,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    loss: Loss | None = None,
    **options: Any,
) -> InterferenceRatio:
    """Learn what a signal with negative interference adds to a background, by telling both together from background.

    Parameters
    ----------
    signal, background : array_like, (n, d)
        Events of both. Background events are used twice, with signal and against it, so that their fluctuations
        cancel.
    network : Network or Model
        As in :func:`hepstat.learn.train`.
    rng : int, SeedSequence or Generator
    signal_weights, background_weights : array_like, (n,), optional
        Expected events each stands for, of any sign. All signal weights may be negative; what signal and background add
        up to, and background alone, must be densities.
    loss : Loss, optional
        One that has a link and takes signed weights, :class:`hepstat.learn.MaximumLikelihoodRatio` by default.
    **options
        Of :func:`hepstat.ratio.learn_ratio`.

    Returns
    -------
    InterferenceRatio

    Raises
    ------
    InputError
        If the weights of background, or of both together, do not add up to more than zero, and as
        :func:`hepstat.ratio.learn_ratio`.
    TrainingError
        If the training diverges.

    Notes
    -----
    abs(s + b)^2 is a density even where abs(s)^2 + 2 Re(s b*) is not, so any loss of ratios that is linear in the
    weights is consistent; on a double slit maximum likelihood, cross-entropy and the linear ratio come equally close. A
    linear ratio of both together may come out below zero where it is small, see `clip`.
    """
    s, w_s = _events(signal, signal_weights, "signal")
    b, w_b = _events(background, background_weights, "background")
    if s.shape[1] != b.shape[1]:
        raise InputError("background", f"has {b.shape[1]} features, signal {s.shape[1]}", "Pass the same features")
    signal_yield, background_yield = float(w_s.sum()), float(w_b.sum())
    if not background_yield > 0:
        _refuse(w_b, "background_weights", "What signal is compared with needs weights with a sum above zero")
    if not signal_yield + background_yield > 0:
        remedy = f"Pass expected events of both: with background they add up to {signal_yield + background_yield:g}"
        _refuse(w_s, "signal_weights", remedy)
    total = learn_ratio(
        np.concatenate([s, b]),
        b,
        network=network,
        rng=rng,
        loss=MaximumLikelihoodRatio() if loss is None else loss,
        signal_weights=np.concatenate([w_s, w_b]),
        background_weights=w_b,
        **options,
    )
    return InterferenceRatio(total, signal_yield, background_yield)


@dataclass(frozen=True, eq=False)
class SignedMixtureRatio:
    """p_S / p_B of densities normalised to one that may be negative, from ratios of their positive and negative parts.

    With abs(p_B) the density of the absolute weights of background, r = [(1 + c) positive - c negative] abs(p_B) / p_B.

    Attributes
    ----------
    positive, negative : Ratio, Ratio or None
        Densities of the positive signal weights, and of the sizes of the negative ones if there are any, over abs(p_B).
    negative_share : float
        c: sum of the sizes of the negative signal weights over the sum of all.
    background_negative : Ratio or None
        The density of the sizes of the negative background weights over abs(p_B), if there are any.
    background_negative_share : float
        The same for background.
    """

    positive: Ratio
    negative: Ratio | None
    negative_share: float
    background_negative: Ratio | None
    background_negative_share: float

    def __call__(self, x: Any) -> Floats:
        """Return r of events (n,).

        Raises
        ------
        InputError
            For events at which the learned density of background is not above zero, and as
            :meth:`hepstat.ratio.Ratio.log`.
        """
        r = (1.0 + self.negative_share) * self.positive(x)
        if self.negative is not None:
            r = r - self.negative_share * self.negative(x)
        if self.background_negative is None:
            return r
        share = self.background_negative_share
        below = 1.0 + 2.0 * share * (1.0 - self.background_negative(x))  # p_B / abs(p_B)
        bad = below <= 0.0
        if bad.any():
            problem = f"has {int(bad.sum())} of {bad.size} events where the density of background is not above zero"
            raise InputError("x", problem, "Resample the background first (positive_resample), or train longer")
        return r / below


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
        Of any sign.
    **options
        Of :func:`hepstat.ratio.learn_ratio`, for each part.

    Returns
    -------
    SignedMixtureRatio

    Raises
    ------
    InputError
        If the weights of signal or of background do not add up to more than zero, and as
        :func:`hepstat.ratio.learn_ratio`.
    TrainingError
        If a training diverges.

    Notes
    -----
    The positive and the negative weights of the signal, and the negative ones of the background, are each told from all
    background events with their absolute weights (Drnevich, Jiggins, Katzy and Cranmer, arXiv:2410.10216). No loss can
    diverge; where parts cancel their errors do not, relative to the difference.
    """
    s, w_s = _events(signal, signal_weights, "signal")
    b, w_b = _events(background, background_weights, "background")
    for w, name in ((w_s, "signal_weights"), (w_b, "background_weights")):
        if not w.sum() > 0:
            remedy = "Densities normalised to one need a sum above zero; learn_interference takes any signal"
            _refuse(w, name, remedy)
    key = stream_key(rng)

    def part(index: int, x: Floats, w: Floats) -> Ratio:
        weights: Any = {"signal_weights": w, "background_weights": np.abs(w_b)}
        return learn_ratio(x, b, network=network, rng=toy_generator(key, index), **weights, **options)

    below_s, below_b = w_s < 0, w_b < 0
    return SignedMixtureRatio(
        positive=part(0, s[w_s > 0], w_s[w_s > 0]),
        negative=part(1, s[below_s], -w_s[below_s]) if below_s.any() else None,
        negative_share=float(np.abs(w_s[below_s]).sum() / w_s.sum()),
        background_negative=part(2, b[below_b], -w_b[below_b]) if below_b.any() else None,
        background_negative_share=float(np.abs(w_b[below_b]).sum() / w_b.sum()),
    )


def _events(events: ArrayLike, weights: ArrayLike | None, name: str) -> tuple[Floats, Floats]:
    """Return events (n, d) and their weights (n,) of any sign and sum, 1 each by default."""
    x = finite_array(events, name, ndim=2)
    w = np.ones(len(x)) if weights is None else finite_array(weights, f"{name}_weights")
    if w.size != len(x):
        raise InputError(f"{name}_weights", f"has {w.size} entries for {len(x)} events", "Pass one for each event")
    return x, w


def _refuse(weights: Floats, name: str, remedy: str) -> NoReturn:
    """Raise InputError for weights whose sum is of no use."""
    raise InputError(
        name, f"add up to {weights.sum():g}, {int((weights < 0).sum())} of {weights.size} negative", remedy
    )
