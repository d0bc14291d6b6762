"""The benchmark of the New Physics Learning Machine in one dimension (arXiv:2111.13633).

An exponential and three signals. Nuisances are logarithms of factors: of all yields (norm), and of the only feature
(scale).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from hepstat.checks import features, finite_array, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.types import Floats

__all__ = ["NUISANCES", "SIGNALS", "BenchmarkSource", "Exponential", "LineSignal", "Peak", "Tail"]

NUISANCES = ("norm", "scale")


class LineSignal(Protocol):
    """A signal on the line."""

    @property
    def expected(self) -> float:
        """Expected events."""

    def density(self, x: Floats) -> Floats:
        """Return expected events per unit of x at x (n,)."""

    def sample(self, n: int, generator: np.random.Generator) -> Floats:
        """Return n events (n,)."""


@dataclass(frozen=True)
class Peak:
    """A normal distribution."""

    centre: float
    width: float
    expected: float

    def density(self, x: Floats) -> Floats:
        """Return expected events per unit of x at x (n,)."""
        return np.asarray(self.expected * norm.pdf(x, self.centre, self.width))

    def sample(self, n: int, generator: np.random.Generator) -> Floats:
        """Return n events (n,)."""
        return generator.normal(self.centre, self.width, n)


@dataclass(frozen=True)
class Tail:
    """An excess where the reference is small: x^2 exp(-x) / 2."""

    expected: float

    def density(self, x: Floats) -> Floats:
        """Return expected events per unit of x at x (n,)."""
        return np.asarray(np.where(x >= 0, self.expected * 0.5 * x * x * np.exp(-x), 0.0))

    def sample(self, n: int, generator: np.random.Generator) -> Floats:
        """Return n events (n,)."""
        return generator.gamma(3.0, 1.0, n)


SIGNALS: dict[str, LineSignal] = {"NP1": Peak(6.4, 0.16, 10.0), "NP2": Peak(1.6, 0.16, 90.0), "NP3": Tail(90.0)}
"""Signals of the publication at their yields."""


@dataclass(frozen=True)
class Exponential:
    """A reference with density exp(-x) from 0 on.

    Parameters
    ----------
    expected : float, optional
        Its events.
    sigma : float, optional
        Uncertainty of both nuisances; .05 and .15 in the publication.

    Notes
    -----
    With nuisances (norm, scale), x becomes x exp(scale) and yields have a factor exp(norm), those of signals, too.
    """

    expected: float = 2000.0
    sigma: float = 0.15

    def __post_init__(self) -> None:
        for name in ("expected", "sigma"):
            object.__setattr__(self, name, positive_number(getattr(self, name), name))

    @property
    def sigmas(self) -> tuple[float, float]:
        """Uncertainties of the nuisances, :data:`NUISANCES`."""
        return self.sigma, self.sigma

    def describe(self) -> dict[str, Any]:
        """Return what fixes the toys, in JSON types."""
        return {"kind": "exponential", "expected": self.expected}

    def source(self, signal: LineSignal | None = None) -> BenchmarkSource:
        """Return what toys are thrown from."""
        return BenchmarkSource(self, signal)

    def reference(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return n events (n, 1) of the reference without shifts, and weights (n,), which add up to `expected`."""
        return self.shifted(n, (0.0, 0.0), rng)

    def shifted(self, n: int, nu: ArrayLike, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return n events (n, 1) at nuisances (2,) or (), and weights (n,), which add up to what is expected."""
        count, (factor, scale) = whole_number(n, "n", at_least=1), pair(nu)
        weight = self.expected * math.exp(factor) / count
        return rng.exponential(math.exp(scale), (count, 1)), np.full(count, weight)

    def throw(self, nu: ArrayLike, generator: np.random.Generator, signal: LineSignal | None = None) -> Floats:
        """Return the events (n, 1) of a toy, whose number follows Poisson statistics, at nuisances (2,) or ()."""
        factor, scale = (math.exp(value) for value in pair(nu))
        x = generator.exponential(scale, generator.poisson(factor * self.expected))
        if signal is not None:
            n = generator.poisson(factor * signal.expected)
            x = np.concatenate([x, scale * signal.sample(n, generator)])
        return x[:, np.newaxis]

    def density(self, x: ArrayLike) -> Floats:
        """Return expected events of the reference per unit of x (n,), without shifts."""
        line = features(x)[:, 0]
        return np.asarray(np.where(line >= 0, self.expected * np.exp(-line), 0.0))

    def log_ratio(self, x: ArrayLike, nu: ArrayLike) -> Floats:
        """Return log r(x; nu) = -x (exp(-scale) - 1) - scale + norm at events (n, 1), for nuisances (2,) or ()."""
        factor, scale = pair(nu)
        return np.asarray(-features(x)[:, 0] * math.expm1(-scale) - scale + factor)

    def log_signal_ratio(self, x: ArrayLike, signal: LineSignal) -> Floats:
        """Return log(1 + s(x)/b(x)) at events (n, 1) with x >= 0, without shifts: what the ideal test sums up."""
        line = features(x)[:, 0]
        if (line < 0).any():
            raise InputError("x", f"goes down to {line.min():g}", "Pass events of at least zero")
        return np.asarray(np.log1p(signal.density(line) * np.exp(line) / self.expected))


class Benchmark(Protocol):
    """What makes toys with signals of its own."""

    def throw(self, nu: ArrayLike, generator: np.random.Generator, signal: Any = None) -> Floats:
        """Return the events (n, d) of a toy."""

    def describe(self) -> dict[str, Any]:
        """Return what fixes it, in JSON types."""


@dataclass(frozen=True)
class BenchmarkSource:
    """What toys of a benchmark are thrown from, with a signal (a dataclass) or without."""

    benchmark: Benchmark
    signal: Any = None

    def throw(self, nu: ArrayLike, generator: np.random.Generator) -> Floats:
        """Return the events (n, d) of a toy at nuisances (2,), norm and scale, or ()."""
        return self.benchmark.throw(nu, generator, self.signal)

    def describe(self) -> dict[str, Any]:
        """Return what fixes the source, in JSON types."""
        signal = None if self.signal is None else {"kind": type(self.signal).__name__, **asdict(self.signal)}
        return {"benchmark": self.benchmark.describe(), "signal": signal}


def pair(nu: ArrayLike) -> tuple[float, float]:
    """Return nuisances (2,) or () as norm and scale, or raise :class:`InputError`."""
    values = finite_array(nu, "nu", allow_empty=True)
    if values.size not in (0, 2):
        raise InputError("nu", f"has {values.size} entries", "Pass norm and scale, or none")
    return (float(values[0]), float(values[1])) if values.size else (0.0, 0.0)
