"""The effect of nuisances learned from simulated samples: quadratic (and higher) classifiers of arXiv:2007.10356."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, whole_number
from hepstat.digest import numbers_digest
from hepstat.errors import InputError
from hepstat.learn import Model, Network, Optimiser, Training, train
from hepstat.learn.data import held_out, part_weights
from hepstat.learn.network import INITIAL_STREAM, VALIDATION_STREAM, initial_model
from hepstat.learn.optimisers import Adam, Cosine
from hepstat.learn.prepared import standardisation
from hepstat.nplm.blocks import VariedLoss, joined, split
from hepstat.nplm.effects import Effect, Polynomial, checked_names
from hepstat.nplm.samples import SampleLike, Samples, Terms, VariedLike, checked_samples
from hepstat.ratio.bins import effective_size
from hepstat.ratio.closure import Closure, close
from hepstat.record import Record
from hepstat.seeds import Key, Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats, Ints

__all__ = ["LearnedEffect", "LearningReport", "learn_effect"]

_FORMAT = "hepstat learned effect 1"
_LEAST = 25.0  # effective events in a bin of closure


@dataclass(frozen=True, eq=False)
class LearningReport(Record):
    """How an effect was learned.

    Attributes
    ----------
    train_loss, validation_loss : ndarray, (epochs,)
    best_epoch : int
        Epoch, from 0, with the smallest validation loss, whose networks were kept.
    status : str
        Of :class:`hepstat.learn.Training`.
    points : ndarray, (J, n_nu)
        Values of the nuisances of the varied samples.
    yields : ndarray, (J,)
        Sums of weights of the varied samples over the central one.
    yields_learned, yields_kept : ndarray, (J,)
        The same of the central sample with the weights of what networks have learned, before and after their biases
        were shifted to the yields.
    """

    train_loss: Floats
    validation_loss: Floats
    best_epoch: int
    status: str
    points: Floats
    yields: Floats
    yields_learned: Floats
    yields_kept: Floats


@dataclass(frozen=True, eq=False)
class LearnedEffect(Effect):
    """log r(x; nu) = sum_e d_e(x) prod_i u_i^e_i / e_i! with u = nu / scale and a network for each d_e.

    Attributes
    ----------
    names, polynomial, reach
        As of every :class:`Effect`; reach is that of the samples.
    models : tuple of Model
        d_e, one for each plane.
    report : LearningReport
    closure : tuple of Closure
        For each varied sample, the shapes of features in the central sample times r and in the varied one, with chi^2
        and p for each feature, of validation events.
    """

    names: tuple[str, ...]
    polynomial: Polynomial
    reach: Floats
    models: tuple[Model, ...]
    report: LearningReport
    closure: tuple[Closure, ...]

    def planes(self, x: ArrayLike) -> Floats:
        """Return the scores of the networks for events (n, d), (n, K)."""
        events = features(x)
        return np.stack([model.scores(events) for model in self.models], axis=1)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types, with a digest of the networks."""
        first, poly = self.models[0], self.polynomial
        numbers = numbers_digest(*(model.theta for model in self.models), first.mean, first.scale, *poly)
        return {
            "kind": "LearnedEffect",
            "names": list(self.names),
            "reach": self.reach.tolist(),
            "network": first.network.to_dict(),
            "numbers": numbers,
        }

    def save(self, path: str | Path) -> None:
        """Write the effect to one ``.npz`` file of plain arrays; see :meth:`load`."""
        first = self.models[0]
        config = {
            "names": list(self.names),
            "network": first.network.to_dict(),
            "report": self.report.to_dict(),
            "closure": [closure.to_dict() for closure in self.closure],
        }
        with Path(path).open("wb") as file:
            np.savez(
                file,
                format=np.array(_FORMAT),
                config=np.array(json.dumps(config, allow_nan=False)),
                thetas=np.stack([model.theta for model in self.models]),
                mean=first.mean,
                scale=first.scale,
                reach=self.reach,
                coefficients=self.polynomial.coefficients,
                exponents=self.polynomial.exponents,
                scales=self.polynomial.scales,
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an effect that :meth:`save` wrote; nothing in the file is run.

        Raises
        ------
        InputError
            If the file is none of an effect.
        """
        with Path(path).open("rb") as opened:
            try:
                with np.load(opened, allow_pickle=False) as file:
                    if str(file["format"]) != _FORMAT:
                        raise ValueError(f"format {file['format']}")
                    config = json.loads(str(file["config"]))
                    network = Network(**config["network"])
                    return cls(
                        tuple(config["names"]),
                        Polynomial(file["coefficients"], file["exponents"], file["scales"]),
                        file["reach"],
                        tuple(Model(network, theta, file["mean"], file["scale"]) for theta in file["thetas"]),
                        LearningReport.from_dict(config["report"]),
                        tuple(Closure.from_dict(entries) for entries in config["closure"]),
                    )
            except (KeyError, TypeError, ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
                problem = f"{str(path)!r} is no learned effect ({error})"
                raise InputError("path", problem, "Pass a file of LearnedEffect.save") from None


def learn_effect(
    names: str | Sequence[str],
    central: SampleLike,
    varied: VariedLike,
    points: ArrayLike | None = None,
    *,
    rng: Rng,
    order: int = 2,
    mixed: bool = True,
    reach: ArrayLike | None = None,
    hidden: Sequence[int] = (10, 10, 10, 10, 10),
    activation: str = "relu",
    normalise: bool = False,
    calibrate_yields: bool = True,
    validation: float = 0.25,
    epochs: int = 100,
    patience: int | None = 20,
    batch_size: int | None = 2048,
    optimiser: Optimiser | None = None,
    dtype: str = "float32",
    closure_bins: int = 20,
    **options: Any,
) -> LearnedEffect:
    """Learn r(x; nu) = n(x|R_nu) / n(x|R_0), shape and normalisation, from samples at some values of nu.

    Parameters
    ----------
    names : str or sequence of str
        Of the nuisances.
    central : (array_like, array_like)
        Events (n, d) of the reference and their weights (n,), which add up to the expected yield.
    varied : mapping or callable
        {nu: (x, weights)}, with nu a number, or a tuple for several nuisances: samples of R_nu, whose weights add up to
        what is expected there. Or ``shift(x, nu)``, which gives the central events as they are at nu (n_nu,).
    points : array_like, (J, n_nu) or (J,), optional
        With a function, at which values of nu.
    rng : int, SeedSequence or Generator
        Chooses initial weights, validation events and batches.
    order : int, optional
        2 is the quadratic classifier.
    mixed : bool, optional
        With products of different nuisances. Each term needs points that tell it from the others.
    reach : array_like, (n_nu, 2), optional
        Between which values of each nuisance r is used, and fits stay; those of the samples by default. What is learned
        goes on as a polynomial beyond them.
    hidden, activation : optional
        Of the network of each term; the published ones by default.
    normalise : bool, optional
        Scale all samples to the same sum of weights: r is one of shapes alone.
    calibrate_yields : bool, optional
        Shift the output biases after training so that the central sample times r has the yields of the varied ones
        (by least squares where there are more samples than terms). Sums of weights say yields better than networks.
    validation : float, optional
        Share of the events that is put aside. The networks are those of the epoch with the smallest validation loss.
    epochs, batch_size, optimiser
        Of :func:`hepstat.learn.train`; by default Adam at 2e-3 that slows down to zero as half a cosine.
    patience : int or None, optional
        Stop after so many epochs without a better validation loss; None takes all epochs.
    dtype : {"float32", "float64"}, optional
        Precision of the networks.
    closure_bins : int, optional
        Bins of a feature in the closure, at most.
    **options
        Of :func:`hepstat.learn.train`, such as `workers` and `progress`.

    Returns
    -------
    LearnedEffect

    Raises
    ------
    InputError
        For samples or points that do not do (:func:`hepstat.nplm.samples.checked_samples`), or too few of them.
    TrainingError
        As :func:`hepstat.learn.train`.

    Notes
    -----
    A squared loss between the central sample and each varied one, whose minimum is at e^f = r (:class:`VariedLoss`).
    The samples limit what is learned: from 100,000 events each, five features, log r at the outer points scatters by
    about .02 from one set of samples to another. An error changes t by about the number of data events times its mean
    square, so simulate accordingly. Shifted copies, or the same random numbers in all samples, lower it.
    Terms are learned at once from all samples, by networks of their own that start without effect. Closure compares
    different events: of shifted copies it takes one half of the validation events as they are, and the other shifted.
    """
    names = checked_names(names)
    samples = checked_samples(names, central, varied, points, normalise=normalise)
    terms = Terms.at(samples.points, order, mixed)
    n_terms, key = len(terms.exponents), stream_key(rng)
    epochs = whole_number(epochs, "epochs", at_least=1)
    network = Network(samples.x.shape[1], tuple(hidden), activation, dtype=dtype)  # type: ignore[arg-type]
    table, held = _rows(samples, validation, key)
    model, limits = joined(_initial(network, table, n_terms, key))
    training = train(
        model,
        _part(table, ~held),
        VariedLoss(terms.matrix),
        rng=toy_generator(key, 0),
        validation=_part(table, held),
        epochs=epochs,
        patience=epochs if patience is None else patience,
        batch_size=batch_size,
        optimiser=Adam(rate=2e-3, schedule=Cosine()) if optimiser is None else optimiser,
        clip=limits,
        **options,
    )
    models = split(training.model, network, n_terms)
    planes = np.stack([model.scores(samples.x) for model in models], axis=1)
    learned = kept = terms.yields(samples, planes)
    if calibrate_yields:
        shifts = terms.shifts(samples, planes)
        models = [_shifted(model, shift) for model, shift in zip(models, shifts, strict=True)]
        kept = terms.yields(samples, planes + shifts)
    report = _report(training, samples, learned, kept)
    effect = LearnedEffect(names, terms.polynomial, samples.reach(reach), tuple(models), report, ())
    return replace(effect, closure=_closure(effect, samples, held, closure_bins))


def _rows(samples: Samples, validation: float, key: Key) -> tuple[tuple[Floats, Ints, Floats], Bools]:
    """Return events, labels and weights of all samples, and which are put aside: of copies, the same events."""
    x = np.concatenate([samples.x, *(events for events, _ in samples.varied)])
    w = np.concatenate([samples.w, *(weights for _, weights in samples.varied)])
    sizes = [len(samples.x), *(len(events) for events, _ in samples.varied)]
    y = np.repeat(np.arange(len(sizes)), sizes)
    generator = toy_generator(key, VALIDATION_STREAM)
    if samples.copies:
        held = np.tile(held_out(np.zeros(sizes[0], dtype=np.int64), validation, generator, "validation"), len(sizes))
    else:
        held = held_out(y, validation, generator, "validation")
    sizes_held = [effective_size(w[held & (y == j)]) for j in range(len(sizes))]
    if min(sizes_held) < 2.0 * _LEAST:
        problem = f"is {validation:g}, which leaves {min(sizes_held):.3g} effective events of a sample for closure"
        raise InputError(
            "validation", problem, f"Pass more events, so that there are {2 * _LEAST:g}, or a larger share"
        )
    return (x, y, w), held


def _part(table: tuple[Floats, Ints, Floats], keep: Bools) -> tuple[Floats, Floats, Floats]:
    """Return some events, labels and weights, which stand for all."""
    x, y, w = table
    return x[keep], y[keep].astype(np.float64), part_weights(w, y, keep, name="validation")


def _initial(network: Network, table: tuple[Floats, Ints, Floats], k: int, key: Key) -> list[Model]:
    """Return networks to begin with: random, standardised, with outputs of 0."""
    mean, scale = standardisation(table[0], table[2])
    generator = toy_generator(key, INITIAL_STREAM)
    models = []
    for _ in range(k):
        theta = initial_model(network, generator).theta.copy()
        theta[-network.widths[-2] - 1 :] = 0.0
        models.append(Model(network, theta, mean, scale))
    return models


def _shifted(model: Model, shift: float) -> Model:
    """Return a model whose scores are larger by the shift."""
    last = np.arange(model.theta.size) == model.theta.size - 1
    return replace(model, theta=model.theta + last * shift)


def _report(training: Training, samples: Samples, learned: Floats, kept: Floats) -> LearningReport:
    return LearningReport(
        training.train_loss,
        training.validation_loss,
        training.best_epoch,
        training.status,
        samples.points,
        samples.yields,
        learned,
        kept,
    )


def _closure(effect: LearnedEffect, samples: Samples, held: Bools, bins: int) -> tuple[Closure, ...]:
    """Return the closure of the validation events of each varied sample."""
    n = len(samples.x)
    kept = np.flatnonzero(held[:n])
    begin, closures = n, []
    for nu, (x, w) in zip(samples.points, samples.varied, strict=True):
        own = np.flatnonzero(held[begin : begin + len(x)])
        other = kept
        if samples.copies:  # events that are their own copies
            own, other = own[::2], kept[1::2]
        ratios = np.exp(effect.log_ratio(samples.x[other], nu))
        target, base = (x[own], w[own]), (samples.x[other], samples.w[other])
        closures.append(close(target, base, ratios, bins=bins, min_events=_LEAST, features=None))
        begin += len(x)
    return tuple(closures)
