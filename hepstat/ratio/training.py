"""Ratios learned from events of signal and background, and densities learned against a known one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, finite_array, whole_number
from hepstat.errors import InputError
from hepstat.learn import BinaryCrossEntropy, Loss, Model, Network, Sample, train, train_many
from hepstat.ratio.base import Ratio
from hepstat.ratio.classifier import ClassifierRatio
from hepstat.ratio.ensemble import EnsembleRatio, Mean
from hepstat.ratio.links import Limits, link_of
from hepstat.seeds import Rng
from hepstat.types import Floats

__all__ = ["LearnedDensity", "learn_density", "learn_ratio", "stacked"]


def learn_ratio(
    signal: ArrayLike,
    background: ArrayLike,
    *,
    network: Network | Model,
    rng: Rng,
    loss: Loss | None = None,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    n: int = 1,
    mean: Mean = "geometric",
    clip: Limits | None = None,
    workers: int = 1,
    **options: Any,
) -> ClassifierRatio | EnsembleRatio:
    """Train networks to tell signal from background, and return the likelihood ratio that they have learned.

    Parameters
    ----------
    signal, background : array_like, (n, d)
        Events of both, in any numbers: these are divided out.
    network : Network or Model
        As in :func:`hepstat.learn.train`, with two outputs where the loss has a score for each class.
    rng : int, SeedSequence or Generator
        The seed, of all trainings.
    loss : Loss, optional
        One that has a link (:func:`link_of`); ``BinaryCrossEntropy()`` by default.
    signal_weights, background_weights : array_like, (n,), optional
        Training weights.
    n : int, optional
        How many networks are trained, from different seeds.
    mean : {"geometric", "arithmetic", "probability"}, optional
        Which mean of theirs is the ratio, see :class:`EnsembleRatio`.
    clip : tuple of float, optional
        Limits of each ratio, see :func:`ratio_from_scores`.
    workers : int, optional
        Threads, for batches of a single training or for several trainings.
    **options
        Of :func:`hepstat.learn.train` or :func:`hepstat.learn.train_many`.

    Returns
    -------
    ClassifierRatio or EnsembleRatio
        With the training as its ``score``; for n > 1 one such ratio for each training in ``ratios``.

    Raises
    ------
    InputError
        For a loss without a link, and as :func:`hepstat.learn.train`; for a share of the events as `validation` with
        negative weights, since the sums of what is left, and with them the odds, would not be known.
    TrainingError
        If a training diverges.
    """
    loss = BinaryCrossEntropy() if loss is None else loss
    link = link_of(loss)
    data, odds = stacked(signal, background, signal_weights, background_weights)
    check_options(options, data[2])
    if whole_number(n, "n", at_least=1) == 1:
        trainings = [train(network, data, loss, rng=rng, workers=workers, **options)]
    else:
        options["on_divergence"] = "raise"
        trainings = train_many(network, data, loss, n=n, rng=rng, workers=workers, **options)
    ratios = tuple(ClassifierRatio(training, link, odds, clip) for training in trainings)
    return ratios[0] if n == 1 else EnsembleRatio(ratios, mean)


@dataclass(frozen=True, eq=False)
class LearnedDensity:
    """A density: the ratio to a known one, times that.

    Attributes
    ----------
    ratio : Ratio
        Density of the events over the known one.
    log_reference : callable
        Logarithm of the known density of events, (n,).
    """

    ratio: Ratio
    log_reference: Callable[[Any], ArrayLike]

    def log(self, x: Any) -> Floats:
        """Return the logarithm of the density of events (n,)."""
        return self.ratio.log(x) + finite_array(self.log_reference(x), "log_reference")

    def __call__(self, x: Any) -> Floats:
        """Return the density of events (n,)."""
        return np.exp(self.log(x))


def learn_density(
    events: ArrayLike, reference: ArrayLike, log_reference: Callable[[Any], ArrayLike], **options: Any
) -> LearnedDensity:
    """Learn a density by telling its events from those of a known one (arXiv:1909.03081, section 3).

    Parameters
    ----------
    events : array_like, (n, d)
        Of the density that is looked for.
    reference : array_like, (m, d)
        Events of a known density that is above zero wherever there are events, such as uniform in a box around them.
    log_reference : callable
        Logarithm of the known density (n,) of events: minus the logarithm of the volume of the box.
    **options
        Of :func:`learn_ratio`, with `events` as signal and `reference` as background.

    Returns
    -------
    LearnedDensity
        Normalised as well as the ratio is; calibrate that on other events if it matters.

    Raises
    ------
    InputError, TrainingError
        As :func:`learn_ratio`.
    """
    return LearnedDensity(learn_ratio(events, reference, **options), log_reference)


def stacked(
    signal: ArrayLike, background: ArrayLike, signal_weights: ArrayLike | None, background_weights: ArrayLike | None
) -> tuple[tuple[Floats, Floats, Floats], float]:
    """Return (x, y, weights), signal first, and the odds: the sum of weights of signal over that of background."""
    s, b = finite_array(signal, "signal", ndim=2), finite_array(background, "background", ndim=2)
    if s.shape[1] != b.shape[1]:
        raise InputError("background", f"has {b.shape[1]} features, signal {s.shape[1]}", "Pass the same features")
    w_s = event_weights(len(s), signal_weights, "signal_weights")
    w_b = event_weights(len(b), background_weights, "background_weights")
    y = np.repeat([1.0, 0.0], [len(s), len(b)])
    return (np.concatenate([s, b]), y, np.concatenate([w_s, w_b])), float(w_s.sum() / w_b.sum())


def check_options(options: dict[str, Any], weights: Floats) -> None:
    """Raise InputError for options of a training that would make a wrong ratio."""
    validation = options.get("validation", 0.0)
    fraction = not isinstance(validation, Sample | tuple | list) and validation != 0
    if fraction and (weights < 0).any():
        problem = f"is {validation!r} while {int((weights < 0).sum())} weights are negative"
        raise InputError("validation", problem, "Pass other events (x, y, weights)")
    if options.get("on_divergence", "raise") != "raise":
        raise InputError("on_divergence", f"is {options['on_divergence']!r}", "A ratio needs trainings that ended well")
