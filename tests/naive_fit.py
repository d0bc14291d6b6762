"""Slow, obvious shapes and likelihoods that the fast ones are held against: formulas and scipy's integrals."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.integrate
import scipy.special
import scipy.stats
from numpy.typing import ArrayLike

from hepstat.shapes import Shape, Spectrum
from hepstat.types import Floats

__all__ = [
    "binned_nll",
    "bohm_zech_scale",
    "constraint_nll",
    "expected",
    "formula",
    "gradient",
    "hessian",
    "integral",
    "sandwich",
    "unbinned_nll",
]

Values = Mapping[str, float]


def _exp_polynomial(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    middle = 0.5 * (low + high)  # a constant factor that keeps the numbers small
    return np.exp(sum(c * (x**j - middle**j) for j, c in enumerate(p, start=1)))


def _polynomial(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    u = (2.0 * x - low - high) / (high - low)
    return 1.0 + sum(a * u**k for k, a in enumerate(p, start=1))


def _bernstein(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    u, n = (x - low) / (high - low), len(p)
    return sum(b * scipy.special.comb(n, k) * u**k * (1.0 - u) ** (n - k) for k, b in enumerate([1.0, *p]))


def _poly_log_exponential(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    t = x / shape.energy
    return (1.0 - t) ** p[0] * t ** (p[1] + p[2] * np.log(t))


def _dijet(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    t = x / shape.energy
    p2, p3, p4, p5 = [*p, 0.0, 0.0][:4]
    return (1.0 - t) ** p2 * t ** (-p3 - p4 * np.log(t) - p5 * np.log(t) ** 2)


def _sum_of_power_laws(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    n = (len(p) + 1) // 2
    t = x / np.sqrt(low * high)
    return sum(r * t**-a for a, r in zip(p[:n], [1.0, *p[n:]], strict=True))


def _crystal_ball(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    mean, sigma, alpha_low, n_low, alpha_high, n_high = p
    t = (x - mean) / sigma

    def tail(distance: Floats, alpha: float, n: float) -> Floats:
        """Power law that continues exp(-t^2 / 2) smoothly from distance alpha on."""
        base = np.maximum(1.0 + alpha * (distance - alpha) / n, 1e-12)
        return np.exp(-0.5 * alpha**2) * base**-n

    core = np.exp(-0.5 * t**2)
    return np.where(
        t < -alpha_low, tail(-t, alpha_low, n_low), np.where(t > alpha_high, tail(t, alpha_high, n_high), core)
    )


def _template(shape: Any, p: list[float], x: Floats, low: float, high: float) -> Floats:
    position = np.clip(np.searchsorted(shape.edges, x, side="right") - 1, 0, len(shape.contents) - 1)
    return (shape.contents / np.diff(shape.edges))[position]


FORMULAS: dict[str, Callable[..., Any]] = {
    "Exponential": _exp_polynomial,
    "ExpPolynomial": _exp_polynomial,
    "Polynomial": _polynomial,
    "Bernstein": _bernstein,
    "PolyLogExponential": _poly_log_exponential,
    "PowerLaw": lambda shape, p, x, low, high: (x / np.sqrt(low * high)) ** p[0],
    "SumOfPowerLaws": _sum_of_power_laws,
    "Dijet": _dijet,
    "Gaussian": lambda shape, p, x, low, high: scipy.stats.norm.pdf(x, *p),
    "BreitWigner": lambda shape, p, x, low, high: scipy.stats.cauchy.pdf(x, p[0], 0.5 * p[1]),
    "Voigt": lambda shape, p, x, low, high: scipy.special.voigt_profile(x - p[0], p[2], 0.5 * p[1]),
    "CrystalBall": _crystal_ball,
    "Template": _template,
    "CustomShape": lambda shape, p, x, low, high: shape.function(x, *p),
}


def formula(shape: Shape, values: Values, x: ArrayLike, range: tuple[float, float]) -> Any:
    """Return the density (n,) as its documentation writes it, not normalised."""
    numbers = [values[p.name] for p in shape.parameters]
    x = np.asarray(x, dtype=float)
    return FORMULAS[type(shape).__name__](shape, numbers, x, *range) * np.ones(x.shape)


def integral(shape: Shape, values: Values, edges: ArrayLike, range: tuple[float, float]) -> Floats:
    """Return the integral of the formula over each bin."""
    edges = np.asarray(edges, dtype=float)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    if type(shape).__name__ in ("Template", "CrystalBall"):  # not smooth: leave it to scipy
        kinks = _kinks(shape, values)
        return np.array([_quad(shape, values, a, b, range, kinks) for a, b in itertools.pairwise(edges)])
    per_bin = max(1, 60 // (len(edges) - 1))
    fine = np.interp(np.arange(per_bin * (len(edges) - 1) + 1) / per_bin, np.arange(len(edges)), edges)
    half = 0.5 * np.diff(fine)[:, None]
    parts = (formula(shape, values, fine[:-1, None] + half * (nodes + 1.0), range) * half) @ weights
    return parts.reshape(-1, per_bin).sum(axis=1)


def _kinks(shape: Shape, values: Values) -> list[float]:
    """Return where the density is not smooth."""
    if hasattr(shape, "edges"):
        return list(shape.edges)
    return [
        values["mean"] - values["alpha_low"] * values["sigma"],
        values["mean"] + values["alpha_high"] * values["sigma"],
    ]


def _quad(shape: Shape, values: Values, a: float, b: float, range: tuple[float, float], kinks: Any) -> float:
    points = [k for k in kinks if a < k < b]
    steps = [a, *points, b]
    return sum(
        scipy.integrate.quad(lambda x: float(formula(shape, values, x, range)), low, high, epsrel=1e-11, limit=200)[0]
        for low, high in itertools.pairwise(steps)
    )


def _by_component(spectrum: Spectrum, values: Values) -> list[tuple[float, Shape, Values]]:
    """Return yield, shape and its values of each component."""
    filled = {**spectrum.values, **values}
    return [
        (
            filled[f"n_{name}"],
            shape,
            {p.name: filled[n] for p, n in zip(shape.parameters, spectrum.names_of(name), strict=True)},
        )
        for name, shape in spectrum.components.items()
    ]


def expected(spectrum: Spectrum, edges: ArrayLike, values: Values) -> Floats:
    """Return the expected contents (bins,)."""
    total = np.zeros(len(np.asarray(edges)) - 1)
    for amount, shape, own in _by_component(spectrum, values):
        whole = integral(shape, own, np.linspace(*spectrum.range, 37), spectrum.range).sum()
        total += amount * integral(shape, own, edges, spectrum.range) / whole
    return total


def binned_nll(spectrum: Spectrum, edges: ArrayLike, contents: Floats, values: Values, scale: ArrayLike = 1.0) -> float:
    """Return half the deviance of the contents plus constraints; `scale` multiplies each bin."""
    mu = expected(spectrum, edges, values)
    terms = mu - contents + scipy.special.xlogy(contents, contents) - scipy.special.xlogy(contents, mu)
    return float(np.sum(scale * terms)) + constraint_nll(spectrum, values)


def unbinned_nll(spectrum: Spectrum, x: Floats, values: Values, weights: ArrayLike = 1.0) -> float:
    """Return sum_c N_c - sum_i w_i log T(x_i) plus constraints."""
    density, total = np.zeros(len(x)), 0.0
    for amount, shape, own in _by_component(spectrum, values):
        whole = integral(shape, own, np.linspace(*spectrum.range, 37), spectrum.range).sum()
        density += amount * formula(shape, own, x, spectrum.range) / whole
        total += amount
    return float(total - np.sum(weights * np.log(density))) + constraint_nll(spectrum, values)


def constraint_nll(spectrum: Spectrum, values: Values) -> float:
    """Return minus the logarithm of the auxiliary likelihoods, without the parts that are constant."""
    filled, total = {**spectrum.values, **values}, 0.0
    for c in spectrum.constraints:
        t = filled[c.name]
        if c.kind == "gaussian":
            total += 0.5 * ((t - c.centre) / c.width) ** 2
        elif c.kind == "log_normal":
            total += 0.5 * (np.log(t / c.centre) / np.log(c.width)) ** 2
        else:
            total += c.width * t - scipy.special.xlogy(c.centre, c.width * t)
    return float(total)


def bohm_zech_scale(contents: Floats, variances: Floats) -> Floats:
    """Return sum w / sum w^2 of each bin, that of all bins where one is empty."""
    overall = contents.sum() / variances.sum()
    return np.array([n / v if n > 0 and v > 0 else overall for n, v in zip(contents, variances, strict=True)])


def gradient(function: Callable[[Floats], float], theta: Floats, steps: Floats) -> Floats:
    """Return the gradient (n,) by differences of five points."""
    out = np.empty(len(theta))
    for i, step in enumerate(steps):
        d = step * (np.arange(len(theta)) == i)
        outer = function(theta - 2 * d) - function(theta + 2 * d)
        out[i] = (outer + 8.0 * (function(theta + d) - function(theta - d))) / (12.0 * step)
    return out


def hessian(slope: Callable[[Floats], Floats], theta: Floats, steps: Floats) -> Floats:
    """Return the Hessian (n, n) by differences of a gradient."""
    n = len(theta)
    columns = [gradient(lambda t, i=i: slope(t)[i], theta, steps) for i in range(n)]
    return np.array(columns)


def sandwich(spectrum: Spectrum, x: Floats, weights: Floats, values: Values, steps: Floats) -> Floats:
    """Return H^-1 D H^-1 of the floating parameters, H from differences, D from each event's gradient of log T."""
    names = spectrum.floating
    theta = np.array([values[name] for name in names])

    def log_density(t: Floats) -> Floats:
        filled = {**values, **dict(zip(names, t, strict=True))}
        parts = [
            amount * formula(shape, own, x, spectrum.range) / integral(shape, own, spectrum.range, spectrum.range)[0]
            for amount, shape, own in _by_component(spectrum, filled)
        ]
        return np.log(np.sum(parts, axis=0))

    def slope(t: Floats) -> Floats:
        def nll(u: Floats) -> float:
            return unbinned_nll(spectrum, x, {**values, **dict(zip(names, u, strict=True))}, weights)

        return gradient(nll, t, steps)

    per_event = np.array([
        (log_density(theta + s * unit) - log_density(theta - s * unit)) / (2.0 * s)
        for s, unit in zip(steps, np.eye(len(names)), strict=True)
    ])  # fmt: skip
    inverse = np.linalg.inv(hessian(slope, theta, steps))
    return inverse @ ((per_event * weights**2) @ per_event.T) @ inverse
