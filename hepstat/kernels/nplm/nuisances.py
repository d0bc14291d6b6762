"""Nuisances: the coefficients that they give to planes, what is known of them, and derivatives by them.

Coefficients are polynomials, c_k(nu) = sum_m C[k, m] prod_i (nu_i / scale_i)^E[m, i]. Auxiliary measurements say
log A(nu)/A(0), a sum over nuisances: -[(nu - a)^2 - a^2] / (2 sigma^2), or a table between which a cubic runs.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.nplm.rows import Sums
from hepstat.kernels.options import borrowing

__all__ = [
    "GAUSSIAN",
    "MEASURED",
    "NUMBERS",
    "SIGMA",
    "TABLE",
    "Effect",
    "Nuisances",
    "auxiliary",
    "fill_effect",
    "finish",
]

Array = NDArray[Any]

GAUSSIAN, TABLE = 0, 1
MEASURED, SIGMA, LOW, HIGH, FIRST, CELLS = range(6)  # columns of Nuisances.numbers
NUMBERS = 6
NONE: Any = np.int64(-1)  # not Python's: it would be typed as a literal, and kernels be compiled once more


class Nuisances(NamedTuple):
    """What multiplies with the planes, and what is known of nuisances.

    matrix (K, M) C, exponents (M, n_nu) of int64 E, scales (n_nu,); kinds (n_nu,) of int64 and numbers (n_nu, 6),
    measured value, sigma, low and high, and for kind TABLE the first row in the table and the number of cells; table
    (any, 2) of values and slopes of log A(nu)/A(0) on even grids from low to high.
    """

    matrix: Array
    exponents: Array
    scales: Array
    kinds: Array
    numbers: Array
    table: Array


class Effect(NamedTuple):
    """Coefficients (K,) at a point nu, first (K, n_nu) and second (K, n_nu, n_nu) derivatives of them."""

    coefficients: Array
    first: Array
    second: Array


@borrowing
def factor(u: float, exponent: int, order: int) -> float:
    """Return the derivative of u^exponent of an order from 0 to 2."""
    if exponent < order:
        return 0.0
    value = 1.0
    for i in range(order):
        value *= exponent - i
    for _ in range(exponent - order):
        value *= u
    return value


@borrowing
def monomial(nuisances: Nuisances, m: int, nu: Array, i: int, j: int) -> float:
    """Return a monomial, differentiated by nu_i and nu_j; -1 for none."""
    value = 1.0
    for k in range(nu.shape[0]):
        order = (1 if k == i else 0) + (1 if k == j else 0)
        scale = nuisances.scales[k]
        value *= factor(nu[k] / scale, nuisances.exponents[m, k], order)
        for _ in range(order):
            value /= scale
    return value


@borrowing
def fill_effect(nuisances: Nuisances, nu: Array, effect: Effect) -> None:
    """Fill the effect at nu (n_nu,)."""
    n_planes, n_terms = nuisances.matrix.shape
    n_nu = nu.shape[0]
    for k in range(n_planes):
        effect.coefficients[k] = 0.0
        for i in range(n_nu):
            effect.first[k, i] = 0.0
            for j in range(n_nu):
                effect.second[k, i, j] = 0.0
    for m in range(n_terms):
        value = monomial(nuisances, m, nu, NONE, NONE)
        for k in range(n_planes):
            effect.coefficients[k] += nuisances.matrix[k, m] * value
        for i in range(n_nu):
            slope = monomial(nuisances, m, nu, i, NONE)
            for k in range(n_planes):
                effect.first[k, i] += nuisances.matrix[k, m] * slope
            for j in range(n_nu):
                bend = monomial(nuisances, m, nu, i, j)
                for k in range(n_planes):
                    effect.second[k, i, j] += nuisances.matrix[k, m] * bend


@borrowing
def auxiliary(nuisances: Nuisances, i: int, nu: float) -> tuple[float, float, float]:
    """Return log A(nu)/A(0) of nuisance i and its first and second derivative."""
    numbers = nuisances.numbers[i]
    if nuisances.kinds[i] == GAUSSIAN:
        a, weight = numbers[MEASURED], 1.0 / (numbers[SIGMA] * numbers[SIGMA])
        return -0.5 * weight * nu * (nu - 2.0 * a), -weight * (nu - a), -weight
    cells = int(numbers[CELLS])
    step = (numbers[HIGH] - numbers[LOW]) / cells
    place = (nu - numbers[LOW]) / step
    cell = min(max(int(np.floor(place)), 0), cells - 1)
    u = place - cell
    table = nuisances.table[int(numbers[FIRST]) + cell :]
    y0, y1 = table[0, 0], table[1, 0]
    d0, d1 = step * table[0, 1], step * table[1, 1]
    c, b = 2.0 * (y0 - y1) + d0 + d1, 3.0 * (y1 - y0) - 2.0 * d0 - d1
    value = y0 + u * (d0 + u * (b + u * c))
    return value, (d0 + u * (2.0 * b + 3.0 * u * c)) / step, (2.0 * b + 6.0 * u * c) / (step * step)


@borrowing
def finish(nuisances: Nuisances, nu: Array, effect: Effect, sums: Sums, gradient: Array, matrix: Array) -> float:
    """Turn sums by coefficients into derivatives by nuisances, add what is known of these, and return the loss.

    gradient (P + n_nu,); matrix (P + n_nu, P + n_nu), lower triangle, left alone if the sums have none: squares of
    first derivatives (Gauss-Newton), and second derivatives by nuisances.
    """
    n_nu = nu.shape[0]
    n_theta = gradient.shape[0] - n_nu
    n_planes = effect.coefficients.shape[0]
    loss = sums.value[0]
    for i in range(n_theta):
        gradient[i] = sums.gradient[i]
    for i in range(n_nu):
        value, slope, _ = auxiliary(nuisances, i, nu[i])
        loss -= value
        pull = -slope
        for k in range(n_planes):
            pull += sums.gradient[n_theta + k] * effect.first[k, i]
        gradient[n_theta + i] = pull
    if sums.matrix.shape[0] == 0:
        return float(loss)
    for i in range(n_theta):
        for j in range(i + 1):
            matrix[i, j] = sums.matrix[i, j]
    for i in range(n_nu):
        at = n_theta + i
        for j in range(n_theta):
            entry = 0.0
            for k in range(n_planes):
                entry += effect.first[k, i] * sums.matrix[n_theta + k, j]
            matrix[at, j] = entry
        for j in range(i + 1):
            entry = 0.0
            for k in range(n_planes):
                entry += sums.gradient[n_theta + k] * effect.second[k, i, j]
                for q in range(n_planes):
                    high, low = max(k, q), min(k, q)
                    entry += effect.first[k, i] * effect.first[q, j] * sums.matrix[n_theta + high, n_theta + low]
            matrix[at, n_theta + j] = entry
        matrix[at, at] -= auxiliary(nuisances, i, nu[i])[2]
    return float(loss)
