"""Tests that see the same data sets: the learning machines, the ideal likelihood ratio, a scan of bins, a fitted model.

Each gives a value that is larger the less the data look like the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, features, positive_number, rising_edges
from hepstat.digest import code_digest, numbers_digest
from hepstat.errors import InputError
from hepstat.infer import compound_poisson, p_to_z, score_distribution
from hepstat.nplm.fitting import Found, maximise
from hepstat.nplm.kernel_machine import KernelResult, KernelTest
from hepstat.nplm.machine import NewPhysicsTest
from hepstat.record import Record
from hepstat.search import WindowToys
from hepstat.strength import Model, statistic_of
from hepstat.types import Floats

__all__ = ["BinnedObservable", "BumpHunt", "IdealRatio", "IdealZ", "LearnedTest", "ProfileLikelihood", "Rival"]

_LEAST_P = 1e-13  # below which the tail of a transformed distribution is rounding


class Rival(Protocol):
    """A test statistic of events and auxiliary measurements."""

    def value(self, x: Floats, auxiliary: Mapping[str, float], generator: np.random.Generator) -> float:
        """Return the statistic of events (n, d), larger the less they look like the reference; NaN if it fails.

        The generator has thrown the data, and is the same for all rivals.
        """

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""


@dataclass(frozen=True, eq=False)
class LearnedTest:
    """t of the New Physics Learning Machine, with a network or kernels.

    Parameters
    ----------
    test : NewPhysicsTest or KernelTest

    Raises
    ------
    InputError
        For anything else.
    """

    test: NewPhysicsTest | KernelTest

    def __post_init__(self) -> None:
        if not isinstance(self.test, NewPhysicsTest | KernelTest):
            raise InputError("test", f"is {self.test!r}", "Pass a NewPhysicsTest or a KernelTest")

    def value(self, x: Floats, auxiliary: Mapping[str, float], generator: np.random.Generator) -> float:
        """Return t, the same bits as in the toys of the test; NaN if it fails."""
        test, events, measured = self.test, self.test.data(x), self.test.auxiliary(auxiliary)
        found: Found | KernelResult
        if isinstance(test, KernelTest):
            found = test.fit(events, measured, generator)
        else:
            found = maximise(test, events, measured, generator)
        return math.nan if found.status else float(found.tau - found.delta)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"name": "LearnedTest", "test": self.test.describe()}


@dataclass(frozen=True)
class IdealZ(Record):
    """Significance that the likelihood ratio of the true densities reaches, without nuisances.

    Parameters
    ----------
    z : float
        Of the median of q where there is the signal, by the exact distribution of q where there is none. NaN where its
        p-value is below 1e-13.
    z_asimov : float
        The square root of q of data without fluctuations (Cowan et al., arXiv:1007.1727).
    q : float
        The median.
    """

    z: float
    z_asimov: float
    q: float


@dataclass(frozen=True, eq=False)
class IdealRatio:
    """The likelihood ratio of a known signal, the most powerful test of it: q = 2 [sum log(1 + s/b)(x) - S].

    Parameters
    ----------
    log_ratio : callable
        ``log_ratio(x) -> (n,)``: log(1 + s/b) of the expected densities of events.
    expected : float
        Expected signal S.

    Raises
    ------
    InputError
        If S is not above 0.
    """

    log_ratio: Callable[[Any], Any]
    expected: float

    def __post_init__(self) -> None:
        positive_number(self.expected, "expected")

    def value(self, x: Floats, auxiliary: Mapping[str, float], generator: np.random.Generator) -> float:
        """Return q."""
        return 2.0 * (float(self._scores(x).sum()) - self.expected)

    def median_z(
        self,
        reference: ArrayLike,
        signal: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        signal_weights: ArrayLike | None = None,
    ) -> IdealZ:
        """Compute the median significance from simulated events, without toys.

        Parameters
        ----------
        reference, signal : array_like, (n, d) or (n,)
            Events of either kind.
        weights : array_like, (n,), optional
            At least zero; their sum is what is expected.
        signal_weights : array_like, optional
            At least zero; they are scaled to S.

        Raises
        ------
        InputError
            For events or weights that cannot be used.
        """
        b, s = features(reference, "reference"), features(signal, "signal")
        w_b = event_weights(len(b), weights, "weights", signed=False)
        w_s = event_weights(len(s), signal_weights, "signal_weights", signed=False)
        scores = 2.0 * np.concatenate([self._scores(b), self._scores(s)])
        w = np.concatenate([w_b, w_s * (self.expected / w_s.sum())])
        with_signal = compound_poisson(*score_distribution(scores, w), offset=-2.0 * self.expected)
        without = compound_poisson(
            *score_distribution(scores[: len(b)], w_b), offset=-2.0 * self.expected, spacing=with_signal.spacing
        )
        q = float(with_signal.quantile(0.5))
        p = float(without.sf(q))
        asimov = max(float(scores @ w) - 2.0 * self.expected, 0.0)
        return IdealZ(float(p_to_z(p)) if p >= _LEAST_P else np.nan, float(np.sqrt(asimov)), q)

    def _scores(self, x: Floats) -> Floats:
        scores = np.asarray(self.log_ratio(x), dtype=np.float64)
        if scores.shape != (len(x),):
            raise InputError("log_ratio", f"has shape {scores.shape}", f"Return ({len(x)},)")
        return scores

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"name": "IdealRatio", "log_ratio": code_digest(self.log_ratio), "expected": self.expected}


@dataclass(frozen=True, eq=False)
class BinnedObservable:
    """Counts in bins of an observable.

    Parameters
    ----------
    observable : callable or int
        ``observable(x) -> (n,)`` of events (n, d), or the number of a feature.
    edges : array_like, (bins + 1,)
        Events outside are not used; the upper edge of the last bin belongs to nothing.

    Raises
    ------
    InputError
        If edges do not rise.
    """

    observable: Callable[[Any], Any] | int
    edges: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", rising_edges(self.edges))

    def __call__(self, x: Floats, weights: ArrayLike | None = None) -> Floats:
        """Return the contents (bins,) of events (n, d), or their sums of weights."""
        values = x[:, self.observable] if isinstance(self.observable, int) else np.asarray(self.observable(x))
        place = np.searchsorted(self.edges, values, side="right")
        w = None if weights is None else np.asarray(weights, dtype=np.float64)
        return np.asarray(np.bincount(place, w, self.edges.size + 1)[1:-1], dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        named = self.observable if isinstance(self.observable, int) else code_digest(self.observable)
        return {"observable": named, "edges": self.edges.tolist()}


@dataclass(frozen=True, eq=False)
class BumpHunt:
    """The least probable window of bins of one observable (:func:`hepstat.search.window_scan`).

    Parameters
    ----------
    projection : BinnedObservable
    expected : array_like, (bins,)
        Contents of the reference, as ``projection(reference, weights)``; above zero, lest an event be impossible.
    widths, sidebands, gap, sign
        As in :func:`hepstat.search.window_scan`.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """

    projection: BinnedObservable
    expected: ArrayLike
    widths: tuple[int, ...] | None = None
    sidebands: bool = False
    gap: int = 0
    sign: int = 1

    def __post_init__(self) -> None:
        expected, n_bins = self._scan.expected, self.projection.edges.size - 1
        if expected.size != n_bins or not (expected > 0).all():
            shown = f"has {expected.size} bins, the least with {expected.min():g}"
            raise InputError("expected", shown, f"Pass {n_bins}, all above zero")

    @cached_property
    def _scan(self) -> WindowToys:
        return WindowToys(np.asarray(self.expected), self.widths, self.sidebands, self.gap, self.sign)

    def value(self, x: Floats, auxiliary: Mapping[str, float], generator: np.random.Generator) -> float:
        """Return minus the logarithm of the smallest local p-value."""
        return float(self._scan.scan(self.projection(x)[np.newaxis])[0][0])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"name": "BumpHunt", "projection": self.projection.describe(), "scan": self._scan.describe()}


@dataclass(frozen=True, eq=False)
class ProfileLikelihood:
    """q0 of a model of the signal with its strength and nuisances fitted: a search for this signal.

    Parameters
    ----------
    model : Model
        Of :mod:`hepstat.strength`. Its nuisances of the same name as those of the toys share their auxiliary
        measurements.
    observe : callable or BinnedObservable
        ``observe(x)`` makes of events (n, d) what :meth:`hepstat.strength.Model.data` takes: counts, or events.
    auxiliary : callable, optional
        Makes the auxiliary measurements of the model, by name, of those of the toys, where units differ.
    """

    model: Model
    observe: Callable[[Any], Any]
    auxiliary: Callable[[Mapping[str, float]], Mapping[str, float]] | None = None

    def value(self, x: Floats, auxiliary: Mapping[str, float], generator: np.random.Generator) -> float:
        """Return q0.

        Raises
        ------
        FitError
            If a fit fails.
        """
        if self.auxiliary is None:
            measured = {name: value for name, value in auxiliary.items() if name in self.model.names[1:]}
        else:
            measured = dict(self.auxiliary(auxiliary))
        return statistic_of(self.model, self.observe(x), 1.0, "q0", auxiliary=measured)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        functions: list[Any] = [self.auxiliary, None if isinstance(self.observe, BinnedObservable) else self.observe]
        for channel in self.model.channels:
            for component in channel.components:
                functions.append(component.ratio)
                functions += [effect.shape for effect in component.effects.values()]  # type: ignore[union-attr]
        return {
            "name": "ProfileLikelihood",
            "projection": self.observe.describe() if isinstance(self.observe, BinnedObservable) else None,
            "parameters": list(self.model.names),
            "numbers": numbers_digest(*self.model.fixed, *self.model.dependence, *self.model.bounds),
            "code": [None if function is None else code_digest(function) for function in functions],
        }
