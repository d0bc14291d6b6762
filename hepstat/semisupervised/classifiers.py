"""What is trained inside a pseudo-experiment: a network, or any classifier of Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, features, finite_array, finite_number, nonnegative_number, whole_number
from hepstat.digest import code_digest
from hepstat.errors import InputError
from hepstat.kernels.semisupervised.classifier import Callback
from hepstat.kernels.semisupervised.experiment import WITH_FEATURES, WITH_RESPONSE
from hepstat.kernels.semisupervised.training import BALANCED, DECORRELATED, N_NUMBERS
from hepstat.learn import Adam, BinaryCrossEntropy, Constant, Model, Network, Optimiser, train
from hepstat.record import plain
from hepstat.seeds import Rng
from hepstat.types import Floats

__all__ = ["Classifier", "ClassifierTraining", "UserClassifier"]

Decorrelation: TypeAlias = Literal["features", "response"] | None

_DECORRELATION = {None: 0.0, "features": WITH_FEATURES, "response": WITH_RESPONSE}


@dataclass(frozen=True)
class ClassifierTraining:
    """How a network is trained to tell two samples apart, with cross-entropy.

    Parameters
    ----------
    hidden : sequence of int, optional
        Units of each hidden layer.
    activation : str or sequence of str, optional
        As for :class:`hepstat.learn.Network`.
    epochs : int, optional
        At most so many.
    batch_size : int, optional
        Events of a step.
    optimiser : Optimiser, optional
        With a constant learning rate; ``Adam()`` by default, with 1e-3.
    validation : float, optional
        Share of the events that is kept for the validation loss; 0 for none.
    patience : int or None, optional
        Stop after so many epochs without a better validation loss, and take the best network.
    min_delta : float, optional
        How much better.
    balanced : bool, optional
        Give both classes the same weight.
    dropout : float, optional
        Share of hidden units that a step leaves out.
    l1, l2 : float, optional
        Penalties as in :func:`hepstat.learn.train`.
    decorrelate : {"features", "response"}, optional
        Take out what is linear in the mass: of each feature before training, by a fit to the side bands that are
        trained on, or of the rank of the response after it, by a fit to the side bands that are evaluated.
    dtype : {"float32", "float64"}, optional
        Precision of the network, the same for all procedures of a search.

    Raises
    ------
    InputError
        For values out of range, or a learning rate that changes: the number of steps differs from toy to toy.
    """

    hidden: tuple[int, ...] = (32, 32)
    activation: str | tuple[str, ...] = "relu"
    epochs: int = 20
    batch_size: int = 256
    optimiser: Optimiser = field(default_factory=Adam)
    validation: float = 0.2
    patience: int | None = 5
    min_delta: float = 0.0
    balanced: bool = True
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    decorrelate: Decorrelation = None
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        self.network(1)
        whole_number(self.epochs, "epochs", at_least=1)
        whole_number(self.batch_size, "batch_size", at_least=1)
        if not isinstance(self.optimiser, Optimiser):
            raise InputError("optimiser", f"is {self.optimiser!r}", "Pass an optimiser such as Adam(1e-3)")
        if self.optimiser.schedule != Constant():
            raise InputError("optimiser", "has a schedule", "Leave it out: toys differ in their number of steps")
        if not 0.0 <= finite_number(self.validation, "validation") < 1.0:
            raise InputError("validation", f"is {self.validation:g}", "Pass a share of at least 0 and below 1")
        if self.patience is not None:
            whole_number(self.patience, "patience", at_least=1)
        if self.patience is not None and self.validation == 0.0:
            raise InputError("patience", "is given without validation", "Pass validation=0.2, or patience=None")
        for name in ("min_delta", "l1", "l2"):
            nonnegative_number(getattr(self, name), name)
        check_decorrelation(self.decorrelate)

    def network(self, n_features: int) -> Network:
        """Return the network for so many features."""
        return Network(n_features, tuple(self.hidden), self.activation, dropout=self.dropout, dtype=self.dtype)

    def fit(self, x: ArrayLike, y: ArrayLike, rng: Rng, weights: ArrayLike | None = None) -> Model:
        """Return a network trained on given events, such as for :class:`FixedModel`.

        Parameters
        ----------
        x : array_like, (n, d) or (n,)
            Features.
        y : array_like, (n,)
            Labels, 0 and 1; the response is larger for events like label 1.
        rng : int, SeedSequence or Generator
            The seed.
        weights : array_like, (n,), optional
            At least zero.

        Raises
        ------
        InputError
            For other labels, a label without weight, arrays that do not fit, or with `decorrelate`, which needs the
            mass and is done where a search trains.
        """
        if self.decorrelate is not None:
            raise InputError("decorrelate", f"is {self.decorrelate!r} without a mass", "Leave it out here")
        events, labels = features(x), finite_array(y, "y")
        if labels.size != len(events) or not np.isin(labels, (0.0, 1.0)).all():
            raise InputError("y", f"has {labels.size} entries for {len(events)} events", "Pass 0 or 1 for each event")
        w = event_weights(len(events), weights, "weights", signed=False)
        shares = [w[labels == k].sum() / w.sum() for k in (0, 1)]
        if not min(shares) > 0.0:
            raise InputError("y", "has a label without weight", "Pass events of both labels")
        if self.balanced:
            w = w * np.where(labels == 1.0, 0.5 / shares[1], 0.5 / shares[0])
        return train(
            self.network(events.shape[1]), (events, labels, w), BinaryCrossEntropy(), rng=rng, optimiser=self.optimiser,
            epochs=self.epochs, batch_size=self.batch_size, validation=self.validation, patience=self.patience,
            min_delta=self.min_delta, l1=self.l1, l2=self.l2,
        ).model  # fmt: skip

    @property
    def numbers(self) -> Floats:
        """What kernels take, in their order."""
        best = self.optimiser
        return np.array(
            [self.epochs, self.batch_size, self.validation, self.patience or 0, self.min_delta, self.balanced,
             _DECORRELATION[self.decorrelate], best.rate, self.l1, self.l2, best.max_norm, best.max_value]
        )  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        network = self.network(1).to_dict()
        del network["n_features"]
        numbers, rule = plain(self.numbers, infinities=True), [self.optimiser.code, *plain(self.optimiser.hyper)]
        return {"kind": "network", "network": network, "numbers": numbers, "optimiser": rule}

    def raise_error(self) -> None:
        """Do nothing: no function of a user is called."""


class UserClassifier:
    """Any classifier of Python, such as boosted trees of scikit-learn; slower, since threads wait for each other.

    Parameters
    ----------
    function : callable
        ``function(x, y, w, x_eval, rng)`` gets features (n, d), labels 0 (side bands) and 1 (window), weights (n,)
        of mean 1, features (n_eval, d) of the events to evaluate and a numpy generator; returns finite responses
        (n_eval,), larger for events like label 1. For a fixed classifier n is 0. The arrays are gone after the call.
    name : str, optional
        By default that of the function.
    balanced : bool, optional
        Give both classes the same weight.
    decorrelate : {"features", "response"}, optional
        As for :class:`ClassifierTraining`.

    Raises
    ------
    InputError
        If the function is none.
    """

    def __init__(
        self,
        function: Callable[..., ArrayLike],
        name: str | None = None,
        *,
        balanced: bool = True,
        decorrelate: Decorrelation = None,
    ) -> None:
        if not callable(function):
            raise InputError("function", f"is {function!r}", "Pass a function of x, y, w, x_eval and rng")
        check_decorrelation(decorrelate)
        self.function, self.balanced, self.decorrelate = function, bool(balanced), decorrelate
        self.name = getattr(function, "__name__", type(function).__name__) if name is None else str(name)

    @cached_property
    def callback(self) -> Callback:
        """The function for compiled code."""
        return Callback(self.function)

    @property
    def numbers(self) -> Floats:
        """What kernels take, in their order; of a network nothing."""
        numbers = np.zeros(N_NUMBERS)
        numbers[BALANCED], numbers[DECORRELATED] = self.balanced, _DECORRELATION[self.decorrelate]
        return numbers

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types, with a digest of the function."""
        options = {"balanced": self.balanced, "decorrelate": self.decorrelate}
        return {"kind": "user", "name": self.name, "code": code_digest(self.function), **options}

    def raise_error(self) -> None:
        """Raise what the function raised in compiled code, if anything."""
        self.callback.raise_error()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "callback"}


Classifier: TypeAlias = ClassifierTraining | UserClassifier


def check_decorrelation(value: Any) -> None:
    """Raise :class:`InputError` for an unknown decorrelation."""
    if value not in _DECORRELATION:
        raise InputError("decorrelate", f"is {value!r}", "Choose 'features', 'response' or None")
