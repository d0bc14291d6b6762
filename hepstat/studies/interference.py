"""Toys with negative weights and known densities: a double slit, counter-terms, a resonance that interferes.

Samples have weights of 1 and -1. Times ``absolute_yield(which) / n`` they are intensities, whose sums are the yields.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from scipy.stats import norm

from hepstat.errors import InputError
from hepstat.types import Floats

__all__ = ["CounterTerms", "DoubleSlit", "Resonance"]

T = TypeVar("T")

_CELLS = 20_000  # of the line, for integrals


class Interfering(ABC):
    """A toy of several densities by name, some of them negative in places."""

    @abstractmethod
    def density(self, which: str, x: Floats) -> Floats:
        """Return a density at x by name."""

    @abstractmethod
    def grid(self) -> tuple[Floats, float]:
        """Return centres (n, d) of equal cells, and their size."""

    def absolute_yield(self, which: str) -> float:
        """Return the integral of the absolute density."""
        x, cell = self.grid()
        return float(np.abs(self.density(which, x)).sum() * cell)

    def signed_densities(self, x: Floats, signal: Sequence[str] = ("signal",)) -> tuple[Floats, Floats]:
        """Return densities (n, 2) of positive weights and of the sizes of negative ones: background and signal.

        Parameters
        ----------
        x : array_like, (n, d)
        signal : sequence of str, optional
            Densities that signal consists of, each with events of its own.

        Notes
        -----
        As :func:`hepstat.weights.optimal_ratio` takes them.
        """
        b, parts = self.density("background", x), [self.density(name, x) for name in signal]
        positive, negative = (sum(np.maximum(sign * part, 0.0) for part in parts) for sign in (1.0, -1.0))
        return np.stack([b, positive], axis=1), np.stack([np.zeros_like(b), negative], axis=1)


@dataclass(frozen=True)
class DoubleSlit(Interfering):
    """Two amplitudes on the line from -1 to 1: b = exp(-(x / width)^2 / 2) and s = amplitude b exp(i frequency x).

    Background is |b|^2, signal what s adds to it, |s|^2 + 2 Re(s b*), which is negative in places; their sum is
    |s + b|^2. Densities are intensities, not normalised.

    Parameters
    ----------
    width, amplitude, frequency : float, optional
    """

    width: float = 0.6
    amplitude: float = 0.35
    frequency: float = 12.0

    def background(self, x: Floats) -> Floats:
        """Return |b|^2 at x, (n,) or (n, 1)."""
        return np.asarray(np.exp(-((_line(x) / self.width) ** 2)))

    def signal(self, x: Floats) -> Floats:
        """Return |s|^2 + 2 Re(s b*), which may be negative."""
        a = self.amplitude
        return np.asarray(self.background(x) * (a * a + 2.0 * a * np.cos(self.frequency * _line(x))))

    def total(self, x: Floats) -> Floats:
        """Return |s + b|^2, which is never negative."""
        s = self.amplitude * np.exp(1j * self.frequency * _line(x))
        return np.asarray(self.background(x) * np.abs(1.0 + s) ** 2)

    def density(self, which: str, x: Floats) -> Floats:
        """Return "background", "signal" or "total" by name."""
        return _named(which, {"background": self.background, "signal": self.signal, "total": self.total})(x)

    def grid(self, n: int = _CELLS) -> tuple[Floats, float]:
        """Return centres (n, 1) of equal cells of the line, and their length."""
        return _centres(n, -1.0, 1.0)[:, np.newaxis], 2.0 / n

    def yields(self) -> dict[str, float]:
        """Return the integrals of background, signal and total."""
        x, cell = self.grid()
        return {name: float(self.density(name, x).sum() * cell) for name in ("background", "signal", "total")}

    def negative_fraction(self) -> float:
        """Return the share of signal events with a weight of -1."""
        return 0.5 * (1.0 - self.yields()["signal"] / self.absolute_yield("signal"))

    def sample(
        self, n: int, rng: np.random.Generator, which: Literal["background", "signal", "total"] = "signal"
    ) -> tuple[Floats, Floats]:
        """Throw events from the absolute density.

        Returns
        -------
        x : ndarray, (n, 1)
        weights : ndarray, (n,)
            The sign of the density.
        """
        a = self.amplitude
        bounds = {"background": 1.0, "signal": a * a + 2.0 * a, "total": (1.0 + a) ** 2}
        bound = _named(which, bounds)

        def probability(x: Floats) -> Floats:
            return np.abs(self.density(which, x)) / bound

        x = _accepted(n, lambda k: 2.0 * rng.random((k, 1)) - 1.0, probability, rng)
        return x, _signs(self.density(which, x))


@dataclass(frozen=True)
class CounterTerms:
    """A positive density in two features, sampled as next-to-leading order does it, with weights that cancel.

    Net density p: an exponential in the first feature, from 0 on, and a unit Gaussian in the second. Counter-terms k,
    softer and narrower by two: events of weight 1 come from p + c k, those of weight -1 from c k.

    Parameters
    ----------
    fraction : float, optional
        Share of the events with a weight of -1, from 0 to below 1/2.
    scale : float, optional
        Mean of the first feature.
    centre : float, optional
        Mean of the second: other toys of this kind have a known ratio to this one.
    """

    fraction: float = 0.2
    scale: float = 1.0
    centre: float = 0.0

    def __post_init__(self) -> None:
        """Check the fraction."""
        if not 0.0 <= self.fraction < 0.5:
            raise InputError("fraction", f"is {self.fraction:g}", "Pass a share from 0 to below 1/2")

    def density(self, x: Floats) -> Floats:
        """Return the net density p at x (n, 2), normalised to one."""
        return self._peak(x, 1.0)

    def absolute(self, x: Floats) -> Floats:
        """Return the density of events whatever their weights, normalised to one."""
        f = self.fraction
        return np.asarray((1.0 - 2.0 * f) * self.density(x) + 2.0 * f * self._peak(x, 0.5))

    def local_fraction(self, x: Floats) -> Floats:
        """Return the share of negative weights at x: largest in the middle, none far out."""
        return np.asarray(self.fraction * self._peak(x, 0.5) / self.absolute(x))

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Throw events.

        Returns
        -------
        x : ndarray, (n, 2)
        weights : ndarray, (n,)
            1 and -1; divided by n (1 - 2 fraction), their sum is one on average.
        """
        u, f = rng.random(n), self.fraction
        spread = np.where(u < 2.0 * f, 0.5, 1.0)
        first = rng.exponential(self.scale, n) * spread
        second = self.centre + rng.normal(0.0, 1.0, n) * spread
        return np.stack([first, second], axis=1), np.where(u < f, -1.0, 1.0)

    def _peak(self, x: Floats, spread: float) -> Floats:
        """Return p, or k where the spread is 1/2."""
        first = np.exp(-x[:, 0] / (spread * self.scale)) / (spread * self.scale)
        return np.asarray(np.where(x[:, 0] >= 0, first, 0.0) * norm.pdf(x[:, 1], self.centre, spread))


