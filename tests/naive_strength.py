"""Likelihoods, toys and draws of a signal strength the slow and obvious way: oracles for their kernels."""

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.stats import norm

__all__ = [
    "alias_probabilities",
    "bin_contents",
    "log_factor",
    "log_sum",
    "numerical_gradient",
    "numerical_hessian",
    "strength_nll",
    "wrapped_normal",
]


def wrapped_normal(y: Any, std: float) -> Any:
    """Return the density of a normal distribution wrapped on a circle of circumference 1: the sum of its images."""
    turns = np.arange(-12, 13)[:, None]
    return norm.pdf(np.asarray(y) + turns, scale=std).sum(axis=0)


def alias_probabilities(threshold: Any, alias: Any) -> Any:
    """Return the probabilities with which an alias table gives each index."""
    m = len(threshold)
    return (threshold + np.bincount(alias, 1.0 - threshold, m)) / m


def bin_contents(ratio: Any, edges: Any) -> Any:
    """Return contents of bins with these lower edges, the last without end."""
    return np.array([np.sum((ratio >= low) & (ratio < high)) for low, high in pairwise([*edges, np.inf])])


def log_sum(ratio: Any, scale: float) -> float:
    """Return the sum of log(1 + scale r)."""
    return float(np.log1p(scale * np.asarray(ratio)).sum())


def log_factor(knots: Any, log_factors: Any, alpha: float) -> Any:
    """Return log factors (...) at alpha from those at the knots (knots, ...): natural spline, straight outside."""
    spline = CubicSpline(knots, log_factors, bc_type="natural")
    inside = np.clip(alpha, knots[0], knots[-1])
    return spline(inside) + (alpha - inside) * spline(inside, 1)


def strength_nll(rows: Any, observed: Any, nuisances: Any, theta: Any) -> float:
    """Return -log L of rows of expectations, up to what does not depend on parameters.

    Parameters
    ----------
    rows : list of (exposure, components)
        A component is (strength, intensity, effects): coefficients of 1, mu and mu^2, and (nuisance, knots, log factors
        at them) of each effect.
    observed : sequence of float
        Events in each row.
    nuisances : list of (constraint, width, result of the measurement)
    theta : (1 + nuisances,)
    """
    value = 0.0
    for (exposure, components), n in zip(rows, observed, strict=True):
        expected = 0.0
        for strength, intensity, effects in components:
            exponent = sum(log_factor(knots, factors, theta[1 + k]) for k, knots, factors in effects)
            expected += np.polynomial.Polynomial(strength)(theta[0]) * intensity * np.exp(exponent)
        value += exposure * expected - (n * np.log(expected) if n > 0 else 0.0)
    for (constraint, width, result), alpha in zip(nuisances, theta[1:], strict=True):
        if constraint == "gaussian":
            value += 0.5 * ((alpha - result) / width) ** 2
        elif constraint == "poisson":
            value += width * np.exp(alpha) - result * np.log(width * np.exp(alpha)) + result * np.log(width)
    return float(value)


def numerical_gradient(function: Any, x: Any, step: float = 1e-3) -> Any:
    """Return central differences of fourth order."""

    def difference(e: Any) -> Any:
        return 8 * (function(x + e) - function(x - e)) - function(x + 2 * e) + function(x - 2 * e)

    return np.array([difference(e) / (12 * step) for e in np.eye(len(x)) * step])


def numerical_hessian(gradient: Any, x: Any, step: float = 1e-3) -> Any:
    """Return the derivatives of a gradient."""
    return numerical_gradient(gradient, x, step)
