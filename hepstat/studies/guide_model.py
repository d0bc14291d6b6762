"""The illustrative model of Nachman (arXiv:1909.03081, section 2): a signal on a flat background, on a circle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import exp1, logsumexp

from hepstat.strength import WrappedNormal
from hepstat.types import Floats

__all__ = ["READINGS", "SIGMA_MAX", "grid", "log_density", "ratio_of", "ratio_without_sigma", "throw", "throw_sigmas"]

READINGS = {"std sqrt(2) sigma": math.sqrt(2.0), "std sigma": 1.0}
"""Standard deviation of Y_0 + Y_1 over sigma: what the model says, and what the caption of figure 3 says."""

SIGMA_MAX = 0.29  # of figure 5, where sigma is uniform from 0
_TURNS = np.arange(-3.0, 4.0)


def throw(n: int, std: Any, rng: np.random.Generator, *, signal: bool) -> Floats:
    """Throw events of signal or background.

    Parameters
    ----------
    n : int
    std : float or ndarray, (n,)
        Standard deviation of Y_0 + Y_1 for signal, of all events or of each: each of Y_0 and Y_1 has std / sqrt(2).
    rng : Generator
    signal : bool

    Returns
    -------
    ndarray, (n, 2)
        Y_0 + Y_1 and Y_0 - Y_1, from -1/2 to 1/2.
    """
    x = np.zeros(n) if signal else rng.random(n) - 0.5
    first, second = rng.normal(0.0, 1.0, (2, n)) * (np.asarray(std) / math.sqrt(2.0))
    y = np.stack([x + first + second, first - second], axis=1)
    return np.asarray(y - np.floor(y + 0.5))


def throw_sigmas(n: int, factor: float, rng: np.random.Generator, *, signal: bool) -> Floats:
    """Throw events (n, 2) of figure 5: Y_0 + Y_1, whose standard deviation is factor * sigma, and sigma."""
    sigma = SIGMA_MAX * (1.0 - rng.random(n))  # never 0
    return np.stack([throw(n, factor * sigma, rng, signal=signal)[:, 0], sigma], axis=1)


def log_density(y: Floats, std: Any) -> Floats:
    """Return the log density (n,) of a normal number around 0, wrapped, which may have a width (n,) for each event."""
    width = np.asarray(std, dtype=np.float64)
    exponents = -0.5 * ((y + _TURNS[:, np.newaxis]) / width) ** 2
    return np.asarray(logsumexp(exponents, axis=0) - np.log(math.sqrt(2.0 * math.pi) * width))


def ratio_of(std: float) -> Any:
    """Return the true ratio of densities, a function of events (n, d) or (n,) whose first feature is Y_0 + Y_1."""
    source = WrappedNormal(std)
    return lambda x: source.ratio(x[:, 0] if np.ndim(x) == 2 else x)


def ratio_without_sigma(y: Floats, factor: float) -> Floats:
    """Return the ratio (n,) averaged over sigma, uniform from 0 to its maximum.

    The average of a normal density over its width, uniform from 0 to a, is E_1(y^2 / 2 a^2) / (2 sqrt(2 pi) a).
    """
    a = factor * SIGMA_MAX
    turned = (y + _TURNS[:, np.newaxis]) / a
    return np.asarray(exp1(0.5 * turned**2).sum(axis=0) / (2.0 * math.sqrt(2.0 * math.pi) * a))


def grid(n: int = 4000) -> Floats:
    """Return centres (n,) of equal cells from -1/2 to 1/2."""
    return (np.arange(n) + 0.5) / n - 0.5
