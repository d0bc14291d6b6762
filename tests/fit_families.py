"""Backgrounds and spectra that the tests of fits share, with values at which each looks like a falling spectrum."""

from typing import NamedTuple

import numpy as np

from hepstat.shapes import (
    Bernstein,
    Dijet,
    Exponential,
    ExpPolynomial,
    Gaussian,
    PolyLogExponential,
    Polynomial,
    PowerLaw,
    Shape,
    Spectrum,
    SumOfPowerLaws,
)
from hepstat.types import Floats

NARROW = (132.0, 168.0)
WIDE = (1000.0, 6000.0)


class Family(NamedTuple):
    """A background with typical values, on a range cut into `bins`."""

    shape: Shape
    truth: dict[str, float]
    range: tuple[float, float] = NARROW
    bins: int = 36

    @property
    def edges(self) -> Floats:
        """Edges of the bins."""
        return np.linspace(*self.range, self.bins + 1)


FAMILIES = {
    "exponential": Family(Exponential(), {"slope": -0.02}),
    "exp_polynomial_2": Family(ExpPolynomial(2), {"c1": -0.07, "c2": 1.6e-4}),
    "exp_polynomial_3": Family(ExpPolynomial(3), {"c1": -0.4, "c2": 2.3e-3, "c3": -4.6e-6}),
    "polynomial_1": Family(Polynomial(1), {"a1": -0.4}),
    "polynomial_3": Family(Polynomial(3), {"a1": -0.4, "a2": 0.1, "a3": -0.05}),
    "bernstein_2": Family(Bernstein(2), {"b1": 0.6, "b2": 0.45}),
    "bernstein_4": Family(Bernstein(4), {"b1": 0.8, "b2": 0.7, "b3": 0.5, "b4": 0.45}),
    "poly_log_exponential": Family(PolyLogExponential(), {"c0": 5.0, "c1": -4.0, "c2": -0.1}),
    "power_law": Family(PowerLaw(), {"power": -3.0}),
    "power_law_wide": Family(PowerLaw(), {"power": -3.0}, WIDE),
    "sum_of_power_laws_2": Family(SumOfPowerLaws(2), {"a1": 2.0, "a2": 6.0, "r2": 0.7}, WIDE),
    "dijet_3": Family(Dijet(3), {"p2": 8.0, "p3": 2.0}, WIDE),
    "dijet_4": Family(Dijet(4), {"p2": 8.0, "p3": 1.0, "p4": -0.1}, WIDE),
    "dijet_5": Family(Dijet(5), {"p2": 8.0, "p3": 1.0, "p4": -0.2, "p5": -0.02}, WIDE),
}


def spectrum_of(name: str, *, signal: bool, n_background: float = 1e4, n_signal: float = 0.0) -> Spectrum:
    """Return the spectrum of a family at its truth, with a fixed Gaussian on a third of the range or without."""
    family = FAMILIES[name]
    low, high = family.range
    background = family.shape.with_values(**family.truth)
    if not signal:
        return Spectrum({"background": background}, family.range).start(n_background=n_background)
    peak = Gaussian(low + 0.4 * (high - low), 0.05 * (high - low))
    both = Spectrum({"signal": peak, "background": background}, family.range)
    both = both.fix("signal_mean", "signal_sigma")
    return both.start(n_signal=n_signal, n_background=n_background)


def toys_of(name: str, n_toys: int, n_events: float, seed: int, *, signal: bool) -> Floats:
    """Return contents (toys, bins) of toys whose expected number of events, and signal in it, differ by toy."""
    random = np.random.default_rng(seed)
    edges = FAMILIES[name].edges
    parts = spectrum_of(name, signal=True, n_background=1.0, n_signal=1.0).expected_by_component(edges)
    total = n_events * random.uniform(0.5, 1.5, (n_toys, 1))
    share = random.uniform(0.0, 0.1, (n_toys, 1)) if signal else 0.0
    return random.poisson(total * ((1.0 - share) * parts["background"] + share * parts["signal"])).astype(float)
