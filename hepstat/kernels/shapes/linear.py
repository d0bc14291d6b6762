"""Linear shapes: density phi_0(x) + sum_j theta_j phi_j(x) with columns phi_j: polynomials, Bernstein, templates.

consts: number p of parameters, a, b, then for templates what :func:`_template_columns` says.
"""

from typing import Any

import numpy as np

from hepstat.kernels.entry import Entry, planes, view

__all__ = ["bernstein_columns", "density", "monomial_columns", "template_columns", "template_cumulative_columns"]


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    p = int(view(consts_, (1,))[0])
    phi = view(columns_, (1 + p, n))
    theta = view(theta_, (p,))
    out = view(out_, (planes(p, order), n))
    for i in range(n):
        out[0, i] = phi[0, i]
    for j in range(p):
        coefficient = theta[j]
        for i in range(n):
            out[0, i] += coefficient * phi[1 + j, i]
    if order == 0:
        return
    for j in range(p):
        for i in range(n):
            out[1 + j, i] = phi[1 + j, i]
    for plane in range(1 + p, planes(p, order)):
        for i in range(n):
            out[plane, i] = 0.0


def _monomial_columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    """Columns 1, u, ... u^p of u = (x - a) * b."""
    consts = view(consts_, (3,))
    p = int(consts[0])
    x = view(x_, (n,))
    columns = view(columns_, (1 + p, n))
    for i in range(n):
        columns[0, i] = 1.0
    for k in range(p):
        for i in range(n):
            columns[1 + k, i] = columns[k, i] * ((x[i] - consts[1]) * consts[2])


def _bernstein_columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    """Columns binomial(p, k) u^k (1 - u)^(p - k), k = 0 ... p, of u = (x - a) * b."""
    consts = view(consts_, (3,))
    p = int(consts[0])
    x = view(x_, (n,))
    columns = view(columns_, (1 + p, n))
    binomial = 1.0
    for k in range(1 + p):
        for i in range(n):
            u = (x[i] - consts[1]) * consts[2]
            value = binomial
            for _ in range(k):
                value *= u
            for _ in range(p - k):
                value *= 1.0 - u
            columns[k, i] = value
        binomial *= (p - k) / (k + 1.0)


def _template_columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    """Density of the template's bin around x; consts: 0, number of bins m, edges (m + 1,), densities, cdf (m + 1,)."""
    m = int(view(consts_, (2,))[1])
    consts = view(consts_, (4 + 3 * m,))
    edges = consts[2 : 3 + m]
    densities = consts[3 + m : 3 + 2 * m]
    x = view(x_, (n,))
    columns = view(columns_, (n,))
    for i in range(n):
        found = np.searchsorted(edges, x[i], side="right") - 1
        columns[i] = densities[min(max(found, 0), m - 1)]


def _template_cumulative_columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    """Integral of the template up to x, linear within a bin; consts as for the density."""
    m = int(view(consts_, (2,))[1])
    consts = view(consts_, (4 + 3 * m,))
    edges = consts[2 : 3 + m]
    densities = consts[3 + m : 3 + 2 * m]
    cdf = consts[3 + 2 * m :]
    x = view(x_, (n,))
    columns = view(columns_, (n,))
    for i in range(n):
        found = min(max(np.searchsorted(edges, x[i], side="right") - 1, 0), m - 1)
        columns[i] = cdf[found] + densities[found] * (x[i] - edges[found])


density = Entry(_density)
monomial_columns = Entry(_monomial_columns, columns=True)
bernstein_columns = Entry(_bernstein_columns, columns=True)
template_columns = Entry(_template_columns, columns=True)
template_cumulative_columns = Entry(_template_cumulative_columns, columns=True)
