"""Two leptons at the LHC in five features, with nuisances and signals: the 5D benchmark of arXiv:2111.13633.

The public samples cannot be had here. Events come from a generator of our own instead: :mod:`hepstat.studies.drell_yan`
for leptons, and the resolutions below for a detector. So numbers of events, cuts, nuisances and kinds of signals are
those of the publication as far as it states them, distributions only resemble its own, and yields of signals are
chosen here such that a fit to the mass spectrum finds them at about five standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import qmc

from hepstat.checks import features, finite_array, finite_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.studies.drell_yan import COLUMNS, MAX_RAPIDITY, Process, Truth, truth
from hepstat.studies.nplm_benchmarks import NUISANCES, BenchmarkSource, pair
from hepstat.types import Floats

__all__ = ["FEATURES", "NUISANCES", "REGIMES", "Contact", "Regime", "Signal", "TwoBody", "ZPrime"]

FEATURES = ("pt_minus", "pt_plus", "eta_minus", "eta_plus", "dphi")
"""Transverse momenta in GeV and pseudorapidities of the negative and the positive lepton; the angle between them."""

SIGMA_NORM = 0.025
EXPECTED = 8500.0
MIN_PT = 20.0
_REACH = 6.0  # in the scale
_FORWARD = 2.1
_TAIL = 5.0  # where resolutions end, in standard deviations
_ALL = COLUMNS + 4  # uniform numbers of an event
_POINTS = 2**18  # of quadrature


@dataclass(frozen=True)
class Regime:
    """What leptons of one kind are measured like.

    Attributes
    ----------
    cut : float
        Smallest mass that is kept.
    low : float
        Smallest mass that is generated, by definition: it removes the pole of the Z.
    scale : tuple of float
        Uncertainty of log pT for |eta| below 2.1 and from there on, fully correlated.
    resolution : tuple of float
        Of pT as a fraction, a, b pT / TeV and c / sqrt(pT / GeV) added in squares, at most .19; normal, within five
        standard deviations.
    visible : float or None
        Power n of the visible share z of the momentum, with density n z^(n-1); None if all of it is seen.
    z_prime, contact : float
        Default strengths of signals: expected events, and c_W / Lambda^2 in TeV^-2.
    """

    cut: float
    low: float
    scale: tuple[float, float]
    resolution: tuple[float, float, float]
    visible: float | None
    z_prime: float
    contact: float


REGIMES = {
    "muon": Regime(100.0, 94.0, (5e-4, 15e-4), (0.01, 0.08, 0.0), None, 45.0, 0.1),
    "electron": Regime(100.0, 94.0, (3e-3, 9e-3), (0.007, 0.0, 0.05), None, 45.0, 0.1),
    "tau": Regime(120.0, 100.0, (3e-2, 3e-2), (0.06, 0.0, 0.0), 3.0, 280.0, 0.04),
}


@dataclass(frozen=True)
class ZPrime:
    """A vector boson with the couplings of the Z and its ratio of width to mass, added to the reference.

    Parameters
    ----------
    mass : float, optional
    expected : float or None, optional
        Events after all cuts without shifts; None for the default of the regime. There is no interference.
    """

    mass: float = 300.0
    expected: float | None = None

    def __post_init__(self) -> None:
        positive_number(self.mass, "mass")
        if self.expected is not None:
            positive_number(self.expected, "expected")


@dataclass(frozen=True)
class Contact:
    """A contact interaction of four left-handed fermions, (c_W / Lambda^2) J_L^a J_L^a, beside photon and Z.

    Parameters
    ----------
    strength : float or None, optional
        c_W / Lambda^2 in TeV^-2, with interference; None for the default of the regime.
    """

    strength: float | None = None

    def __post_init__(self) -> None:
        if self.strength is not None:
            finite_number(self.strength, "strength")


Signal: TypeAlias = ZPrime | Contact


@dataclass(frozen=True)
class TwoBody:
    """Pairs of leptons above a mass, from a generator of our own (see the module).

    Parameters
    ----------
    regime : {"muon", "electron", "tau"}, optional
        Resolution and uncertainty of the momenta.
    expected : float, optional
        Events of the reference after all cuts.

    Raises
    ------
    InputError
        For an unknown regime, or an expectation that is not above zero.

    Notes
    -----
    Measured momenta are pT z (1 + resolution) exp(nu_scale s(eta)), and all yields have a factor exp(nu_norm), those of
    signals, too. Cuts come after that: |eta| < 2.4, pT > 20 GeV, and the mass above that of the regime. So a shift lets
    events migrate over cuts, and changes numbers and shapes.
    """

    regime: Literal["muon", "electron", "tau"] = "muon"
    expected: float = EXPECTED

    def __post_init__(self) -> None:
        if self.regime not in REGIMES:
            raise InputError("regime", f"is {self.regime!r}", f"Pass one of {', '.join(REGIMES)}")
        object.__setattr__(self, "expected", positive_number(self.expected, "expected"))

    @property
    def sigmas(self) -> tuple[float, float]:
        """Uncertainties of the nuisances, :data:`NUISANCES`: of a logarithm, and of units of uncertainty."""
        return SIGMA_NORM, 1.0

    def describe(self) -> dict[str, Any]:
        """Return what fixes the benchmark, in JSON types."""
        numbers = {name: _listed(value) for name, value in asdict(REGIMES[self.regime]).items()}
        return {"kind": "two bodies", "regime": self.regime, "expected": self.expected, **numbers}

    def source(self, signal: Signal | None = None) -> BenchmarkSource:
        """Return what toys are thrown from."""
        return BenchmarkSource(self, signal)

    def reference(self, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return n events (n, 5) of the reference without shifts, and weights (n,), which add up to `expected`."""
        return self.shifted(n, (0.0, 0.0), rng)

    def shifted(
        self, n: int, nu: ArrayLike, rng: np.random.Generator, signal: Signal | None = None
    ) -> tuple[Floats, Floats]:
        """Return n events of each process (one, two with a Z'), and weights that add up to what is expected.

        Parameters
        ----------
        n : int
        nu : array_like, (2,)
            Nuisances, or () for none.
        rng : Generator
        signal : ZPrime or Contact, optional
        """
        count, (norm, scale) = whole_number(n, "n", at_least=1), _nuisances(nu)
        events, weights = [], []
        for process, generated in self._processes(signal):
            kept = _acceptance(self.regime, process, scale)
            batches, missing = [], count
            while missing > 0:
                batches.append(self._measured(process, rng.random((int(1.1 * missing / kept) + 100, _ALL)), scale))
                missing -= len(batches[-1])
            events.append(np.concatenate(batches)[:count])
            weights.append(np.full(count, generated * math.exp(norm) * kept / count))
        return np.concatenate(events), np.concatenate(weights)

    def throw(self, nu: ArrayLike, generator: np.random.Generator, signal: Signal | None = None) -> Floats:
        """Return the events (n, 5) of a toy, whose number follows Poisson statistics, at nuisances (2,) or ()."""
        norm, scale = _nuisances(nu)
        thrown = []
        for process, generated in self._processes(signal):
            n = generator.poisson(generated * math.exp(norm))
            thrown.append(self._measured(process, generator.random((n, _ALL)), scale))
        return np.concatenate(thrown)

    def yields(self, nu: ArrayLike = (), signal: Signal | None = None) -> float:
        """Return the expected number of events after all cuts."""
        norm, scale = _nuisances(nu)
        parts = (n * _acceptance(self.regime, process, scale) for process, n in self._processes(signal))
        return math.exp(norm) * sum(parts)

    def density(self, mass: ArrayLike, cosine: ArrayLike, signal: Signal | None = None) -> Floats:
        """Return expected pairs (n,) per GeV of mass and unit of c*, before detector and cuts other than |y| < 2.4.

        c* is the cosine of the angle between quark and negative lepton.
        """
        m, c = finite_array(mass, "mass"), finite_array(cosine, "cosine")
        parts = (n / process.cross_section * process.density(m, c) for process, n in self._processes(signal))
        return np.asarray(sum(parts))

    @staticmethod
    def mass(x: ArrayLike) -> Floats:
        """Return the masses (n,) of pairs of massless leptons with these features (n, 5)."""
        return _mass(*features(x).T)

    def _processes(self, signal: Signal | None) -> Iterator[tuple[Process, float]]:
        """Yield processes and how many of their events are expected before cuts."""
        if not isinstance(signal, ZPrime | Contact | None):
            raise InputError("signal", f"is {signal!r}", "Pass a ZPrime, a Contact or None")
        regime = REGIMES[self.regime]
        standard = Process(low=regime.low)
        generated = self.expected / _acceptance(self.regime, standard, 0.0)
        if isinstance(signal, Contact):
            strength = regime.contact if signal.strength is None else signal.strength
            process = Process(contact=strength, low=regime.low)
            yield process, generated * process.cross_section / standard.cross_section
            return
        yield standard, generated
        if isinstance(signal, ZPrime):
            process = Process(standard=False, mass=signal.mass, low=regime.low)
            expected = regime.z_prime if signal.expected is None else signal.expected
            yield process, expected / _acceptance(self.regime, process, 0.0)

    def _measured(self, process: Process, u: Floats, scale: float) -> Floats:
        return _measured(REGIMES[self.regime], truth(process, u), u[:, COLUMNS:], scale)


