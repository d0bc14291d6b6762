"""Classifiers that speak scikit-learn's language, for its pipelines, searches and scores.

This file alone imports scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn.data import Process, Sample, mix
from hepstat.learn.losses import LOSSES, LOSSES_OF_CLASSES, Loss
from hepstat.learn.network import Model, Network, linear_map
from hepstat.learn.optimisers import OPTIMISERS, Cosine, Optimiser
from hepstat.learn.prepared import standardisation
from hepstat.learn.training import train
from hepstat.seeds import Rng
from hepstat.types import Floats

__all__ = ["LOSSES", "OPTIMISERS", "LinearClassifier", "NetworkClassifier"]

Named = TypeVar("Named")


def _offers_probability(estimator: _Classifier) -> bool:
    """Return whether the estimator's loss tells probabilities."""
    loss = LOSSES.get(estimator.loss) if isinstance(estimator.loss, str) else estimator.loss
    return isinstance(loss, Loss) and loss.tells_probability


class _Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What linear and network classifiers share: all but the layers."""

    _rate: ClassVar[float]

    def __init__(
        self,
        loss: str | Loss = "bce",
        optimiser: str | Optimiser = "adam",
        epochs: int = 100,
        batch_size: int | None = 256,
        validation: float | Sample = 0.0,
        patience: int | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        standardise: bool = True,
        dtype: Literal["float32", "float64"] = "float64",
        random_state: Any = None,
        workers: int = 1,
        progress: str | None = None,
    ) -> None:
        self.loss = loss
        self.optimiser = optimiser
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation = validation
        self.patience = patience
        self.l1 = l1
        self.l2 = l2
        self.standardise = standardise
        self.dtype = dtype
        self.random_state = random_state
        self.workers = workers
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on events of two or more classes.

        Parameters
        ----------
        X : (n, d) array_like
            Features.
        y : (n,) array_like
            Labels. The second of two in sorted order is the signal.
        sample_weight : (n,) array_like, optional
            By default 1 each; expected events where the loss is a significance.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For data that scikit-learn refuses; InputError for fewer than two classes, weights that
            the loss does not take, or parameters out of range.
        TrainingError
            If losses or scores are not finite or explode.
        """
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        weights = np.ones(len(x)) if sample_weight is None else finite_array(sample_weight, "sample_weight")
        if weights.size != len(x):
            raise InputError("sample_weight", f"has {weights.size} entries, X {len(x)}", "Pass one weight per event")
        classes, codes = np.unique(labels, return_inverse=True)
        n_left = np.unique(codes[weights != 0]).size
        if n_left < 2:
            raise InputError("y", f"has {n_left} classes of non-zero weight", "Pass events of two or more classes")
        rng, network = _rng(self.random_state), self._network(x.shape[1], classes.size)
        start: Network | Model = network
        if self.standardise:
            mean, scale = standardisation(x, weights)
            start = replace(network.initial(rng), mean=mean, scale=scale)
        return self._fit(classes, start, (x, codes.astype(np.float64), weights), rng)

    def fit_sample(self, sample: Sample) -> Self:
        """Train on a sample of processes; signal is class 1, and the weights are expected events.

        Parameters
        ----------
        sample : Sample
            From :func:`hepstat.learn.mix`, or a part of one.

        Returns
        -------
        self

        Raises
        ------
        InputError, TrainingError
            As from :meth:`fit`.
        """
        validate_data(self, sample.x)
        network = self._network(sample.x.shape[1], 2)
        return self._fit(np.array([0, 1]), network, sample, _rng(self.random_state))

    def fit_processes(self, processes: Sequence[Process], luminosity: float) -> Self:
        """Train on simulated processes, each event weighted by the number of events that it stands for.

        Parameters
        ----------
        processes : sequence of Process
            At least one of signal and one of background.
        luminosity : float
            In inverse femtobarn.

        Returns
        -------
        self

        Raises
        ------
        InputError, TrainingError
            As from :func:`hepstat.learn.mix` and :meth:`fit`.
        """
        return self.fit_sample(mix(processes, luminosity))

    def _fit(
        self, classes: NDArray[Any], start: Network | Model, data: Sample | tuple[Floats, Floats, Floats], rng: Rng
    ) -> Self:
        loss = self._loss(classes.size)
        training = train(
            start,
            data,
            loss,
            rng=rng,
            optimiser=self._optimiser(),
            epochs=self.epochs,
            batch_size=self.batch_size,
            validation=self.validation,
            patience=self.patience,
            l1=self.l1,
            l2=self.l2,
            standardise=self.standardise,
            workers=self.workers,
            progress=self.progress,
        )
        self.classes_, self.loss_, self.training_, self.model_ = classes, loss, training, training.model
        return self

    def _loss(self, n_classes: int) -> Loss:
        """Return the loss for this number of classes."""
        if isinstance(self.loss, Loss):
            return self.loss
        return _named({**LOSSES, **LOSSES_OF_CLASSES} if n_classes > 2 else LOSSES, self.loss, "loss")

    def _optimiser(self) -> Optimiser:
        if isinstance(self.optimiser, Optimiser):
            return self.optimiser
        return _named(OPTIMISERS, self.optimiser, "optimiser")(rate=self._rate, schedule=Cosine())

    def _network(self, n_features: int, n_classes: int) -> Network:
        """Return the network, with as many outputs as the loss takes."""
        loss = self._loss(n_classes)
        n_outputs = loss.outputs_for(n_classes)
        if n_outputs != n_classes and (n_outputs, n_classes) != (1, 2):
            problem = f"is {type(loss).__name__}, which takes {n_outputs} score(s), and y has {n_classes} classes"
            remedy = "Use 'bce', or sklearn.multiclass.OneVsRestClassifier around this classifier"
            raise InputError("loss", problem, remedy)
        hidden, activation, dropout = self._layers()
        return Network(n_features, hidden, activation, n_outputs, dropout, self.dtype)

    def _layers(self) -> tuple[tuple[int, ...], str, float]:
        """Return widths of hidden layers, activation and dropout."""
        raise NotImplementedError

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the scores.

        Parameters
        ----------
        X : (n, d) array_like

        Returns
        -------
        ndarray
            (n,) for two classes, high for the second; (n, K) for K > 2 classes.
        """
        scores = self._scores(X)
        two_outputs = scores.ndim == 2 and self.classes_.size == 2
        return np.asarray(scores[:, 1] - scores[:, 0] if two_outputs else scores)

    @available_if(_offers_probability)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the probabilities of the classes, in the mixture of the training weights.

        Only where the loss has such a meaning.

        Parameters
        ----------
        X : (n, d) array_like

        Returns
        -------
        ndarray, (n, K)
        """
        scores = self._scores(X)
        p = self.loss_.probability(scores)
        return p if p.ndim == 2 else np.column_stack([1.0 - p, p])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable classes, or those of the scores' signs where the loss tells no probability.

        Parameters
        ----------
        X : (n, d) array_like

        Returns
        -------
        ndarray, (n,)
        """
        scores = self._scores(X)
        if scores.ndim == 2:
            return np.asarray(self.classes_[scores.argmax(axis=1)])
        signal = self.loss_.probability(scores) > 0.5 if self.loss_.tells_probability else scores > 0.0
        return np.asarray(self.classes_[signal.astype(np.int64)])

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of events (of weight) whose class is predicted.

        Parameters
        ----------
        X : (n, d) array_like
        y, sample_weight : (n,) array_like
        """
        return float(super().score(X, y, sample_weight))

    def _scores(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        return self.model_.scores(validate_data(self, X, dtype=np.float64, reset=False), workers=self.workers)


class LinearClassifier(_Classifier):
    """Scores that are linear in the features, trained with any loss.

    Parameters
    ----------
    loss : str or Loss, optional
        Name in `LOSSES`, or a loss. With more than two classes, one that takes them: "bce", "brier", "cc", "ccl" or
        "signed cross-entropy" by name.
    optimiser : str or Optimiser, optional
        Name in `OPTIMISERS`, for a learning rate that falls from 0.1 to zero in half a cosine, or an optimiser.
    epochs : int, optional
        How often the events are gone through.
    batch_size : int or None, optional
        Events of a step; None for all.
    validation : float or Sample, optional
        Share of the events that is put aside, or others, to stop early by.
    patience : int or None, optional
        Epochs without a smaller validation loss after which training stops.
    l1, l2 : float, optional
        Penalties of weights, ``l1 sum(abs(w)) + l2 sum(w^2) / 2`` added to the loss; biases go free.
    standardise : bool, optional
        Whether features are shifted and scaled to mean 0 and variance 1. In :meth:`fit` the weights count, so that a
        weight of 2 is the same as the event twice; in a sample of processes each event counts once.
    dtype : {"float64", "float32"}, optional
        Precision of the network; single is about twice as fast.
    random_state : int, numpy.random.RandomState, numpy.random.Generator, numpy.random.SeedSequence or None, optional
        Where initial weights and the order of events come from.
    workers : int, optional
        Threads.
    progress : str or None, optional
        Text of a progress bar.

    Attributes
    ----------
    classes_ : ndarray, (K,)
        Labels, sorted.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, (d,)
        Where X had names of columns.
    model_ : Model
    training_ : Training
        Losses of all epochs, and how the training ended.
    loss_ : Loss
    coef_ : ndarray, (1, d) or (K, d)
        Slopes of the scores by the features.
    intercept_ : ndarray, (1,) or (K,)
        Scores where all features are zero.
    """

    _rate: ClassVar[float] = 0.1

    @property
    def coef_(self) -> Floats:
        """Slopes of the scores by the features, (1, d) or (K, d)."""
        check_is_fitted(self)
        return linear_map(self.model_)[0]

    @property
    def intercept_(self) -> Floats:
        """Scores where all features are zero, (1,) or (K,)."""
        check_is_fitted(self)
        return linear_map(self.model_)[1]

    def _layers(self) -> tuple[tuple[int, ...], str, float]:
        return (), "identity", 0.0


class NetworkClassifier(_Classifier):
    """Scores of a fully connected network, trained with any loss.

    Parameters
    ----------
    hidden : tuple of int, optional
        Widths of the hidden layers.
    activation : str, optional
        Of the hidden layers, see :class:`hepstat.learn.Network`.
    dropout : float, optional
        Share of the units of hidden layers that is left out in each step.
    optimiser : str or Optimiser, optional
        Name in `OPTIMISERS`, for a learning rate that falls from 0.01 to zero in half a cosine, or an optimiser.
    loss, epochs, batch_size, validation, patience, l1, l2, standardise, dtype, random_state, workers, progress
        As in :class:`LinearClassifier`.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, model_, training_, loss_
        As in :class:`LinearClassifier`.
    """

    _rate: ClassVar[float] = 0.01

    def __init__(
        self,
        hidden: Sequence[int] = (32, 32),
        activation: str = "relu",
        dropout: float = 0.0,
        loss: str | Loss = "bce",
        optimiser: str | Optimiser = "adam",
        epochs: int = 100,
        batch_size: int | None = 256,
        validation: float | Sample = 0.0,
        patience: int | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        standardise: bool = True,
        dtype: Literal["float32", "float64"] = "float64",
        random_state: Any = None,
        workers: int = 1,
        progress: str | None = None,
    ) -> None:
        # fmt: off
        super().__init__(
            loss, optimiser, epochs, batch_size, validation, patience, l1, l2, standardise, dtype, random_state,
            workers, progress,
        )
        # fmt: on
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout

    def _layers(self) -> tuple[tuple[int, ...], str, float]:
        return tuple(self.hidden), self.activation, self.dropout


def _named(names: Mapping[str, Named], name: Any, argument: str) -> Named:
    """Return what the name stands for, or raise InputError that says which names there are."""
    if not isinstance(name, str) or name not in names:
        raise InputError(argument, f"is {name!r}", f"Pass one of {', '.join(map(repr, names))}, or an object")
    return names[name]


def _rng(random_state: Any) -> Rng:
    """Return what scikit-learn or numpy calls the source of randomness as ours."""
    if isinstance(random_state, np.random.Generator | np.random.SeedSequence):
        return random_state
    return int(check_random_state(random_state).randint(2**31))
