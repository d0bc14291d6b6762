"""Where toy data come from: a function, or simulated events drawn again, reweighted to the true nuisances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, features
from hepstat.digest import code_digest, numbers_digest
from hepstat.errors import InputError
from hepstat.nplm.effects import Effect
from hepstat.strength.sources import warn_if_small
from hepstat.types import Floats

__all__ = ["EventSource", "FunctionSource", "JoinedSource", "PoolSource"]


class EventSource(Protocol):
    """What throws toy data."""

    def throw(self, nu: Floats, generator: np.random.Generator) -> Floats:
        """Return events (n, d) at true nuisances (n_nu,); their number is thrown, too."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        ...


class FunctionSource:
    """Toy data from a function of your own.

    Parameters
    ----------
    function : callable
        ``function(nu, generator)`` gets true nuisances (n_nu,) and a numpy generator, and returns events (n, d) or
        (n,), a number of them that it throws itself.
    name : str, optional
        By default that of the function.
    """

    def __init__(self, function: Callable[[Floats, np.random.Generator], ArrayLike], name: str | None = None) -> None:
        if not callable(function):
            raise InputError("function", f"is {function!r}", "Pass a function of nuisances and a generator")
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__) if name is None else str(name)

    def throw(self, nu: Floats, generator: np.random.Generator) -> Floats:
        """Return events (n, d) at true nuisances (n_nu,).

        Raises
        ------
        InputError
            If the function returns numbers that are not finite, or no events of unknown features, not (0, d).
        """
        return features(self.function(nu, generator), f"{self.name}(nu, generator)", allow_empty=True)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types, with a digest of the function."""
        return {"kind": "FunctionSource", "name": self.name, "code": code_digest(self.function)}


class PoolSource:
    """Toy data drawn with replacement from simulated events, with their weights times r(x; nu).

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
        Simulated events, other ones than the reference: toys of the reference itself lack its fluctuations, so that t
        is smaller than in data.
    weights : array_like, (n,), optional
        At least zero; their sum is the expected number of events of a toy at nu = 0.
    effect : Effect, optional
        What nuisances do: all those of the test, in their order (:func:`hepstat.nplm.combine`, or ``effect`` of the
        test). Without it, nuisances do nothing.

    Raises
    ------
    InputError
        For negative weights, or events that cannot be used.

    Warns
    -----
    SmallSampleWarning
        If there are so few events that toys contain the same ones again and again.
    """

    def __init__(self, x: ArrayLike, weights: ArrayLike | None = None, effect: Effect | None = None) -> None:
        self.x = features(x)
        self.weights = event_weights(len(self.x), weights, "weights", signed=False)
        self.effect = effect
        self._planes = None if effect is None else effect.planes(self.x)
        warn_if_small("pool", float(self.weights.sum()), self.weights)
        self.names = None if effect is None else effect.names
        self._at: tuple[bytes, Floats] | None = None

    def throw(self, nu: Floats, generator: np.random.Generator) -> Floats:
        """Return events (n, d) at true nuisances (n_nu,), those of the effect in its order.

        Raises
        ------
        InputError
            For another number of nuisances.
        """
        if self.effect is not None and np.size(nu) != len(self.effect.names):
            problem = f"has {np.size(nu)} nuisances, the effect of the pool {', '.join(self.effect.names)}"
            raise InputError("nu", problem, "Combine the effects of all nuisances of the test, in their order")
        cumulative = self._cumulative(np.asarray(nu, dtype=np.float64))
        n = int(generator.poisson(cumulative[-1]))
        chosen = np.searchsorted(cumulative, generator.random(n) * cumulative[-1], side="right")
        events: Floats = self.x[np.minimum(chosen, len(self.x) - 1)]
        return events

    def _cumulative(self, nu: Floats) -> Floats:
        """Return sums of weights at these nuisances; the last one is kept, since toys share them."""
        kept, key = self._at, nu.tobytes()
        if kept is None or kept[0] != key:
            w = self.weights
            if self.effect is not None and self._planes is not None:
                w = w * np.exp(self._planes @ self.effect.polynomial(nu))
            kept = self._at = key, np.cumsum(w)
        return kept[1]

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        effect = None if self.effect is None else self.effect.describe()
        return {"kind": "PoolSource", "events": numbers_digest(self.x, self.weights), "effect": effect}


class JoinedSource:
    """Toy data of several sources together, as a background and a signal.

    Parameters
    ----------
    *sources : EventSource
        All of them get the same true nuisances.
    """

    def __init__(self, *sources: EventSource) -> None:
        if not sources:
            raise InputError("sources", "are none", "Pass one or more")
        self.sources = sources

    def throw(self, nu: Floats, generator: np.random.Generator) -> Floats:
        """Return events (n, d) at true nuisances (n_nu,), those of the first source first."""
        return np.concatenate([source.throw(nu, generator) for source in self.sources])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"kind": "JoinedSource", "sources": [source.describe() for source in self.sources]}
