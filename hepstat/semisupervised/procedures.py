"""Procedures: which events a classifier is trained on, and which it evaluates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from hepstat.checks import finite_number, open_share, whole_number
from hepstat.digest import numbers_digest
from hepstat.errors import InputError
from hepstat.kernels.semisupervised.experiment import FIXED, FOLDED, HELD_OUT, RANDOM, THROWN
from hepstat.learn import Model
from hepstat.sampling import Sampler
from hepstat.semisupervised.classifiers import Classifier, ClassifierTraining, UserClassifier

__all__ = [
    "CrossFit",
    "FixedModel",
    "HeldOut",
    "InSample",
    "MixedSamples",
    "Procedure",
    "RandomResponse",
    "supervised",
]


@dataclass(frozen=True, eq=False)
class Procedure:
    """What all procedures have in common: a classifier and a name."""

    training: Classifier = field(default_factory=ClassifierTraining)
    name: str = ""
    kind: ClassVar[int]

    def __post_init__(self) -> None:
        if not isinstance(self.training, ClassifierTraining | UserClassifier):
            problem = f"is {self.training!r}"
            raise InputError("training", problem, "Pass a ClassifierTraining or a UserClassifier")
        if not self.name:
            object.__setattr__(self, "name", self._own_name())

    def _own_name(self) -> str:
        return type(self).__name__

    @property
    def folds(self) -> int:
        """Parts of the events that are evaluated by classifiers of their own."""
        return 1

    @property
    def shares(self) -> tuple[float, float]:
        """Two shares that kernels take."""
        return 0.0, 0.0

    @property
    def sizes(self) -> tuple[int, int]:
        """Events of two samples that are thrown for training."""
        return 0, 0

    @property
    def samplers(self) -> tuple[Sampler, ...]:
        """What these are thrown from, signal and background."""
        return ()

    @property
    def fixed(self) -> Model | None:
        """A network that is trained already."""
        return None

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        return {"kind": type(self).__name__, "training": self.training.describe()}

    @property
    def salt(self) -> np.uint64:
        """A word that makes its random numbers independent of those of other procedures, and of events."""
        digest = hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).digest()
        return np.uint64(int.from_bytes(digest[:8], "little") | 1)

    def raise_error(self) -> None:
        """Raise what a function of the user raised in compiled code in this thread, if anything."""
        self.training.raise_error()


@dataclass(frozen=True, eq=False)
class InSample(Procedure):
    """Window against side bands, evaluated on the very events that were trained on.

    That is the classification without labels of Metodiev, Nachman and Thaler, arXiv:1708.02949, as a search
    (Collins, Howe and Nachman, arXiv:1805.02664), without their cross-validation: events of the window that the network
    has learned by heart look like signal.

    Parameters
    ----------
    training : ClassifierTraining or UserClassifier, optional
    name : str, optional
    """

    kind: ClassVar[int] = FOLDED

    def _own_name(self) -> str:
        return "in-sample"


@dataclass(frozen=True, eq=False)
class CrossFit(Procedure):
    """Window against side bands, each part of the events evaluated by a classifier that was trained on the others.

    Events are ranked within their part, since responses of different classifiers do not compare (k-fold cross-fitting;
    Collins, Howe and Nachman, arXiv:1805.02664).

    Parameters
    ----------
    training : ClassifierTraining or UserClassifier, optional
    name : str, optional
    folds : int, optional
        Number k of random parts, at least 2.

    Raises
    ------
    InputError
        For fewer.
    """

    folds: int = 2
    kind: ClassVar[int] = FOLDED

    def __post_init__(self) -> None:
        whole_number(self.folds, "folds", at_least=2)
        super().__post_init__()

    def _own_name(self) -> str:
        return f"{self.folds}-fold"

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        return {**super().describe(), "parts": self.folds}


@dataclass(frozen=True, eq=False)
class HeldOut(Procedure):
    """Window against side bands, trained on a random share of the events; only the others are searched.

    Parameters
    ----------
    training : ClassifierTraining or UserClassifier, optional
    name : str, optional
    share : float, optional
        Of the events that are trained on.

    Raises
    ------
    InputError
        If the share is not between 0 and 1.
    """

    share: float = 0.5
    kind: ClassVar[int] = HELD_OUT

    def __post_init__(self) -> None:
        open_share(self.share, "share")
        super().__post_init__()

    def _own_name(self) -> str:
        return "held-out"

    @property
    def shares(self) -> tuple[float, float]:
        """The share that is trained on."""
        return float(self.share), 0.0

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        return {**super().describe(), "share": float(self.share)}


@dataclass(frozen=True, eq=False)
class MixedSamples(Procedure):
    """Two samples that are thrown for the training, with known fractions of signal; all events are searched.

    With fractions 1 and 0 that is supervised learning (:func:`supervised`), otherwise learning from mixed samples
    (arXiv:1708.02949). The samples are thrown anew in every toy.

    Parameters
    ----------
    training : ClassifierTraining or UserClassifier, optional
    name : str, optional
    signal, background : Sampler
        What is mixed; events have the columns of the data.
    n : (int, int)
        Events of both samples.
    fractions : (float, float)
        Of signal in both; more in the first.

    Raises
    ------
    InputError
        Without samplers, for numbers below 1, or fractions that do not fall or are outside of [0, 1].
    """

    signal: Sampler | None = None
    background: Sampler | None = None
    n: tuple[int, int] = (1000, 1000)
    fractions: tuple[float, float] = (1.0, 0.0)
    kind: ClassVar[int] = THROWN

    def __post_init__(self) -> None:
        for name in ("signal", "background"):
            if not callable(getattr(getattr(self, name), "sample", None)):
                raise InputError(name, f"is {getattr(self, name)!r}", "Pass a sampler such as BootstrapSampler(events)")
        sizes = tuple(whole_number(size, "n", at_least=1) for size in self.n)
        first, second = (finite_number(fraction, "fractions") for fraction in self.fractions)
        if not 0.0 <= second < first <= 1.0:
            raise InputError("fractions", f"are {first:g} and {second:g}", "Pass two from 0 to 1 that fall")
        object.__setattr__(self, "n", sizes)
        object.__setattr__(self, "fractions", (first, second))
        super().__post_init__()

    def _own_name(self) -> str:
        first, second = self.fractions
        return "supervised" if (first, second) == (1.0, 0.0) else f"mixed {first:g}/{second:g}"

    @property
    def sizes(self) -> tuple[int, int]:
        """Events of both samples."""
        return self.n

    @property
    def samplers(self) -> tuple[Sampler, ...]:
        """Signal and background."""
        return tuple(sampler for sampler in (self.signal, self.background) if sampler is not None)

    @property
    def shares(self) -> tuple[float, float]:
        """Fractions of signal."""
        return self.fractions

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        samplers = [sampler.describe() for sampler in self.samplers]
        return {**super().describe(), "samplers": samplers, "n": list(self.n), "fractions": list(self.fractions)}

    def raise_error(self) -> None:
        """Raise what a function of the user raised in compiled code in this thread, if anything."""
        super().raise_error()
        for sampler in self.samplers:
            sampler.raise_error()


def supervised(training: Classifier, signal: Sampler, background: Sampler, n: int, name: str = "") -> MixedSamples:
    """Return the procedure that learns signal against background from n events of each, for comparison."""
    return MixedSamples(training, name, signal=signal, background=background, n=(n, n), fractions=(1.0, 0.0))


@dataclass(frozen=True, eq=False)
class FixedModel(Procedure):
    """A classifier that was trained beforehand.

    Parameters
    ----------
    training : ClassifierTraining or UserClassifier, optional
        A :class:`UserClassifier` is the classifier itself, called without events to train on. With a model only
        ``decorrelate="response"`` is used.
    name : str, optional
    model : Model, optional
        A network of one output with the features of the search.

    Raises
    ------
    InputError
        Without a classifier, or with a model of several outputs or of parameters of a hypothesis.
    """

    model: Model | None = None
    kind: ClassVar[int] = FIXED

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.training.decorrelate == "features":
            problem = "is 'features' for a classifier that is trained already"
            raise InputError("decorrelate", problem, "Choose 'response' or None")
        if isinstance(self.training, UserClassifier):
            return
        if not isinstance(self.model, Model):
            raise InputError("model", f"is {self.model!r}", "Pass a Model, or a UserClassifier as training")
        network = self.model.network
        if network.n_outputs != 1 or network.n_parameters:
            problem = f"has {network.n_outputs} outputs and {network.n_parameters} parameters of a hypothesis"
            raise InputError("model", problem, "Pass a model with one output and none of these")

    @property
    def fixed(self) -> Model | None:
        """The model."""
        return self.model

    def _own_name(self) -> str:
        return "fixed model"

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        entries = super().describe()
        if self.model is not None:
            entries["network"] = self.model.network.to_dict()
            entries["numbers"] = numbers_digest(self.model.theta, self.model.mean, self.model.scale)
        return entries


@dataclass(frozen=True, eq=False)
class RandomResponse(Procedure):
    """A response that knows nothing: what is left of a fake signal is that of the fits, and of looking at many steps.

    Parameters
    ----------
    training : ClassifierTraining, optional
        Of which only ``decorrelate="response"`` is used.
    name : str, optional
    """

    kind: ClassVar[int] = RANDOM

    def _own_name(self) -> str:
        return "random"

    def describe(self) -> dict[str, Any]:
        """Return everything that changes numbers, in JSON types."""
        after = {} if self.training.decorrelate != "response" else {"decorrelate": "response"}
        return {"kind": type(self).__name__, **after}