@dataclass(frozen=True)
class Resonance(Interfering):
    """A search: a resonance that interferes with a falling continuum, in mass and the cosine of an angle.

    B falls exponentially in the mass m and goes like 1 + c^2 in the cosine c. With u = (m^2 - M^2) / (M width), the
    amplitude of the resonance over that of the continuum is -a (1 + c/2) exp(-i phase) / (u + i):

        S / B = a^2 (1 + c/2)^2 / (1 + u^2)
        SB / B = 2 coherence a (1 + c/2) (sin(phase) - u cos(phase)) / (1 + u^2)

    so that B + g SB + g^2 S is negative for no coupling g: SB^2 <= 4 coherence^2 S B. Densities are expected events per
    unit of mass and cosine.

    Parameters
    ----------
    n_background : float, optional
        Expected events of the continuum.
    mass, width : float, optional
        Of the resonance, in GeV.
    amplitude : float, optional
        a, for a coupling of 1.
    phase : float, optional
        0 for a peak followed by a dip with as much of either.
    coherence : float, optional
        Share of the amplitudes that interfere, from 0 to 1.
    slope : float, optional
        Mass in which the continuum falls by e.
    """

    n_background: float = 20_000.0
    mass: float = 500.0
    width: float = 25.0
    amplitude: float = 0.25
    phase: float = 0.0
    coherence: float = 0.9
    slope: float = 100.0

    limits = (400.0, 600.0)  # of the mass

    def background(self, x: Floats) -> Floats:
        """Return B at x (n, 2): mass and cosine."""
        low, high = self.limits
        falling = np.exp(-(x[:, 0] - low) / self.slope) / (self.slope * -math.expm1(-(high - low) / self.slope))
        return np.asarray(self.n_background * falling * 0.375 * (1.0 + x[:, 1] ** 2))

    def signal(self, x: Floats) -> Floats:
        """Return S, for a coupling of 1."""
        return np.asarray(self.background(x) * self._strength(x) ** 2)

    def interference(self, x: Floats) -> Floats:
        """Return SB, for a coupling of 1: positive below the mass of the resonance and negative above."""
        u = self._away(x)
        angle = (math.sin(self.phase) - u * math.cos(self.phase)) / np.sqrt(1.0 + u * u)
        return np.asarray(2.0 * self.coherence * self.background(x) * self._strength(x) * angle)

    def total(self, x: Floats, coupling: float = 1.0) -> Floats:
        """Return B + g SB + g^2 S, which is never negative."""
        return np.asarray(self.background(x) + coupling * (self.interference(x) + coupling * self.signal(x)))

    def density(self, which: str, x: Floats) -> Floats:
        """Return "background", "interference", "signal" or "total", the latter for a coupling of 1, by name."""
        return _named(which, self._densities)(x)

    @property
    def _densities(self) -> dict[str, Callable[[Floats], Floats]]:
        return {
            "background": self.background,
            "interference": self.interference,
            "signal": self.signal,
            "total": self.total,
        }

    def _away(self, x: Floats) -> Floats:
        return np.asarray((x[:, 0] ** 2 - self.mass**2) / (self.mass * self.width))

    def _strength(self, x: Floats) -> Floats:
        """Return |s / b|."""
        return np.asarray(self.amplitude * (1.0 + 0.5 * x[:, 1]) / np.sqrt(1.0 + self._away(x) ** 2))

    def grid(self, n_mass: int = 800, n_angle: int = 100) -> tuple[Floats, float]:
        """Return centres (n_mass * n_angle, 2) of equal cells, and their area."""
        low, high = self.limits
        masses, cosines = _centres(n_mass, low, high), _centres(n_angle, -1.0, 1.0)
        x = np.stack(np.meshgrid(masses, cosines, indexing="ij"), axis=-1).reshape(-1, 2)
        return x, (high - low) * 2.0 / (n_mass * n_angle)

    def contents(self, which: str, mass_edges: Floats, cosine_edges: Floats) -> Floats:
        """Return the integrals (n, m) over bins of mass and cosine, by Gauss-Legendre quadrature."""
        edges = np.asarray(mass_edges, dtype=float)
        masses, mass_weights = _gauss(edges, 16 * math.ceil(np.diff(edges).max() / self.width))
        cosines, cosine_weights = _gauss(np.asarray(cosine_edges, dtype=float), 8)
        x = np.stack(np.meshgrid(masses, cosines, indexing="ij"), axis=-1)
        values = self.density(which, x.reshape(-1, 2)).reshape(masses.shape + cosines.shape)
        return np.asarray(np.einsum("iajb,ia,jb->ij", values, mass_weights, cosine_weights))

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        which: Literal["background", "interference", "signal", "total"] = "interference",
    ) -> tuple[Floats, Floats]:
        """Throw events from the absolute density.

        Returns
        -------
        x : ndarray, (n, 2)
            Mass and cosine.
        weights : ndarray, (n,)
            The sign of the density.
        """
        a = 1.5 * self.amplitude
        bounds = {"background": 1.0, "interference": 2.0 * self.coherence * a, "signal": a * a, "total": (1.0 + a) ** 2}
        bound, falls = _named(which, bounds), -math.expm1(-(self.limits[1] - self.limits[0]) / self.slope)

        def propose(k: int) -> Floats:
            masses = self.limits[0] - self.slope * np.log1p(-falls * rng.random(k))
            return np.stack([masses, 2.0 * rng.random(k) - 1.0], axis=1)

        def probability(x: Floats) -> Floats:
            ratio = np.abs(self.density(which, x)) / self.background(x)
            return np.asarray(ratio / bound * 0.5 * (1.0 + x[:, 1] ** 2))

        x = _accepted(n, propose, probability, rng)
        return x, _signs(self.density(which, x))