def _measured(regime: Regime, pairs: Truth, u: Floats, scale: float) -> Floats:
    """Return the features (kept, 5) of events that pass the cuts, from uniform numbers (n, 4) for the detector."""
    pt, eta = pairs.pt, pairs.eta
    constant, rising, falling = regime.resolution
    width = np.sqrt(constant**2 + (rising * 1e-3 * pt) ** 2 + falling**2 / pt)
    pt = pt * (1.0 + np.minimum(width, 0.19) * np.clip(ndtri(u[:, :2]), -_TAIL, _TAIL))
    if regime.visible is not None:
        pt = pt * u[:, 2:] ** (1.0 / regime.visible)
    pt = pt * np.exp(scale * np.where(np.abs(eta) < _FORWARD, *regime.scale))
    x = np.column_stack([pt, eta, pairs.dphi])
    kept = (pt > MIN_PT).all(axis=1) & (np.abs(eta) < MAX_RAPIDITY).all(axis=1) & (_mass(*x.T) > regime.cut)
    return np.asarray(x[kept])


def _mass(pt: Floats, other: Floats, eta: Floats, other_eta: Floats, dphi: Floats) -> Floats:
    return np.asarray(np.sqrt(2.0 * pt * other * (np.cosh(eta - other_eta) - np.cos(dphi))))


@lru_cache(maxsize=128)
def _acceptance(regime: str, process: Process, scale: float) -> float:
    """Return the share of generated events that pass all cuts, by Sobol's points, to about one part in a thousand."""
    u = qmc.Sobol(_ALL, scramble=False).random(_POINTS) + 0.5 / _POINTS
    found = REGIMES[regime]
    return len(_measured(found, truth(process, u), u[:, COLUMNS:], scale)) / _POINTS


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _nuisances(nu: ArrayLike) -> tuple[float, float]:
    norm, scale = pair(nu)
    if abs(scale) > _REACH:
        raise InputError("nu", f"has a scale of {scale:g} standard deviations", f"Pass at most {_REACH:g} of them")
    return norm, scale
