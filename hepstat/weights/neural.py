"""Neural resampling: fewer events with positive weights, of the same yields and statistical errors everywhere."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, weighted_events
from hepstat.errors import InputError
from hepstat.learn import MaximumLikelihoodRatio, Model, Network
from hepstat.ratio import Ratio, learn_ratio
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats
from hepstat.weights.diagnostics import diagnose_weights
from hepstat.weights.resampled import Resampled

__all__ = ["NegativeDensityWarning", "NeuralResampler", "learn_resampler"]


class NegativeDensityWarning(UserWarning):
    """A density is negative in places, and what was asked for makes something positive of it."""


@dataclass(frozen=True, eq=False)
class NeuralResampler:
    """Mean weights of events, from which new weights and probabilities to keep an event follow.

    Parameters
    ----------
    mean_ratio, square_ratio : Ratio
        <w>(x) and <w^2>(x), but for a factor.
    mean_factor, square_factor : float
        What these ratios are multiplied with: the means of w and w^2 of all events, over those of the ratios.
    """

    mean_ratio: Ratio
    square_ratio: Ratio
    mean_factor: float
    square_factor: float

    def mean(self, x: ArrayLike) -> Floats:
        """Return <w>(x) of events (n,)."""
        return self.mean_factor * self.mean_ratio(features(x))

    def square(self, x: ArrayLike) -> Floats:
        """Return <w^2>(x) of events (n,)."""
        return self.square_factor * self.square_ratio(features(x))

    def resample(self, x: ArrayLike, weights: ArrayLike, *, rng: Rng) -> Resampled:
        """Keep events with probability <w>^2 / <w^2>, and give them the weight <w^2> / <w>.

        Parameters
        ----------
        x : array_like, (n, d) or (n,)
            Features, of the events of the training or others like them.
        weights : array_like, (n,)
            Theirs, which are only compared with.
        rng : int, SeedSequence or Generator
            Which events are kept.

        Returns
        -------
        Resampled
            Positive weights. The message has the share of events for which <w>^2 was above <w^2>, which no weights can
            have: they are kept, with the weight <w>.

        Raises
        ------
        InputError
            For entries that are not finite, or if no event is kept.
        """
        events, w = weighted_events(x, weights)
        mean, square = self.mean(events), self.square(events)
        fraction = np.divide(mean**2, square, out=np.full(w.size, np.inf), where=square > 0)
        keep = np.minimum(fraction, 1.0)
        kept = np.flatnonzero(toy_generator(stream_key(rng), 0).random(w.size) < keep)
        if kept.size == 0:
            raise InputError("weights", f"cancel so much that none of {w.size} events is kept", "Pass more events")
        capped = fraction > 1.0
        excess = float(fraction[capped].mean() - 1.0) if capped.any() else 0.0
        return Resampled(
            index=kept,
            weights=mean[kept] / keep[kept],
            original=w,
            method="neural resampling",
            message=(
                f"{kept.size / w.size:.4g} of the events are kept; for {capped.mean():.4g} of them <w>^2 was above "
                f"<w^2>, by {excess:.2g} on average, and cut to it; the learned sum of weights is "
                f"{mean.sum() / w.sum():.4f} of theirs"
            ),
            noise=w**2 + mean**2 * (1.0 / np.maximum(keep, np.finfo(float).tiny) - 1.0),
        )


def learn_resampler(
    x: ArrayLike, weights: ArrayLike, *, network: Network | Model, rng: Rng, check: bool = True, **options: Any
) -> NeuralResampler:
    """Learn the mean of the weights and of their squares with two networks.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
        Features.
    weights : array_like, (n,)
        Of any sign.
    network : Network or Model
        Of both, as in :func:`hepstat.learn.train`.
    rng : int, SeedSequence or Generator
        Seed of both trainings.
    check : bool, optional
        Ask :func:`diagnose_weights` first whether the density is negative somewhere.
    **options
        Of :func:`hepstat.ratio.learn_ratio`, for both.

    Returns
    -------
    NeuralResampler

    Raises
    ------
    InputError, TrainingError
        As :func:`hepstat.ratio.learn_ratio`; for weights that do not add up to a positive number.

    Warns
    -----
    NegativeDensityWarning
        If the density is negative somewhere: a positive mean cannot describe that.

    Notes
    -----
    Nachman and Thaler, arXiv:2007.11586. Each mean is the ratio of the sample with weights w, or w^2, to the same
    events with weight 1, learned by :class:`MaximumLikelihoodRatio`, whose best score is log <w>(x) for weights of any
    sign; factors then make their means over all events exact. Sums of the new weights and of their squares are on
    average those of <w> and <w^2>, wherever one looks, so that the result behaves like an independent sample of the
    same statistical power. Weights cancel on average only, so take large batches and a learning rate that falls, such
    as ``Adam(3e-3, schedule=Cosine())``.
    """
    events, w = weighted_events(x, weights)
    if check and (diagnosis := diagnose_weights(events, w)).verdict == "physical":
        worst = float((diagnosis.cell_net / diagnosis.cell_error).min())
        problem = f"{int(diagnosis.cell_significant.sum())} of {diagnosis.cell_net.size} cells are negative, down to"
        shown = f"{problem} {worst:.1f} standard errors: a positive mean weight cannot describe them"
        warnings.warn(shown, NegativeDensityWarning, stacklevel=2)
    key = stream_key(rng)
    mean_weight, mean_square = float(w.mean()), float((w**2).mean())
    options.setdefault("loss", MaximumLikelihoodRatio())
    ratios = [
        learn_ratio(events, events, network=network, rng=toy_generator(key, i), signal_weights=given, **options)
        for i, given in enumerate((w / mean_weight, w**2 / mean_square))
    ]
    factors = [
        mean / float(ratio(events).mean()) for mean, ratio in zip((mean_weight, mean_square), ratios, strict=True)
    ]
    return NeuralResampler(ratios[0], ratios[1], *factors)