def _accepted(
    n: int, propose: Callable[[int], Floats], probability: Callable[[Floats], Floats], rng: np.random.Generator
) -> Floats:
    """Return n proposals (n, d), each accepted with its probability."""
    kept: list[Floats] = []
    missing = n
    while missing > 0:
        x = propose(2 * missing + 1000)
        kept.append(x[rng.random(len(x)) < probability(x)][:missing])
        missing -= len(kept[-1])
    return np.concatenate(kept) if kept else propose(0)


def _signs(density: Floats) -> Floats:
    """Return weights (n,) of 1 and -1."""
    return np.where(density < 0, -1.0, 1.0)


def _named(which: str, values: dict[str, T]) -> T:
    """Return what has this name."""
    if which not in values:
        raise InputError("which", f"is {which!r}", f"Choose one of {', '.join(values)}")
    return values[which]


def _line(x: Floats) -> Floats:
    """Return the feature of events (n, 1), or numbers (n,) as they are."""
    return x[:, 0] if np.ndim(x) == 2 else np.asarray(x)


def _centres(n: int, low: float, high: float) -> Floats:
    return low + (np.arange(n) + 0.5) * (high - low) / n


def _gauss(edges: Floats, n: int) -> tuple[Floats, Floats]:
    """Return points and weights (bins, n) of Gauss-Legendre in each bin."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    half = 0.5 * np.diff(edges)[:, np.newaxis]
    return 0.5 * (edges[:-1] + edges[1:])[:, np.newaxis] + half * nodes, half * weights
